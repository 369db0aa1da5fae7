import assert from 'node:assert/strict'
import t from 'tap'
import fc from 'fast-check'
import type { OpenAI } from 'openai'
import type { ChatMessage, TurnReason } from '../../lib/contract/agent.js'
import { CALLER_SILENT, CALLER_UNHEARD, CALL_CONNECTED, placeBehind, toMessages, type MessagesOptions } from '../../lib/call/messages.js'
import type { Spoken, ToolRecord } from '../../lib/call/spoken.js'
import type { Entry } from '../../lib/providers/codec.js'
import { scaledRuns } from '../helpers/runs.js'
import { messageFaults, type WireMessage } from '../helpers/valid-messages.js'

// What `openai` takes as a request's messages, or this file does not compile.
type Param = OpenAI.ChatCompletionMessageParam
const asParams: (...args: Parameters<typeof toMessages>) => Param[] = toMessages

const PLAIN: MessagesOptions = { leadingAssistant: false, afterTool: '', spoken: [] }

const NO_RESULT = '{"error":"no result was recorded: whether it took effect is not known"}'
const STILL_RUNNING = '{"status":"still running: call it again with the same arguments to get its result"}'

const speech = (role: string, content: string): Entry => ({ kind: 'speech', role, content })
const agent = (content: string) => speech('agent', content)
const caller = (content: string) => speech('user', content)
const note = (content: string): Entry => ({ kind: 'note', content })
const invoke = (id: string, name = 'lookup', args = '{"a":1}'): Entry => ({ kind: 'tool-call', id, name, arguments: args })
const result = (id: string, content = `result ${id}`, successful?: boolean): Entry =>
  ({ kind: 'tool-result', id, content, ...(successful === undefined ? {} : { successful }) })

const user = (content: string): ChatMessage => ({ role: 'user', content })
const assistant = (content: string): ChatMessage => ({ role: 'assistant', content })
const pair = (id: string, content = `result ${id}`, name = 'lookup', args = '{"a":1}', text: string | null = null): ChatMessage[] => [
  { role: 'assistant', content: text, tool_calls: [{ id, type: 'function', function: { name, arguments: args } }] },
  { role: 'tool', tool_call_id: id, content }
]

/** A tool on the call's own record, called when so many characters had been said. */
const used = (id: string, at = 0, result: string | undefined = `result ${id}`): ToolRecord => ({ id, name: 'lookup', arguments: '{"a":1}', at, runsOnce: true, result })
/** What a turn said, in answer to so many utterances, and which tools it called. */
const did = (text: string, utterances: number, tools: ToolRecord[], more: Partial<Spoken> = {}): Spoken => ({ text, inPassing: [], tools, place: { utterances, more: 0 }, ...more })
/** The same, where the assistant said something ahead of it. */
const pairAfter = (text: string, id: string, content?: string): ChatMessage[] => pair(id, content, undefined, undefined, text)

interface Case {
  behaviour: string
  entries: Entry[]
  messages: ChatMessage[]
  reason?: TurnReason
  options?: Partial<MessagesOptions>
}

