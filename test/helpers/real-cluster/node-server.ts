/**
 * One node of a cluster, of which `Cluster` starts several: the plugin with an agent that counts its answers in the call's
 * state, and asks the built-in OpenAI agent for the words, which books by a tool. Logs at info like a real service. On
 * SIGTERM it drains.
 */
import Fastify from 'fastify'
import { destination } from 'pino'
import voiceAgentPlugin, { openAIAgent, tool, Type, type Turn } from 'fastify-voice-agent'
import type { ClusterCalls } from '../../../lib/cluster/cluster.js'
import { TIMINGS } from '../../../lib/cluster/redis.js'
import { booked, opening } from './talk.js'
import { announce } from '../announce.js'

const { HOST = '127.0.0.1', PORT = '0', NODE_NAME = 'node', OFFICE_URL = '', MODEL_URL = '', NODE_LOGS = '', CLUSTER_TIMINGS = '{}' } = process.env

Object.assign(TIMINGS, JSON.parse(CLUSTER_TIMINGS))

async function tell (path: string, body: object, headers: Record<string, string> = {}): Promise<void> {
  const response = await fetch(OFFICE_URL + path, { method: 'POST', headers, body: JSON.stringify(body) })
  await response.text()
  if (!response.ok) throw new Error(`the office says ${response.status}`)
}

const book = tool({
  name: 'book',
  description: 'Books a slot.',
  parameters: Type.Object({ slot: Type.String() }),
  filler: '',
  async execute ({ slot }, { call, idempotencyKey }) {
    await tell('/bookings', { call: call.id, slot }, { 'idempotency-key': idempotencyKey })
    return booked(slot)
  }
})

const app = Fastify({ logger: { level: 'info', stream: destination(NODE_LOGS === '' ? '/dev/null' : `${NODE_LOGS}/${NODE_NAME}.log`) } })
const model = openAIAgent({ baseURL: MODEL_URL, apiKey: 'bench', tools: [book] })

app.decorate('agent', async function * (turn: Turn) {
  if (turn.reason === 'response') {
    const { state } = turn.call
    const number = Number(state['answers'] ?? 0) + 1
    state['answers'] = number
    yield opening(number, NODE_NAME)
  }
  yield * model(turn)
})
app.addHook('onClose', () => model.close())

await app.register(voiceAgentPlugin, {
  onCallEnd: call => tell('/ends', { call: call.id })
})

// What an operator would do from any node.
app.post<{ Params: { id: string }, Body: { text: string } }>('/calls/:id/interject', async ({ params, body }, reply) => {
  const { cluster } = app.calls as { cluster?: ClusterCalls }
  const call = cluster === undefined ? app.calls.get(params.id) : await cluster.get(params.id)
  if (call === undefined) return await reply.code(404).send({})
  await call.interject(body.text)
  return {}
})

process.once('SIGTERM', async () => {
  await app.close()
  process.exit()
})

await app.listen({ host: HOST, port: Number(PORT) })
announce(app.server.address())
