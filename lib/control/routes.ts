/**
 * From requests to the calls of the cluster. On whatever node a call is, it is controlled from here.
 */
import type { FastifyInstance } from 'fastify'
import { JUDGES_PRESSURE } from '../admission/pressure.js'
import type { ClusterCall } from '../cluster/cluster.js'
import { NoCallError } from '../contract/errors.js'
import { logSerializers } from '../http/request-log.js'
import { operations, type Bodies, type Control, type PageQueryString } from './operations.js'
import { readPage } from './page.js'

const PAGE = 100

// More than anybody says at once. What is not read cannot be sent on to another node.
const BODY_LIMIT_BYTES = 256 * 1024

/** Adds the routes. Calls are those of the scope's `fastify.calls`. */
export function addRoutes (scope: FastifyInstance, path: string): void {
  // Calls are to be ended above all when the process has too much to do.
  const options = { config: JUDGES_PRESSURE, bodyLimit: BODY_LIMIT_BYTES, logSerializers }

  scope.get<{ Querystring: PageQueryString }>(`${path}/calls`, { ...options, schema: operations.listCalls }, async ({ query }) => {
    const { calls, next } = await readPage(scope.calls.cluster.list(), { ...query, limit: query.limit ?? PAGE })
    return { calls: calls.map(toJson), ...(next !== undefined && { next }) }
  })

  scope.get<{ Params: { id: string } }>(`${path}/calls/:id`, { ...options, schema: operations.getCall }, async ({ params }) => toJson(await find(params.id)))

  scope.get(`${path}/nodes`, { ...options, schema: operations.listNodes }, async () => {
    const { cluster } = scope.calls
    const [calls, nodes] = await Promise.all([cluster.size(), cluster.nodes()])
    return { node: cluster.node, calls, nodes: nodes.map(({ id, calls, startedAt }) => ({ id, calls, startedAt: toDate(startedAt) })) }
  })

  addControl('interject', (call, { text, ...options }) => call.interject(text, options))
  addControl('end', (call, options) => call.end(options))
  addControl('transfer', (call, { destination, ...options }) => call.transfer(destination, options))
  addControl('metadata', (call, { metadata }) => call.sendMetadata(metadata))
  addControl('agent', (call, config) => call.updateAgent(config))

  function addControl<K extends Control> (name: K, control: (call: ClusterCall, body: Bodies[K]) => Promise<void>): void {
    scope.post<{ Params: { id: string }, Body: Bodies[K] }>(`${path}/calls/:id/${name}`, { ...options, schema: operations[name] }, async ({ params, body, log }, reply) => {
      const call = await find(params.id)
      await control(call, body as Bodies[K])
      log.info({ callId: call.id, provider: call.provider, node: call.node, control: name }, 'call controlled')
      return reply.code(204).send()
    })
  }

  async function find (id: string): Promise<ClusterCall> {
    const call = await scope.calls.cluster.get(id)
    if (call === undefined) throw new NoCallError()
    return call
  }
}

function toJson ({ id, provider, node, startedAt }: ClusterCall): object {
  return { id, provider, node, startedAt: toDate(startedAt) }
}

function toDate (ms: number): string {
  return new Date(ms).toISOString()
}