const cases: Case[] = [
  // speech
  {
    behaviour: 'the caller is the user, the agent the assistant',
    entries: [caller('Hi'), agent('Hello'), caller('Two tickets')],
    messages: [user('Hi'), assistant('Hello'), user('Two tickets')]
  },
  {
    behaviour: 'a role nobody knows speaks as the user',
    entries: [agent('Hold on'), speech('transfer_target', 'Desk here'), agent('Bye'), speech('constructor', 'Hi')],
    messages: [user(CALL_CONNECTED), assistant('Hold on'), user('Desk here'), assistant('Bye'), user('Hi')]
  },
  {
    behaviour: 'system, tool and function entries are never told',
    entries: [speech('system', 'Obey'), caller('Hi'), speech('tool', '42'), speech('function', '42'), speech('system', 'Obey')],
    messages: [user('Hi')]
  },
  {
    behaviour: 'text is trimmed, and kept as it is inside',
    entries: [caller(' \n Hi,  there\u00a0'), agent('Hello '), caller('\tBye')],
    messages: [user('Hi,  there'), assistant('Hello'), user('Bye')]
  },
  {
    behaviour: 'blank entries are left out, and what stood around them is merged',
    entries: [caller('So'), agent(' '), caller(''), note('\n'), caller('then')],
    messages: [user('So then')]
  },
  {
    behaviour: 'unintelligible audio is told, because the model should ask again',
    entries: [agent('Your name?'), caller('(unintelligible audio)')],
    messages: [user(CALL_CONNECTED), assistant('Your name?'), user('(unintelligible audio)')]
  },
  {
    behaviour: 'neighbours of one role are merged with a space',
    entries: [caller('I '), caller('want'), agent('Yes?'), agent('Go on'), caller('a'), caller(' room')],
    messages: [user('I want'), assistant('Yes? Go on'), user('a room')]
  },
  {
    behaviour: 'a note is told by the user and merged with what he says',
    entries: [agent('Press a key'), note('(pressed 4)'), caller('Done'), note('(pressed 5)')],
    messages: [user(CALL_CONNECTED), assistant('Press a key'), user('(pressed 4) Done (pressed 5)')]
  },

  // tools
  {
    behaviour: 'a tool call is followed by its result',
    entries: [caller('Price?'), invoke('1'), result('1'), agent('Nine'), caller('Fine')],
    messages: [user('Price?'), ...pair('1'), assistant('Nine'), user('Fine')]
  },
  {
    behaviour: 'a result moves to its call, over speech, over other calls, and backwards',
    entries: [caller('Price?'), result('3'), invoke('1'), agent('One moment'), invoke('2'), caller('Well?'), result('2'), result('1'), invoke('3')],
    messages: [user('Price?'), ...pair('1'), ...pairAfter('One moment', '2'), user('Well?'), ...pair('3')]
  },
  {
    behaviour: 'texts of one role are not merged over a tool call',
    entries: [caller('Hi'), agent('Let me see.'), invoke('1'), result('1'), agent('Nine.'), caller('So'), invoke('2'), result('2'), caller('then')],
    messages: [user('Hi'), ...pairAfter('Let me see.', '1'), assistant('Nine.'), user('So'), ...pair('2'), user('then')]
  },
  {
    behaviour: 'a call without a result gets an error for one',
    entries: [caller('Price?'), invoke('1'), caller('Hello?')],
    messages: [user('Price?'), ...pair('1', NO_RESULT), user('Hello?')]
  },
  {
    behaviour: 'a result without a call is left out',
    entries: [caller('So'), result('1'), caller('then')],
    messages: [user('So then')]
  },
  {
    behaviour: 'of two calls with one id, and of two results, the first stands',
    entries: [caller('Price?'), invoke('1'), result('1', 'nine'), invoke('1', 'other'), result('1', 'ten')],
    messages: [user('Price?'), ...pair('1', 'nine')]
  },
  {
    behaviour: 'what a failed tool said is kept, to the letter',
    entries: [caller('Price?'), invoke('1'), result('1', ' {"error":"sold out"}\n', false)],
    messages: [user('Price?'), ...pair('1', ' {"error":"sold out"}\n')]
  },
  {
    behaviour: 'blank arguments and blank results are made readable',
    entries: [caller('Stop'), invoke('1', 'stop', ''), result('1', ' ')],
    messages: [user('Stop'), ...pair('1', '(no output)', 'stop', '{}')]
  },
  // the start
  {
    behaviour: "the assistant's greeting is preceded by the connection",
    entries: [agent('Hello'), caller('Hi')],
    messages: [user(CALL_CONNECTED), assistant('Hello'), user('Hi')]
  },
  {
    behaviour: 'so is a tool call',
    entries: [invoke('1'), result('1'), agent('Hello'), caller('Hi')],
    messages: [user(CALL_CONNECTED), ...pair('1'), assistant('Hello'), user('Hi')]
  },
  {
    behaviour: 'the assistant may lead where the model allows it',
    entries: [agent('Hello'), caller('Hi')],
    messages: [assistant('Hello'), user('Hi')],
    options: { leadingAssistant: true }
  },
  {
    behaviour: 'without a word there is the connection',
    entries: [],
    messages: [user(CALL_CONNECTED)]
  },
  {
    behaviour: 'also where the assistant may lead',
    entries: [speech('system', 'Obey'), caller(' ')],
    messages: [user(CALL_CONNECTED)],
    options: { leadingAssistant: true }
  },

  // the end
  {
    behaviour: 'a response to nothing understandable says so',
    entries: [caller('Hi'), agent('Hello'), caller(' ')],
    messages: [user('Hi'), assistant('Hello'), user(CALLER_UNHEARD)]
  },
  {
    behaviour: "a response may follow a tool's result",
    entries: [caller('Price?'), agent('One moment'), invoke('1'), result('1')],
    messages: [user('Price?'), ...pairAfter('One moment', '1')]
  },
  {
    behaviour: 'a reminder says that the caller is silent',
    reason: 'reminder',
    entries: [caller('Hi'), agent('Hello')],
    messages: [user('Hi'), assistant('Hello'), user(CALLER_SILENT)]
  },
  {
    behaviour: 'and says it after what the caller said last',
    reason: 'reminder',
    entries: [caller('Hi')],
    messages: [user(`Hi ${CALLER_SILENT}`)]
  },
  {
    behaviour: "and after a tool's result",
    reason: 'reminder',
    entries: [caller('Hi'), invoke('1'), result('1')],
    messages: [user('Hi'), ...pair('1'), user(CALLER_SILENT)]
  },
  {
    behaviour: 'and when nobody has said anything',
    reason: 'reminder',
    entries: [],
    messages: [user(CALLER_SILENT)]
  },
  {
    behaviour: 'a greeting has the connection to answer',
    reason: 'greeting',
    entries: [],
    messages: [user(CALL_CONNECTED)]
  },
  {
    behaviour: 'a greeting after earlier words ends with the connection',
    reason: 'greeting',
    entries: [caller('Hi'), agent('Hello')],
    messages: [user('Hi'), assistant('Hello'), user(CALL_CONNECTED)]
  },
  {
    behaviour: "and so does one after a tool's result",
    reason: 'greeting',
    entries: [invoke('1'), result('1')],
    messages: [...pair('1'), user(CALL_CONNECTED)],
    options: { leadingAssistant: true }
  },
  {
    behaviour: 'what the agent said in passing is left out of its mouth, and of nobody else\'s',
    entries: [caller('One moment.'), agent('One moment. It is five. Sorry?'), caller('Sorry?')],
    messages: [user('One moment.'), assistant('It is five.'), user('Sorry?')],
    options: { spoken: [{ text: 'One moment. It is five. Sorry?', inPassing: [[0, 12], [24, 30]], tools: [] }] }
  },
  // The provider keeps no books, or has not got so far.
  {
    behaviour: 'a tool that was called before a word was said stands before the words',
    entries: [caller('Book it'), agent('Booked.'), caller('Thanks')],
    messages: [user('Book it'), ...pair('1'), assistant('Booked.'), user('Thanks')],
    options: { spoken: [did('Booked.', 1, [used('1')])] }
  },
  {
    behaviour: 'one that was called between words stands between them, in whatever way the provider writes them',
    entries: [caller('Book it'), agent('I can do that!  Booked!'), caller('Thanks')],
    messages: [user('Book it'), ...pairAfter('I can do that!', '1'), ...pair('2'), assistant('Booked!'), user('Thanks')],
    options: { spoken: [did('I can do that. Booked.', 1, [used('1', 15), used('2', 15)])] }
  },
  {
    behaviour: 'what was said in passing around it is left out',
    entries: [caller('Book it'), agent('One moment. Still busy. Booked.'), caller('Thanks')],
    messages: [user('Book it'), ...pair('1'), assistant('Booked.'), user('Thanks')],
    options: { spoken: [did('One moment. Still busy. Booked.', 1, [used('1', 12)], { inPassing: [[0, 12], [12, 24]] })] }
  },
  {
    behaviour: 'one that was called when the caller had already stopped listening stands behind what was heard',
    entries: [caller('Book it'), agent('I can'), caller('Wait')],
    messages: [user('Book it'), ...pairAfter('I can', '1'), user('Wait')],
    options: { spoken: [did('I can do that. Booked.', 1, [used('1', 15)])] }
  },
  {
    behaviour: 'where nothing of the turn was heard it stands behind what was asked',
    entries: [caller('Hi'), agent('Hello'), caller('Book it'), caller('please'), agent('Sure'), caller('Well?')],
    messages: [user('Hi'), assistant('Hello'), user('Book it'), ...pair('1'), ...pair('2'), user('please'), assistant('Sure'), user('Well?')],
    options: { spoken: [did('Hello', 1, []), did('', 2, [used('1'), used('2')]), did('Sure', 3, [])] }
  },
  {
    behaviour: 'asked again with more words, the model goes on from the result',
    entries: [caller('Book it, please')],
    messages: [user('Book it, please'), ...pair('1')],
    options: { spoken: [did('', 1, [used('1')])] }
  },
  {
    behaviour: 'one that still runs says so',
    entries: [caller('Book it'), caller('Well?')],
    messages: [user('Book it'), ...pair('1', STILL_RUNNING), user('Well?')],
    options: { spoken: [did('', 1, [{ ...used('1'), result: undefined }])] }
  },
  {
    behaviour: 'unless nobody knows whether calling it again would not run it again',
    entries: [caller('Book it'), caller('Well?')],
    messages: [user('Book it'), ...pair('1', NO_RESULT), user('Well?')],
    options: { spoken: [did('', 1, [{ ...used('1'), runsOnce: false, result: undefined }])] }
  },
  {
    behaviour: 'one of a greeting stands at the beginning',
    entries: [agent('Hello, Noor'), caller('Hi')],
    messages: [user(CALL_CONNECTED), ...pair('1'), assistant('Hello, Noor'), user('Hi')],
    options: { spoken: [did('Hello, Noor', 0, [used('1')])] }
  },
  {
    behaviour: 'one of a reminder stands behind what had been said last',
    entries: [caller('Hi'), agent('Hello'), agent('Still there?'), caller('Yes')],
    messages: [user('Hi'), ...pairAfter('Hello', '1'), assistant('Still there?'), user('Yes')],
    options: { spoken: [did('Hello', 1, []), did('', 1, [used('1')], { place: { utterances: 1, more: 1 } })] }
  },
  {
    behaviour: 'where the transcript became shorter it stands at the end',
    entries: [caller('Hi')],
    messages: [user('Hi'), ...pair('1')],
    options: { spoken: [did('', 7, [used('1')])] }
  },
  {
    behaviour: 'one that returned nothing says so',
    entries: [caller('Book it')],
    messages: [user('Book it'), ...pair('1', '(no output)')],
    options: { spoken: [did('', 1, [used('1', 0, ' ')])] }
  },
  {
    behaviour: 'what was said before a tool, and what after it, is told so where the provider has all of it before',
    entries: [caller('Book it'), agent('One moment. Booked.'), invoke('1'), result('1'), caller('Thanks')],
    messages: [user('Book it'), ...pair('1'), assistant('Booked.'), user('Thanks')],
    options: { spoken: [did('One moment. Booked.', 1, [used('1', 12)], { inPassing: [[0, 12]] })] }
  },
  {
    behaviour: 'and where it has all of it behind',
    entries: [caller('Book it'), invoke('1'), result('1'), agent('I can. Booked.'), caller('Thanks')],
    messages: [user('Book it'), ...pairAfter('I can.', '1'), assistant('Booked.'), user('Thanks')],
    options: { spoken: [did('I can. Booked.', 1, [used('1', 7)])] }
  },
  {
    behaviour: "where no words tell, the provider's place is kept, as it may join what the caller said",
    entries: [caller('Tuesday Friday'), invoke('1'), result('1'), caller('Wait!')],
    messages: [user('Tuesday Friday'), ...pair('1'), user('Wait!')],
    options: { spoken: [did('Booked.', 2, [used('1')])] }
  },
  {
    behaviour: 'our result is the newer one',
    entries: [caller('Book it'), agent('One moment.'), invoke('1'), result('1', 'timed out'), agent('Booked.'), caller('Thanks')],
    messages: [user('Book it'), ...pair('1', 'booked'), assistant('Booked.'), user('Thanks')],
    options: { spoken: [did('One moment. Booked.', 1, [used('1', 12, 'booked')], { inPassing: [[0, 12]] })] }
  },
  {
    behaviour: 'what follows on a beginning is found, and what was said in passing in it is left out',
    entries: [caller('Book it'), agent('I can.'), invoke('1'), result('1'), agent('Still busy. Booked.'), caller('Thanks')],
    messages: [user('Book it'), ...pairAfter('I can.', '1'), assistant('Booked.'), user('Thanks')],
    options: { spoken: [did('I can. Still busy. Booked.', 1, [used('1', 7)], { inPassing: [[7, 19]] })] }
  },
  {
    behaviour: "one of which the provider has not heard yet is put in, and its neighbour's place kept",
    entries: [caller('Book it'), invoke('1'), result('1'), caller('Well?')],
    messages: [user('Book it'), ...pair('2'), ...pair('1'), user('Well?')],
    options: { spoken: [did('', 1, [used('1'), used('2')])] }
  },
  {
    behaviour: "but not one after the caller's words",
    reason: 'greeting',
    entries: [agent('Hello'), caller('Hi')],
    messages: [assistant('Hello'), user('Hi')],
    options: { leadingAssistant: true }
  }
]

