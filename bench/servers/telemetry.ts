/**
 * The plugin, and all that OpenTelemetry can be told of it: traces to a collector, metrics, and the requests to the model.
 */
import { startTelemetry } from '../../example-app/telemetry.js'

startTelemetry()
await import('./plugin.js')
