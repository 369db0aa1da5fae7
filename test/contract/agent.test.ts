import t, { type Test } from 'tap'
import { endCall, filler, flush, isAction, pause, pressDigits, toolCall, toolResult, transferCall, uninterruptible } from '../../lib/contract/agent.js'
import { ActionError } from '../../lib/contract/errors.js'

// `t.throws` is content with a part of the message.
function rejects (t: Test, build: () => unknown, message: string): void {
  let thrown: unknown
  try {
    build()
  } catch (error) {
    thrown = error
  }
  t.ok(thrown instanceof ActionError)
  const { code, statusCode, message: got } = thrown as InstanceType<typeof ActionError>
  t.strictSame([code, statusCode, got], ['VOICE_AGENT_ERR_ACTION', 400, message])
}

/** What an action says, without its mark. */
const membersOf = (action: object): unknown => Object.fromEntries(Object.entries(action))

t.test('endCall hangs up without a word, or with a goodbye', async t => {
  t.strictSame(membersOf(endCall()), { action: 'end-call', say: '' })
  t.strictSame(membersOf(endCall({})), { action: 'end-call', say: '' })
  t.strictSame(membersOf(endCall({ say: 'Goodbye! ' })), { action: 'end-call', say: 'Goodbye! ' })
})

t.test('endCall accepts only strings as words', async t => {
  // @ts-expect-error a number cannot be said
  rejects(t, () => endCall({ say: 7 }), 'endCall: say must be a string')
})

t.test('transferCall keeps the destination as given', async t => {
  t.strictSame(membersOf(transferCall('+15550100009')), { action: 'transfer-call', destination: '+15550100009', say: '', showCaller: false })
  t.strictSame(membersOf(transferCall('sip:desk@example.com', { say: 'One moment.', showCaller: true })),
    { action: 'transfer-call', destination: 'sip:desk@example.com', say: 'One moment.', showCaller: true })
})

t.test('transferCall needs a destination', async t => {
  rejects(t, () => transferCall(''), 'transferCall: destination is empty')
  rejects(t, () => transferCall(' \t'), 'transferCall: destination is empty')
  // @ts-expect-error a number in digits is no destination
  rejects(t, () => transferCall(15550100009), 'transferCall: destination must be a string')
  // @ts-expect-error neither is nothing
  rejects(t, () => transferCall(), 'transferCall: destination must be a string')
})

t.test('transferCall accepts only strings as words', async t => {
  // @ts-expect-error an object cannot be said
  rejects(t, () => transferCall('+15550100009', { say: {} }), 'transferCall: say must be a string')
})

t.test('pressDigits accepts every key of a telephone', async t => {
  t.strictSame(membersOf(pressDigits('0123456789*#ABCD')), { action: 'press-digits', digits: '0123456789*#ABCD' })
})

t.test('pressDigits rejects anything else, and the error does not quote it', async t => {
  for (const digits of ['', ' ', '1 2', '12\n', '1-2', 'a', 'E', '+1', '１']) {
    rejects(t, () => pressDigits(digits), 'pressDigits: digits are 0-9, *, # and A-D')
  }
  // @ts-expect-error leading zeros would be lost
  rejects(t, () => pressDigits(12), 'pressDigits must be a string')
})

t.test('pause accepts milliseconds above 0, at most a minute', async t => {
  t.strictSame([0.5, 400, 60_000].map(pause).map(membersOf), [{ action: 'pause', ms: 0.5 }, { action: 'pause', ms: 400 }, { action: 'pause', ms: 60_000 }])
})

t.test('pause rejects anything else', async t => {
  const message = 'pause: ms is a number above 0, at most 60000'
  for (const ms of [0, -0, -1, 60_000.1, NaN, Infinity, -Infinity]) rejects(t, () => pause(ms), message)
  // @ts-expect-error a string is no number
  rejects(t, () => pause('400'), message)
  // @ts-expect-error neither is nothing
  rejects(t, () => pause(), message)
})

t.test('flush has no properties', async t => {
  t.strictSame(membersOf(flush()), { action: 'flush' })
})