for (const { behaviour, entries, messages, reason = 'response', options } of cases) {
  t.test(behaviour, async t => {
    const got = asParams(frozen(entries), reason, { ...PLAIN, ...options })
    t.strictSame(got, messages)
    t.strictSame(messageFaults(messages), [])
  })
}

t.test('a very long call takes linear time', async t => {
  // Merging, pairing and looking for duplicates, each of which would outlast the timeout if it took quadratic time.
  const n = 200_000
  const ids = Array.from({ length: n }, (_, i) => String(i))
  const entries = [...ids.map(id => caller(`w${id}`)), ...ids.map(id => invoke(id)), ...ids.reverse().map(id => result(id))]
  const messages = toMessages(entries, 'response', PLAIN)
  t.equal(messages.length, 1 + 2 * n)
  t.strictSame(messages.slice(-2), pair(String(n - 1)))
})

// Any entries at all: ids are few, so that they collide, and words are numbered, so that each can be found again.
const id = fc.constantFrom('1', '2', '3', '4')
const name = fc.constantFrom('lookup', 'book')
const role = fc.constantFrom('agent', 'agent', 'user', 'user', 'system', 'tool', 'function', 'transfer_target', '__proto__')
const json = fc.constantFrom('', ' ', '{}', '{"a":1}')
const anyEntries = fc.array(fc.oneof(
  fc.record({ role, words: fc.array(fc.constantFrom('word', ' ', '\n', '(unintelligible audio)'), { maxLength: 3 }) }),
  fc.constantFrom(note(''), note(' \t'), note('(pressed 4)')),
  fc.tuple(id, name, json).map(([id, name, args]) => invoke(id, name, args)),
  fc.tuple(id, json, fc.boolean()).map(([id, content, successful]) => result(id, content, successful))
), { maxLength: 30 }).map(entries => {
  let n = 0
  return entries.map(entry => 'kind' in entry
    ? entry
    : speech(entry.role, entry.words.map(word => word === 'word' ? `word${++n}` : word).join(' ')))
})
const anyReason = fc.constantFrom<TurnReason>('greeting', 'response', 'reminder')
// Turns of which some were heard, some were not, and some never were.
const anySpoken = fc.array(fc.record({
  words: fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 3 }),
  tools: fc.array(fc.record({ id: fc.constantFrom('1', '2', '3', '4', '5', '6'), after: fc.nat(3), result: fc.option(json, { nil: undefined }) }), { maxLength: 2 }),
  place: fc.record({ utterances: fc.nat(8), more: fc.nat(2) })
}), { maxLength: 6 }).map(turns => {
  const ids = new Set<string>()
  return turns.map(({ words, tools, place }): Spoken => ({
    text: words.map(n => `word${n}`).join(' '),
    inPassing: [],
    tools: tools.filter(({ id }) => !ids.has(id) && ids.add(id)).sort((a, b) => a.after - b.after)
      .map(({ id, after, result }) => ({ ...used(id, words.slice(0, after).map(n => `word${n}`).join(' ').length), result })),
    place
  }))
})
const anyOptions: fc.Arbitrary<MessagesOptions> = fc.record({ leadingAssistant: fc.boolean(), afterTool: fc.constantFrom('', '(...)'), spoken: anySpoken })

