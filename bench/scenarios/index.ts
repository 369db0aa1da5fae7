/** Every scenario, in the order in which they are run. */
import { idle } from './idle.js'
import { longCall } from './long-call.js'
import { paced } from './paced.js'
import { reconnects } from './reconnects.js'
import type { Scenario } from './scenario.js'
import { soak } from './soak.js'
import { supersede } from './supersede.js'
import { bunch, millis, stream } from './throughput.js'
import { updates } from './updates.js'

export const scenarios: readonly Scenario[] = [paced, bunch, stream, millis, updates, longCall, supersede, idle, reconnects, soak]
