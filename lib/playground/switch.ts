/**
 * Whether the playground is on. A page that places calls is nothing to be left open in production by mistake.
 */

/** What the decision reads of `process`. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdout: { readonly isTTY?: boolean }
}

/** @returns why the playground is off, or `undefined` where it is on */
export function whyOff (enabled: boolean | undefined, { env, stdout }: Surroundings): string | undefined {
  if (enabled === true) return undefined
  if (enabled === false || env['PLAYGROUND'] !== 'true') return 'PLAYGROUND (option enabled) is not true'
  const environment = env['NODE_ENV'] ?? ''
  if (environment !== '') return /^(development|test)$/.test(environment) ? undefined : 'NODE_ENV is neither development nor test'
  return stdout.isTTY === true ? undefined : 'NODE_ENV is not set, and standard output is no terminal'
}