function always (behaviour: string, check: (messages: ChatMessage[], entries: Entry[], reason: TurnReason, options: MessagesOptions) => void) {
  t.test(behaviour, async () => fc.assert(fc.property(anyEntries, anyReason, anyOptions, (entries, reason, options) => {
    check(toMessages(frozen(entries), reason, options), entries, reason, options)
  }), { numRuns: scaledRuns(1000) }))
}

always('whatever was recorded makes messages that a model accepts', messages => {
  assert.deepEqual(messageFaults(messages), [])
})

always('the user comes first unless the assistant may lead, and the assistant never has the last word', (messages, _, reason, { leadingAssistant }) => {
  if (!leadingAssistant) assert.equal(messages[0]?.role, 'user')
  const last = messages.at(-1)
  assert.ok(last?.role === 'user' || (last?.role === 'tool' && reason === 'response'))
  assert.equal(reason === 'reminder', last.content.endsWith(CALLER_SILENT))
})

always('every word spoken by the caller or the agent is told once, in order, by the right role', (messages, entries) => {
  const spoken = entries.flatMap(entry => entry.kind !== 'speech' || ['system', 'tool', 'function'].includes(entry.role)
    ? []
    : words(entry.role === 'agent' ? 'assistant' : 'user', entry.content))
  assert.deepEqual(messages.flatMap(({ role, content }) => words(role, content ?? '')), spoken)
})

