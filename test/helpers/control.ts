import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { ClusterCall, ClusterCalls } from '../../lib/cluster/cluster.js'
import voiceAgentControl, { type ControlOptions } from '../../lib/control/index.js'
import type { Calls, VoiceAgentOptions } from '../../lib/index.js'
import voiceAgentPlugin from '../../lib/index.js'
import { AT_ONCE, createApp } from './app.js'

export const TOKEN = 'token-0123456789'
export const BEARER = { authorization: `Bearer ${TOKEN}` }

/** What was answered. */
export interface Answer {
  readonly status: number
  readonly headers: Record<string, unknown>
  /** Of JSON; undefined where there is none. */
  readonly body: any
}

/** Asks, with the token. A body that is no string is sent as JSON. */
export async function ask (app: FastifyInstance, request: string, payload?: object | string, headers: Record<string, string> = {}): Promise<Answer> {
  const [method, url] = request.split(' ') as ['GET', string]
  const response = await app.inject({ method, url, ...(payload !== undefined && { payload }), headers: { ...BEARER, ...headers } })
  return { status: response.statusCode, headers: response.headers, body: response.body === '' ? undefined : response.json() }
}

/** A ready app that has calls, and the control plane of them. */
export async function withControl (t: Test, options: VoiceAgentOptions = {}, { control = {}, level = 'trace' }: { control?: ControlOptions, level?: string } = {}) {
  const { app, logs } = createApp(t, level)
  await app.register(voiceAgentPlugin, { ...AT_ONCE, retell: { allowlist: '*' }, millis: { allowlist: '*' }, ...options })
  await app.register(voiceAgentControl, { token: TOKEN, ...control })
  await app.ready()
  return { app, logs, ask: (...args: [request: string, payload?: object | string, headers?: Record<string, string>]) => ask(app, ...args) }
}

/** The control plane of a cluster that is made up. What it is asked stands in `asked`. */
export async function withCluster (t: Test, calls: ReadonlyArray<Pick<ClusterCall, 'provider' | 'id' | 'node' | 'startedAt'>>, fail: (method: string) => void = () => {}) {
  const asked: unknown[][] = []
  const controls = Object.fromEntries(['interject', 'end', 'transfer', 'sendMetadata', 'updateAgent'].map(method => [method, async function (this: ClusterCall, ...args: unknown[]) {
    asked.push([this.node, this.id, method, ...args])
    fail(method)
  }]))
  const cluster = {
    node: 'node-a',
    async * list () {
      fail('list')
      for (const call of calls) yield { ...call, ...controls } as ClusterCall
    },
    async get (id) {
      fail('get')
      const call = calls.find(call => call.id === id)
      return call && { ...call, ...controls } as ClusterCall
    },
    async nodes () {
      fail('nodes')
      return Array.from(new Set(calls.map(({ node }) => node)), id => ({ id, calls: calls.filter(({ node }) => node === id).length, startedAt: 0 }))
    },
    async size () { return calls.length }
  } satisfies ClusterCalls
  const { app, logs } = createApp(t, 'info')
  app.decorate('calls', { cluster } as unknown as Calls)
  await app.register(voiceAgentControl, { token: TOKEN })
  await app.ready()
  return { app, logs, asked, ask: (...args: [request: string, payload?: object | string, headers?: Record<string, string>]) => ask(app, ...args) }
}
