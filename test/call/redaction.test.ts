import t from 'tap'
import { toolCall, toolResult, type ChatMessage, type TranscriptUpdate, type Turn, type TurnReport } from '../../lib/index.js'
import { redactingHooks } from '../../lib/call/redaction.js'
import type { Redact } from '../../lib/speech/redact.js'
import { build, deferred } from '../helpers/app.js'
import { dial, dialRetell, millis, retell } from '../helpers/caller.js'

const withoutDigits: Redact = text => text.replaceAll(/\d/g, '#')

t.test('hooks that store what people say are told what redact leaves of it, and agents all', async t => {
  const updates: TranscriptUpdate[] = []
  const turns: Turn[] = []
  const reports: TurnReport[] = []
  const heard: string[] = []
  const second = deferred()
  const { app } = await build(t, async function * (turn) {
    heard.push(turn.transcript.at(-1)?.content ?? '')
    if (turn.id === 1) {
      yield toolCall('tool_1', 'book', { phone: '555' })
      yield toolResult('tool_1', 'booked 555')
    }
    yield 'Your number is 555.'
  }, {
    redact: withoutDigits,
    onTranscript: (_call, update) => { updates.push(update) },
    onTurnEnd: (turn, report) => {
      turns.push(turn)
      reports.push(report)
      if (turn.id === 2) second.resolve()
    }
  })
  const caller = await dialRetell(t, app)
  caller.send(retell.details(), retell.update('I am 007'), retell.request(1, 'call 555'))
  await caller.response(1)
  caller.send(retell.request(2, 'call 555', 'Your number is 555.', 'thanks, 555'))
  await caller.response(2)
  await second.promise

  t.strictSame(heard, ['', 'call 555', 'thanks, 555'])
  t.strictSame(updates, [{ transcript: [{ role: 'user', content: 'I am ###' }] }])
  const turn = turns[2]!
  t.match(turn, { id: 2, reason: 'response', call: { id: 'call_1' }, signal: AbortSignal, log: {} })
  t.match(reports[2], { outcome: 'completed' })
  t.strictSame(turn.transcript.map(({ content }) => content), ['call ###', 'Your number is ###.', 'thanks, ###'])
  t.notMatch(JSON.stringify(turn.messages), /\d{3}/)
  const [call, result] = turn.messages.slice(-4) as [ChatMessage & { tool_calls: any[] }, ChatMessage]
  t.strictSame(call.tool_calls, [{ id: 'tool_1', type: 'function', function: { name: 'book', arguments: '{"phone":"###"}' } }])
  t.equal(result.content, 'booked ###')
  t.equal(turn.messages, turn.messages)
})

t.test('of what Retell sends with an utterance, its words and their times, redacted hooks are told nothing', async t => {
  const updates: TranscriptUpdate[] = []
  const transcripts: unknown[] = []
  const { app } = await build(t, () => 'Yes', {
    redact: withoutDigits,
    onTranscript: (_call, update) => { updates.push(update) },
    onTurnEnd: turn => { transcripts.push(turn.transcript) },
    onCallEnd: (_call, { transcript }) => { transcripts.push(transcript) }
  })
  const transcript = [{ role: 'user', content: 'I am 007', words: [{ word: '007', start: 0.1, end: 0.4 }], metadata: { heard: '007' } }]
  const caller = await dialRetell(t, app)
  caller.send(retell.details(), { interaction_type: 'update_only', transcript }, { interaction_type: 'response_required', response_id: 1, transcript })
  await caller.response(1)
  await app.close()
  const redacted = [{ role: 'user', content: 'I am ###' }]
  t.strictSame(updates, [{ transcript: redacted }])
  t.strictSame(transcripts.slice(1), [redacted, [...redacted, { role: 'agent', content: 'Yes' }]])
})

t.test('what Millis hears is redacted, too, and who wants to know nothing is not told', async t => {
  const told = deferred<TranscriptUpdate>()
  const { app } = await build(t, () => 'Yes', { redact: withoutDigits, onTranscript: (_call, update) => { told.resolve(update) } })
  const caller = await dial(t, app, '/millis')
  caller.send(millis.start(0), { type: 'partial_transcript', data: { session_id: 'ses_1', transcript: 'I am 007', is_final: true } })
  t.strictSame(await told.promise, { partial: 'I am ###', final: true })
  t.strictSame(Object.keys(redactingHooks({}, withoutDigits)), [])
})

t.test('where redact fails nothing is told rather than all', async t => {
  for (const redact of [() => { throw new Error('no') }, () => undefined as unknown as string]) {
    const told = deferred<TranscriptUpdate>()
    const { app, logs } = await build(t, () => 'Yes', { redact, onTranscript: (_call, update) => { told.resolve(update) } })
    const caller = await dialRetell(t, app)
    caller.send(retell.details(), retell.update('I am 007'))
    t.strictSame(await told.promise, { transcript: [{ role: 'user', content: '[redacted]' }] })
    t.ok(logs.some(({ level, msg }) => level === 50 && /redact function/.test(msg)))
    // It may stand in a time, or in the number of the process.
    t.notMatch(JSON.stringify(logs.filter(({ level }) => level >= 30), (key, value: unknown) => key === 'time' || key === 'pid' ? undefined : value), '007')
  }
})

t.test('a message of words and tool calls keeps its shape', async t => {
  const message: ChatMessage = { role: 'assistant', content: 'On 5', tool_calls: [] }
  const told = deferred<ChatMessage[]>()
  const hooks = redactingHooks({ onTurnEnd: turn => { told.resolve(turn.messages) } }, withoutDigits)
  hooks.onTurnEnd!({ messages: [message, { ...message, content: null }], log: {} } as unknown as Turn, {} as TurnReport)
  t.strictSame(await told.promise, [{ ...message, content: 'On #' }, { ...message, content: null }])
})
