/**
 * The child processes of a run: one model, and a fresh server for each measurement. None outlives the harness.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { startRedis, type RedisServer } from '../test/helpers/redis.js'
import type { ModelStats } from './model-server.js'
import type { ProbeReport, ProbeRequest } from './servers/probe.js'

/** The servers that can be measured; `servers/` has a file of each. */
export const SERVERS = ['plugin', 'telemetry', 'clustered', 'baseline', 'undici', 'undici-telemetry', 'route'] as const

export type ServerName = typeof SERVERS[number]

/** The model all servers talk to. */
export interface Model {
  readonly baseUrl: string
  stats (): Promise<ModelStats>
  probe (): Promise<ProbeReport>
  stop (): Promise<void>
}

/** One server under load. */
export interface Server {
  /** Base URL of its WebSocket routes. */
  readonly url: string
  /** Files of the CPU profiles taken so far. */
  readonly profiles: readonly string[]
  /** Where it keeps its calls, if it does. */
  readonly redis: RedisServer | undefined
  probe (options?: { readonly gc: boolean }): Promise<ProbeReport>
  /** What is done meanwhile goes into a CPU profile, if the server was started with one. */
  profiled<T> (work: () => Promise<T>): Promise<T>
  stop (): Promise<void>
}

/** How a server is started. */
interface ServerOptions {
  /** What is to be set in its environment, apart from what all need. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Path of its CPU profiles, without the ending. */
  readonly profile?: string | undefined
}

/** What the agent says first in every call, on every server. */
export const GREETING = 'How may I help you?'

/** What the agent says when its model failed. */
export const FALLBACK = 'I am sorry, can you say that again?'

const START_TIMEOUT_MS = 20_000
const PROBE_TIMEOUT_MS = 20_000
const FILES = {
  model: new URL('./model-server.js', import.meta.url),
  plugin: new URL('./servers/plugin.js', import.meta.url),
  telemetry: new URL('./servers/telemetry.js', import.meta.url),
  clustered: new URL('./servers/plugin.js', import.meta.url),
  baseline: new URL('./servers/baseline.js', import.meta.url),
  undici: new URL('./servers/undici.js', import.meta.url),
  'undici-telemetry': new URL('./servers/undici-telemetry.js', import.meta.url),
  route: new URL('./servers/route.js', import.meta.url)
}

const live = new Set<ChildProcess>()

// `exit` covers a normal end, an uncaught error and process.exit(); signals end a process without it.
process.on('exit', killAll)
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))

/** Starts the model. */
export async function startModel (): Promise<Model> {
  const { child, port } = await start('model', {})
  const origin = `http://127.0.0.1:${port}`
  return {
    baseUrl: `${origin}/v1`,
    // On a connection of its own each time, which the model can then leave out of its count.
    stats: async () => await (await fetch(`${origin}/stats`, { headers: { connection: 'close' } })).json() as ModelStats,
    probe: () => probe(child),
    stop: () => stop(child)
  }
}

// The crowds of the benchmarks are larger; each ceiling is looked at all the same.
const NO_CEILINGS = Object.fromEntries(
  ['MAX_CALLS', 'MAX_CALLS_PER_ADDRESS', 'MAX_UNSTARTED_CALLS', 'MAX_UPGRADES_PER_SECOND', 'MAX_FRAMES_PER_SECOND'].map(name => [name, '1000000'])
)

const BY_HAND: ReadonlySet<ServerName> = new Set<ServerName>(['baseline', 'undici', 'undici-telemetry', 'route'])

/** Starts a server whose agent asks `modelName` of `model`. */
export async function startServer (name: ServerName, model: Model, modelName: string, { env, profile }: ServerOptions = {}): Promise<Server> {
  const undo: Array<() => Promise<void>> = []
  const redis = name === 'clustered' ? await startRedis({ teardown: end => { undo.push(end as () => Promise<void>) } }) : undefined
  if (redis !== undefined) process.once('exit', () => redis.kill())
  const { child, port } = await start(name, {
    ...(redis !== undefined && { REDIS_URL: redis.url }),
    OTEL_EXPORTER_OTLP_ENDPOINT: new URL(model.baseUrl).origin,
    OPENAI_API_KEY: 'bench',
    OPENAI_BASE_URL: model.baseUrl,
    OPENAI_MODEL: modelName,
    AGENT_INSTRUCTIONS: 'You are the voice of a parcel service. Answer in one short sentence.',
    AGENT_GREETING: GREETING,
    RETELL_ALLOWLIST: '127.0.0.1,::1',
    MILLIS_ALLOWLIST: '127.0.0.1,::1',
    ...NO_CEILINGS,
    // Who writes a server by hand has `ws` as it comes.
    ...(BY_HAND.has(name) && { WS_NO_BUFFER_UTIL: '1' }),
    ...env
  })
  const profiles: string[] = []
  return {
    url: `ws://127.0.0.1:${port}`,
    profiles,
    redis,
    probe: options => probe(child, options),
    async profiled (work) {
      if (profile === undefined) return await work()
      await probe(child, { profile: 'start' })
      const result = await work()
      const file = `${profile}${profiles.length === 0 ? '' : `-${profiles.length + 1}`}.cpuprofile`
      await probe(child, { profile: { file } })
      profiles.push(file)
      return result
    },
    async stop () {
      await stop(child)
      for (const end of undo) await end()
    }
  }
}

async function start (name: keyof typeof FILES, env: Record<string, string>): Promise<{ child: ChildProcess, port: number }> {
  const child = fork(fileURLToPath(FILES[name]), [], {
    // Nothing of the user's own environment may configure a server under test.
    env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '', ...env },
    execArgv: ['--expose-gc'],
    stdio: ['ignore', 'pipe', 'inherit', 'ipc']
  })
  live.add(child)
  child.once('exit', () => live.delete(child))
  return { child, port: await portOf(child, name) }
}

function portOf (child: ChildProcess, name: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => reject(new Error(`${name} server: ${why}`))
    const timer = setTimeout(() => fail(`not listening after ${START_TIMEOUT_MS} ms`), START_TIMEOUT_MS)
    child.once('exit', code => {
      clearTimeout(timer)
      fail(`exited with ${code} before it listened`)
    })
    let printed = ''
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      printed += text
      const line = /^\{"port":(\d+)\}$/m.exec(printed)
      if (line === null) return
      clearTimeout(timer)
      resolve(Number(line[1]))
    })
  })
}

async function probe (child: ChildProcess, options: Partial<ProbeRequest> = {}): Promise<ProbeReport> {
  const answered = once(child, 'message', { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) })
  child.send({ gc: false, ...options } satisfies ProbeRequest)
  return (await answered)[0] as ProbeReport
}

/** Nothing a server does at its end is measured, so it is not asked to end nicely. */
async function stop (child: ChildProcess): Promise<void> {
  if (!live.has(child)) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

function killAll (): void {
  for (const child of live) child.kill('SIGKILL')
}
