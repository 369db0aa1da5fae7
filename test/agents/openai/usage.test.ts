/**
 * Token counts in a model's answer that are no numbers of tokens.
 */
import t from 'tap'
import type { TurnReport } from '../../../lib/index.js'
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
