/**
 * Whether the playground is on. A page that places calls is nothing to be left open in production by mistake.
 */
import { whyNotDevelopment, type Surroundings } from '../contract/surroundings.js'

/** @returns why the playground is off, or `undefined` where it is on */
export function whyOff (enabled: boolean | undefined, surroundings: Surroundings): string | undefined {
  if (enabled === true) return undefined
  if (enabled === false || surroundings.env['PLAYGROUND'] !== 'true') return 'PLAYGROUND (option enabled) is not true'
  return whyNotDevelopment(surroundings)
}
