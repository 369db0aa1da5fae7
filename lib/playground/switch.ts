/**
 * Whether the playground is on. A page that places calls must not be open in production by mistake.
 */
import { whyNotDevelopment, type Surroundings } from '../contract/surroundings.js'

/** @returns why the playground is off; `undefined` if it is on */
export function whyOff (enabled: boolean | undefined, surroundings: Surroundings): string | undefined {
  if (enabled === true) return undefined
  if (enabled === false || surroundings.env['PLAYGROUND'] !== 'true') return 'PLAYGROUND (option enabled) is not true'
  return whyNotDevelopment(surroundings)
}