t.test('filler and uninterruptible carry their words', async t => {
  t.strictSame(membersOf(filler('Let me look. ')), { action: 'filler', text: 'Let me look. ' })
  t.strictSame(membersOf(uninterruptible('')), { action: 'uninterruptible', text: '' })
})

t.test('filler and uninterruptible accept only strings', async t => {
  // @ts-expect-error null cannot be said
  rejects(t, () => filler(null), 'filler must be a string')
  // @ts-expect-error neither can an array
  rejects(t, () => uninterruptible(['Hi']), 'uninterruptible must be a string')
})

t.test('toolCall accepts arguments as an object or as JSON text', async t => {
  const action = { action: 'tool-call', id: 'tc_1', name: 'find_slot', arguments: '{"day":"tue"}' }
  t.strictSame(membersOf(toolCall('tc_1', 'find_slot', { day: 'tue' })), action)
  t.strictSame(membersOf(toolCall('tc_1', 'find_slot', '{"day":"tue"}')), action)
  t.strictSame(membersOf(toolCall('tc_1', 'find_slot', '')), { ...action, arguments: '' })
})

t.test('toolCall accepts only strings as id and name', async t => {
  // @ts-expect-error a number is no id
  rejects(t, () => toolCall(1, 'find_slot', {}), 'toolCall: id must be a string')
  // @ts-expect-error nothing is no name
  rejects(t, () => toolCall('tc_1', undefined, {}), 'toolCall: name must be a string')
  // @ts-expect-error nothing has no text
  rejects(t, () => toolCall('tc_1', 'find_slot', undefined), 'toolCall: arguments must be a string')
  rejects(t, () => toolCall('', 'find_slot', {}), 'toolCall: id is empty')
  rejects(t, () => toolCall('tc_1', ' ', {}), 'toolCall: name is empty')
  rejects(t, () => toolResult('', 'nine'), 'toolResult: id is empty')
})

t.test('toolResult has successful only if it was given', async t => {
  t.strictSame(membersOf(toolResult('tc_1', 'nine')), { action: 'tool-result', id: 'tc_1', content: 'nine' })
  t.strictSame(membersOf(toolResult('tc_1', '', true)), { action: 'tool-result', id: 'tc_1', content: '', successful: true })
  t.strictSame(membersOf(toolResult('tc_1', 'no', false)), { action: 'tool-result', id: 'tc_1', content: 'no', successful: false })
})

t.test('toolResult accepts only strings as id and content', async t => {
  // @ts-expect-error null is no id
  rejects(t, () => toolResult(null, 'nine'), 'toolResult: id must be a string')
  // @ts-expect-error an object is no content
  rejects(t, () => toolResult('tc_1', { slots: [] }), 'toolResult: content must be a string')
})

t.test('every builder makes an action', async t => {
  const actions = [
    endCall(), transferCall('+1'), pressDigits('1'), pause(1), flush(), filler('a'), uninterruptible('a'), toolCall('a', 'b', {}), toolResult('a', 'b')
  ]
  t.strictSame(actions.map(isAction), actions.map(() => true))
})

t.test('nothing else is an action', async t => {
  const others = [undefined, null, 'flush', 1, true, [], {}, { action: undefined }, { action: 'fly' }, { action: 'constructor' }, { type: 'flush' }, () => {}]
  t.strictSame(others.map(isAction), others.map(() => false))
})

t.test('a valid copy of an action is an action', async t => {
  t.strictSame([{ ...pause(5), extra: 1 }, { ...endCall(), say: 'Bye' }].map(isAction), [true, true])
  const wrong: object[] = [
    { ...endCall(), say: undefined }, { ...transferCall('+1'), destination: ' ' }, { ...transferCall('+1'), showCaller: 'no' }, { ...pressDigits('1'), digits: 'x' },
    { ...pause(1), ms: 0 }, { ...pause(1), ms: 1e9 }, { ...filler('a'), text: 5 }, { ...uninterruptible('a'), text: null }, { ...toolCall('1', 'x', {}), arguments: {} },
    { ...toolResult('1', ''), id: '' }, { ...flush(), action: ['flush'] }, { ...flush(), action: 'fly' }
  ]
  t.strictSame(wrong.map(isAction), wrong.map(() => false))
})