always('every call is told once, those that only the provider knows in its order', (messages, entries, _reason, { spoken }) => {
  const told = messages.flatMap(message => 'tool_calls' in message ? message.tool_calls.map(({ id }) => id) : [])
  const own = spoken.flatMap(({ tools }) => tools.map(({ id }) => id))
  const reported = [...new Set(entries.flatMap(entry => entry.kind === 'tool-call' ? [entry.id] : []))].filter(id => !own.includes(id))
  assert.deepEqual(told.filter(id => !own.includes(id)), reported)
  assert.deepEqual(told.filter(id => own.includes(id)).sort(), own.sort())
})

t.test('a turn has its place where the conversation had come to', async t => {
  const entries = [agent('Hello'), caller('Hi'), agent('Well?'), speech('system', 'Obey'), note('(pressed 4)')]
  t.strictSame(placeBehind(entries), { utterances: 1, more: 3 })
  t.strictSame(placeBehind(entries.slice(0, 2)), { utterances: 1, more: 0 })
  t.strictSame(placeBehind([]), { utterances: 0, more: 0 })
  t.strictSame(placeBehind([agent('Hello')]), { utterances: 0, more: 1 })
})

// The checker is only worth something if it finds faults.
const [call, answer] = pair('1') as [WireMessage, WireMessage]
const broken: Array<[WireMessage[], string[]]> = [
  [[], ['the list is empty']],
  [[{ role: 'system', content: 'Obey' }], ['0: role system']],
  [[user(' ')], ['0: blank content']],
  [[user('Hi'), { role: 'assistant', content: null }], ['1: blank content']],
  [[user('So'), user('then')], ['1: two texts of the user in a row']],
  [[call], ['the list ends in a call without a result']],
  [[call, user('Hi'), answer], ['1: call without a result right after it', '2: result without a call right before it']],
  [[call, answer, answer], ['2: result without a call right before it']],
  [[call, { ...answer, content: '' }], ['1: blank content']],
  [[call, answer, call, answer], ['2: tool call id used twice']],
  [[{ ...call, role: 'user' }, answer], ['0: tool calls of the user']],
  [[{ ...call, content: '' }, answer], ['0: blank content']],
  [[{ ...call, tool_calls: [] }], ['0: no tool calls']],
  [pair('1', 'result 1', 'lookup', ''), ['0: malformed tool call']],
  [[{ role: 'tool', content: '42' }], ['0: result without a call right before it']]
]
t.test('broken lists are told from valid ones', async t => {
  for (const [messages, faults] of broken) t.strictSame(messageFaults(messages), faults)
})

/** Entries that throw when written to. */
function frozen (entries: Entry[]): readonly Entry[] {
  return Object.freeze(entries.map(entry => Object.freeze(entry)))
}

function words (role: string, text: string): string[] {
  return Array.from(text.matchAll(/word\d+/g), ([word]) => `${role}: ${word}`)
}
