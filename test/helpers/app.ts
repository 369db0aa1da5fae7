import Fastify, { type FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import voiceAgentPlugin, { type Agent, type VoiceAgentOptions } from '../../lib/index.js'

/** One line of the log, parsed. */
export type LogLine = Record<string, unknown> & { level: number, msg: string }

/** A promise whose outcome the test decides. */
export function deferred<T = void> (): { promise: Promise<T>, resolve: (value: T) => void, reject: (error: unknown) => void } {
  let resolve!: (value: T) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<T>((_resolve, _reject) => { resolve = _resolve; reject = _reject })
  return { promise, resolve, reject }
}

/** A Fastify app that logs into `logs`, at `trace` unless told otherwise, and is closed when the test ends. */
export function createApp (t: Test, level = 'trace', options: FastifyServerOptions = {}) {
  const logs: LogLine[] = []
  const app = Fastify({ ...options, logger: { level, stream: { write: (line: string) => { logs.push(JSON.parse(line)) } } } })
  t.teardown(() => app.close())
  return { app, logs }
}

/** For tests that close apps and break connections, and are not about waiting. */
export const AT_ONCE = { drainTimeoutMs: 0, reconnectGraceMs: 0 } satisfies VoiceAgentOptions

/** A ready app with the plugin, both routes open to everyone. */
export async function build (t: Test, agent?: Agent, options: VoiceAgentOptions = {}) {
  const { app, logs } = createApp(t)
  if (agent !== undefined) app.decorate('agent', agent)
  await app.register(voiceAgentPlugin, {
    ...AT_ONCE,
    ...options,
    ...(options.retell !== false && { retell: { allowlist: '*', ...options.retell } }),
    ...(options.millis !== false && { millis: { allowlist: '*', ...options.millis } })
  })
  await app.ready()
  return { app, logs }
}
