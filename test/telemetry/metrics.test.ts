import type { Attributes } from '@opentelemetry/api'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { tool } from '../../lib/tools/tool.js'
import { Telemetry } from '../../lib/telemetry/telemetry.js'
import { STALL, usageChunk } from '../../lib/testing/scripted-model.js'
import { calling, openLine } from '../helpers/model-line.js'
import { useTelemetry } from '../helpers/telemetry.js'

const PROVIDER = { 'voice_agent.provider': 'retell' }
const GREETING = { ...PROVIDER, 'voice_agent.turn.reason': 'greeting' }
const RESPONSE = { ...PROVIDER, 'voice_agent.turn.reason': 'response' }

t.test('metrics record durations and outcomes of calls, turns, tools and models', async t => {
  const { metrics } = useTelemetry(t)
  new Telemetry().ready(['retell', 'millis'])
  const look = tool({ name: 'look', description: 'Looks.', parameters: Type.Object({}), sideEffects: false, execute: () => 'free' })
  const { server, hear, ask, line } = await openLine(t, 'retell', [look])
  server.next(calling('look({})'), { steps: ['Yes.', usageChunk(20, 10)] }, { status: 500 }, ['We ', STALL])
  await hear(1, 'Free?')
  await hear(2, 'Hello?')
  ask(3, 'Hello?')
  t.match(await metrics(), {
    'voice_agent.active_calls': [[PROVIDER, 1], [{ 'voice_agent.provider': 'millis' }, 0]],
    'voice_agent.active_turns': [[PROVIDER, 1], [{ 'voice_agent.provider': 'millis' }, 0]]
  })
  line.receive('{')
  line.hangUp(1000)
  const { 'server.port': port, ...model } = modelOf(await metrics())
  t.type(port, 'number')
  const chat = { ...model, 'server.port': port }
  const { 'voice_agent.refusals': refusals, ...measured } = await metrics()
  t.ok(refusals!.every(([, count]) => count === 0))
  t.strictSame(measured, {
    'voice_agent.active_calls': [[PROVIDER, 0], [{ 'voice_agent.provider': 'millis' }, 0]],
    'voice_agent.active_turns': [[PROVIDER, 0], [{ 'voice_agent.provider': 'millis' }, 0]],
    'voice_agent.call.duration': [[PROVIDER, 1]],
    'voice_agent.malformed_frames': [[PROVIDER, 1]],
    'voice_agent.turns': [
      [{ ...GREETING, 'voice_agent.turn.outcome': 'completed' }, 1],
      [{ ...RESPONSE, 'voice_agent.turn.outcome': 'completed' }, 1],
      [{ ...RESPONSE, 'voice_agent.turn.outcome': 'error', 'error.type': 'InternalServerError' }, 1],
      [{ ...RESPONSE, 'voice_agent.turn.outcome': 'hang-up' }, 1]
    ],
    'voice_agent.turn.duration': [[GREETING, 1], [RESPONSE, 3]],
    'voice_agent.turn.time_to_first_token': [[RESPONSE, 1]],
    'voice_agent.turn.time_to_first_sentence': [[RESPONSE, 2]],
    'gen_ai.client.operation.duration': [
      [chat, 3], // one of them was not asked to its end
      [{ ...chat, 'error.type': 'InternalServerError' }, 1]
    ],
    'gen_ai.client.operation.time_to_first_chunk': [[chat, 2]],
    'gen_ai.client.token.usage': [
      [{ ...chat, 'gen_ai.token.type': 'input' }, 1],
      [{ ...chat, 'gen_ai.token.type': 'output' }, 1]
    ],
    'gen_ai.execute_tool.duration': [[{ 'gen_ai.operation.name': 'execute_tool', 'gen_ai.tool.type': 'function', 'gen_ai.tool.name': 'look' }, 1]]
  })
  t.match(model, { 'gen_ai.operation.name': 'chat', 'gen_ai.provider.name': 'openai', 'gen_ai.request.model': 'gpt-4.1-mini', 'server.address': '127.0.0.1' })
})

function modelOf (metrics: Record<string, Array<[Attributes, number]>>): Attributes {
  return metrics['gen_ai.client.operation.duration']![0]![0]
}
