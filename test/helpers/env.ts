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
