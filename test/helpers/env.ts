import type { Test } from 'tap'
import { envSchema } from '../../lib/index.js'

/** Gives a test an environment in which, of all that the plugin reads, only these variables are set. */
export function setEnv (t: Test, variables: Partial<Record<keyof typeof envSchema.properties, string>> = {}): void {
  for (const name of Object.keys(envSchema.properties)) {
    const before = process.env[name]
    delete process.env[name]
    t.teardown(() => {
      if (before === undefined) delete process.env[name]
      else process.env[name] = before
    })
  }
  Object.assign(process.env, variables)
}

/** Has the process look like one with this `NODE_ENV` and standard output, until the test ends: what is logged of errors depends on it. */
export function runIn (t: Test, environment: string | undefined, isTTY = false): void {
  const { env: { NODE_ENV }, stdout } = process
  const before = Object.getOwnPropertyDescriptor(stdout, 'isTTY')
  t.teardown(() => {
    if (NODE_ENV === undefined) delete process.env['NODE_ENV']
    else process.env['NODE_ENV'] = NODE_ENV
    if (before === undefined) Reflect.deleteProperty(stdout, 'isTTY')
    else Object.defineProperty(stdout, 'isTTY', before)
  })
  if (environment === undefined) delete process.env['NODE_ENV']
  else process.env['NODE_ENV'] = environment
  Object.defineProperty(stdout, 'isTTY', { value: isTTY, configurable: true })
}
