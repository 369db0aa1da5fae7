/**
 * Ids and names that models and their servers make up.
 */
import { Type } from '@sinclair/typebox'
import t from 'tap'
import type { Call, ToolAction } from '../../lib/contract/agent.js'
import { runTool } from '../../lib/tools/run-tool.js'
import { tool } from '../../lib/tools/tool.js'
import { isId } from '../../lib/contract/id.js'
import { fakeTurn } from '../helpers/fake-turn.js'
import { openLine } from '../helpers/model-line.js'
import { FAIR_IDS, ODD_IDS } from '../helpers/odd-ids.js'
import { useTelemetry, type SpanTree } from '../helpers/telemetry.js'

const look = tool({ name: 'look', description: 'Looks.', parameters: Type.Object({}), execute: () => 'done' })

t.test('a tool call with an invalid id is recorded by a new one', async t => {
  const record: ToolAction[] = []
  const call = {
    id: 'call_1', provider: 'retell', completedTurns: 0, record: entry => record.push(entry) > 0, waitUntil: () => {}
  } as Partial<Call> as Call
  for (const id of [...FAIR_IDS, ...ODD_IDS]) {
    record.length = 0
    await runTool(fakeTurn({ call }), look, {}, id)
    t.equal(record.length, 2)
    t.equal(record[0]!.id === id, FAIR_IDS.includes(id))
    t.ok(record.every(entry => isId(entry.id) && entry.id === record[0]!.id))
  }
})

t.test('names that a model\'s server invents are in spans only if they are ids', async t => {
  const { trees } = useTelemetry(t)
  const { server, hear, line } = await openLine(t, 'retell', [], {})
  for (const [index, name] of ['served-1', 'served\n1', '\ud800', 'x'.repeat(257)].entries()) {
    const usage = { prompt_tokens: 1, completion_tokens: 1 }
    server.next({ steps: ['Yes.', { chunk: { model: name, choices: [{ delta: {}, finish_reason: name }], usage } }], finishReason: null })
    await hear(index + 1, 'Are you open?')
  }
  line.hangUp(1000)
  const all = (tree: SpanTree): SpanTree[] => [tree, ...tree.children.flatMap(all)]
  const attributes = trees().flatMap(all).flatMap(({ attributes }) => [
    'gen_ai.response.model', 'gen_ai.response.finish_reasons'
  ].flatMap(name => attributes[name] ?? []))
  t.strictSame(new Set(attributes.flat()), new Set(['served-1', 'gpt-4.1-mini', '_OTHER']))
})
