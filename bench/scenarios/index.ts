/** Every scenario, in the order in which they are run. */
import { chaos } from './chaos.js'
import { greetings } from './greetings.js'
import { hostile } from './hostile.js'
import { clusteredIdle, idle } from './idle.js'
import { longCall } from './long-call.js'
import { clustered, instrumented, paced, telemetry, telemetryByHand } from './paced.js'
import { reconnects } from './reconnects.js'
import { scale } from './scale.js'
import type { Drill, Scenario } from './scenario.js'
import { soak } from './soak.js'
import { start } from './start.js'
import { supersede } from './supersede.js'
import { bunch, millis, stream } from './throughput.js'
import { toolPieces } from './tool-pieces.js'
import { updates } from './updates.js'

export const scenarios: ReadonlyArray<Scenario | Drill> = [paced, bunch, stream, millis, updates, longCall, supersede, greetings, idle, reconnects, ...scale, soak, hostile, telemetry, instrumented, telemetryByHand, clustered, clusteredIdle, ...chaos, toolPieces, start]
