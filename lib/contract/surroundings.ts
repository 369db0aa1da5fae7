/**
 * Whether the process runs where it is developed. Decided in one place, for the playground and for what is logged of an app's errors.
 */

/** What the decision reads of `process`. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdout: { readonly isTTY?: boolean }
}

/**
 * It is developed where `NODE_ENV` is `development` or `test`, or is not set and standard output is a terminal.
 * @returns why it is not, or `undefined` where it is
 */
export function whyNotDevelopment ({ env, stdout }: Surroundings): string | undefined {
  const environment = env['NODE_ENV'] ?? ''
  if (environment !== '') return /^(development|test)$/.test(environment) ? undefined : 'NODE_ENV is neither development nor test'
  return stdout.isTTY === true ? undefined : 'NODE_ENV is not set, and standard output is no terminal'
}
