/**
 * Decides if the process runs in development, for the playground and for the logging of an app's errors.
 */

/** The members of `process` that the decision reads. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdout: { readonly isTTY?: boolean }
}

/**
 * Development means that `NODE_ENV` is `development` or `test`, or is not set and standard output is a terminal.
 * @returns why the process does not run in development, or `undefined` if it does
 */
export function whyNotDevelopment ({ env, stdout }: Surroundings): string | undefined {
  const environment = env['NODE_ENV'] ?? ''
  if (environment !== '') return /^(development|test)$/.test(environment) ? undefined : 'NODE_ENV is neither development nor test'
  return stdout.isTTY === true ? undefined : 'NODE_ENV is not set, and standard output is no terminal'
}
