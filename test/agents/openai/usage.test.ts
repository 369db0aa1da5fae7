/**
 * How a model's server is asked for the tokens of an answer, and token counts that are no numbers of tokens.
 */
import t, { type Test } from 'tap'
import { openAIAgent } from '../../../lib/agents/openai/agent.js'
import type { TurnReport } from '../../../lib/index.js'
import { startScriptedModel, type ScriptedModel } from '../../../lib/testing/scripted-model.js'
import { fakeTurn } from '../../helpers/fake-turn.js'
import { openLine } from '../../helpers/model-line.js'

/** The JSON of two figures, and what of them is reported. */
const FIGURES: ReadonlyArray<readonly [read: string, written: string, reported: readonly [number, number]]> = [
  ['20', '10', [20, 10]],
  ['1e999', '10', [0, 10]],
  ['20', '-1e999', [20, 0]],
  ['-1', '1e300', [0, 0]],
  ['1000000000', '1000000001', [1e9, 0]],
  ['"20"', '[10]', [0, 0]],
  ['null', '{"valueOf":1}', [0, 0]],
  ['true', '10', [0, 10]]
]

for (const [read, written, [inputTokens, outputTokens]] of FIGURES) {
  t.test(`an answer that took ${read} and ${written} tokens, by its server, is spoken`, async t => {
    const reports: TurnReport[] = []
    const line = await openLine(t, 'retell', [], { hooks: { onTurnEnd: (_turn, report) => { reports.push(report) } } })
    // Infinity is written by hand, as JSON.stringify() knows none.
    line.server.next({ steps: ['Yes.', { raw: `data: {"model":"m","choices":[],"usage":{"prompt_tokens":${read},"completion_tokens":${written}}}\n\n` }] })
    t.equal(await line.hear(1, 'Are you open?'), 'Yes.')
    t.match(reports.at(-1), { outcome: 'completed', inputTokens, outputTokens })
  })
}

const ASKED = { include_usage: true }

/** Asks so many times, and returns what was heard, and how often the server was asked for figures. */
async function askAll (t: Test, model: ScriptedModel, usage: boolean | 'always' | undefined, times: number) {
  const agent = openAIAgent({ baseURL: model.url, ...(usage !== undefined && { usage }) })
  t.teardown(() => agent.close())
  const heard: string[] = []
  for (let i = 0; i < times; i++) {
    let words = ''
    try {
      for await (const piece of agent(fakeTurn())) if (typeof piece === 'string') words += piece
    } catch (error) {
      words = (error as Error).message
    }
    heard.push(words)
  }
  return { heard, asked: model.requests.map(({ body }) => body['stream_options']) }
}

async function startModel (t: Test): Promise<ScriptedModel> {
  const model = await startScriptedModel()
  t.teardown(() => model.close())
  return model
}

t.test('with usage: always any server is asked for the tokens of an answer, and otherwise none but OpenAI and Azure', async t => {
  t.match(await askAll(t, await startModel(t), 'always', 2), { heard: ['You said: Hi', 'You said: Hi'], asked: [ASKED, ASKED] })
  t.match(await askAll(t, await startModel(t), true, 1), { asked: [undefined] })
  t.match(await askAll(t, await startModel(t), undefined, 1), { asked: [undefined] })
  t.match(await askAll(t, await startModel(t), false, 1), { asked: [undefined] })
})

for (const [status, message] of [[400, 'Unknown parameter: stream_options'], [422, '[{"loc":["body","stream_options","include_usage"],"msg":"Extra inputs are not permitted"}]']] as const) {
  t.test(`a server that refuses to be asked with ${status} is asked once more without, in the same turn, and never again`, async t => {
    const model = await startModel(t)
    model.handler = ({ body }) => body['stream_options'] === undefined ? 'We open at nine.' : { status, body: { error: { message } } }
    t.strictSame(await askAll(t, model, 'always', 2), { heard: ['We open at nine.', 'We open at nine.'], asked: [ASKED, undefined, undefined] })
  })
}

t.test('another refusal is not taken for one of being asked for tokens', async t => {
  const model = await startModel(t)
  model.next({ status: 400, body: { error: { message: 'no' } } }, { status: 500, body: { error: { message: 'stream_options' } } }, 'Yes.')
  t.strictSame(await askAll(t, model, 'always', 3), { heard: ['400 no', '500 stream_options', 'Yes.'], asked: [ASKED, ASKED, ASKED] })
})

t.test('a server that refuses for the same reason again is not asked for ever', async t => {
  const model = await startModel(t)
  model.handler = () => ({ status: 400, body: { error: { message: 'stream_options' } } })
  t.strictSame(await askAll(t, model, 'always', 2), { heard: ['400 stream_options', '400 stream_options'], asked: [ASKED, undefined, undefined] })
})
