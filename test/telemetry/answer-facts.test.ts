/**
 * A turn's report names the model's server that was asked, and the agent.
 */
import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import { openAIAgent } from '../../lib/agents/openai/agent.js'
import { failover, type TurnReport } from '../../lib/index.js'
import { failures, startScriptedModel, STALL, type Script } from '../../lib/testing/scripted-model.js'
import { tool } from '../../lib/tools/tool.js'
import { noteAnswerFacts } from '../../lib/telemetry/answer-facts.js'
import { fakeTurn } from '../helpers/fake-turn.js'
import { calling, openLine, type StreamingAgent } from '../helpers/model-line.js'

const look = tool({ name: 'look', description: 'Looks.', parameters: Type.Object({}), sideEffects: false, execute: () => 'nine' })

/** The facts in the report of one turn, whose model answers so, and the line of the log that shows them. */
async function factsOf (t: Test, scripts: Script[], wrap?: (agent: StreamingAgent) => StreamingAgent) {
  const reports: TurnReport[] = []
  const line = await openLine(
    t, 'retell', [look], { ...(wrap && { wrap }), hooks: { onTurnEnd: (_turn, report) => { reports.push(report) } } }
  )
  line.server.next(...scripts)
  await line.hear(1, 'Are you open?')
  const { outcome, agent, server, httpStatus, finishReason } = reports.at(-1)!
  const logged = line.line.logs.findLast(({ msg }) => msg === 'turn ended')!
  t.match(logged, { agent, server, httpStatus, finishReason }, 'the log shows the same')
  return { facts: { outcome, agent, server, httpStatus, finishReason }, host: new URL(line.server.url).host }
}

t.test('a report holds server, status and finish_reason of the last answer', async t => {
  const { facts, host } = await factsOf(t, ['Yes.'])
  t.strictSame(facts, { outcome: 'completed', agent: undefined, server: host, httpStatus: 200, finishReason: 'stop' })
})

t.test('an unknown finish_reason is reported as other', async t => {
  const { facts } = await factsOf(
    t, [{ steps: ['Yes.', { chunk: { choices: [{ delta: {}, finish_reason: 'I am sorry' }] } }], finishReason: null }]
  )
  t.match(facts, { outcome: 'error', httpStatus: 200, finishReason: 'other' })
})

t.test('a report holds the status of a refusal, and none if the server gave none', async t => {
  t.match(
    (await factsOf(t, [failures.rateLimited])).facts,
    { outcome: 'error', server: /^127\.0\.0\.1:\d+$/, httpStatus: 429, finishReason: undefined }
  )
  t.match((await factsOf(t, [failures.cutBeforeHeaders])).facts, { outcome: 'error', server: /^127\.0\.0\.1:\d+$/, httpStatus: undefined })
  t.match((await factsOf(t, [failures.cutMidStream])).facts, { outcome: 'error', httpStatus: 200, finishReason: undefined })
})

t.test('a turn with several answers reports the last one', async t => {
  const { facts } = await factsOf(t, [calling('look({})'), { steps: ['Ye'], finishReason: 'length' }])
  t.match(facts, { outcome: 'completed', httpStatus: 200, finishReason: 'length' })
})

t.test('a report names the agent of a failover that was asked last', async t => {
  const { facts, host } = await factsOf(t, [failures.serverError, 'Yes.'], agent => {
    const other = failover([agent as never, agent as never, () => 'Never.'], { probe: false })
    return turn => other.call(undefined as never, turn) as AsyncIterable<string>
  })
  t.strictSame(facts, { outcome: 'completed', agent: 1, server: host, httpStatus: 200, finishReason: 'stop' })
})

t.test('the report of the next agent holds nothing of the failed agent\'s server', async t => {
  const { facts } = await factsOf(t, [failures.serverError], agent => {
    const other = failover([agent as never, async function * () { yield 'Yes.' }], { probe: false })
    return turn => other.call(undefined as never, turn) as AsyncIterable<string>
  })
  t.strictSame(facts, { outcome: 'completed', agent: 1, server: undefined, httpStatus: undefined, finishReason: undefined })
})

t.test('an abandoned agent changes nothing in the report', async t => {
  const slow = await startScriptedModel()
  t.teardown(() => slow.close())
  slow.next(STALL)
  const left = openAIAgent({ baseURL: slow.url })
  t.teardown(() => left.close())
  const { facts } = await factsOf(t, [], () => {
    const other = failover([left, async function * () { yield 'Yes.' }], { probe: false, firstTokenMs: 1 })
    return turn => turn.reason === 'greeting' ? (async function * () {})() : other.call(undefined as never, turn) as AsyncIterable<string>
  })
  t.strictSame(facts, { outcome: 'completed', agent: 1, server: undefined, httpStatus: undefined, finishReason: undefined })
})

t.test('facts of a turn without a call are dropped', async t => {
  t.doesNotThrow(() => noteAnswerFacts(fakeTurn(), { httpStatus: 200 }))
})
