import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { answer, startScriptedModel, type Message, type ToolCall } from '../../example-app/scripted-model.js'

const APOLOGY = 'I am sorry, can you say that again?'
const WHICH_DAY = 'Which day would you like to come?'
const GOODBYE = { name: 'end_call', args: { message: 'Thank you for calling. Goodbye!' } }

const user = (content: string): Message => ({ role: 'user', content })
const agent = (content: string): Message => ({ role: 'assistant', content })

function called (name: string, args: object, result: string): Message[] {
  return [
    { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name, arguments: JSON.stringify(args) } }] },
    { role: 'tool', tool_call_id: 'call_1', content: result }
  ]
}

function books (day: string, time: string): ToolCall {
  return { name: 'book_slot', args: { message: 'One moment, I am writing that down.', day, time } }
}

const BOOKING = books('Tuesday', '2 pm').args
const LOOKED_UP = [user('Tuesday'), ...called('find_slot', { day: 'Tuesday' }, '["9 am","2 pm"]')]
const OFFERED = [...LOOKED_UP, agent('On Tuesday I have 9 am or 2 pm. Shall I book 9 am?')]
const WRITTEN = [...OFFERED, user('2 pm'), ...called('book_slot', BOOKING, 'Booked: Tuesday at 2 pm.')]
const BOOKED = [...WRITTEN, agent('Tuesday at 2 pm is booked. Is there anything else?')]

t.test('it answers what was said by what came before', async t => {
  for (const [before, said, expected] of [
    [[], 'I need an appointment', WHICH_DAY],
    [[], 'A table for two', APOLOGY],
    [[], 'Yes', WHICH_DAY],
    [[], 'Goodbye', GOODBYE],
    [[], 'Can I come on thursday?', { name: 'find_slot', args: { day: 'Thursday' } }],
    [[], 'Tuesday at 2 pm', { name: 'find_slot', args: { day: 'Tuesday' } }],
    [OFFERED, 'Yes, please', books('Tuesday', '9 am')],
    [OFFERED, 'at 2', books('Tuesday', '2 pm')],
    [OFFERED, 'Two PM', books('Tuesday', '2 pm')],
    [OFFERED, 'Yes, Tuesday at two', books('Tuesday', '2 pm')],
    [OFFERED, 'At 12', APOLOGY],
    [OFFERED, 'Friday at 9', { name: 'find_slot', args: { day: 'Friday' } }],
    [OFFERED, 'No', WHICH_DAY],
    [OFFERED, 'No, thanks', GOODBYE],
    [BOOKED, 'At 9', APOLOGY],
    [BOOKED, 'Yes', WHICH_DAY],
    [BOOKED, 'No', GOODBYE],
    [BOOKED, 'No, I need another one', WHICH_DAY],
    [BOOKED, 'bye', GOODBYE]
  ] as Array<[Message[], string, string | ToolCall]>) {
    t.strictSame(answer([{ role: 'system', content: 'Be kind.' }, ...before, user(said)]), expected, `${said} after ${before.length} messages`)
  }
})

t.test('it tells what came of a tool', async t => {
  const toldOf = (name: string, args: object, result: string) => answer([user('Hi'), ...called(name, args, result)])
  t.equal(answer(LOOKED_UP), 'On Tuesday I have 9 am or 2 pm. Shall I book 9 am?')
  t.equal(answer(WRITTEN), 'Tuesday at 2 pm is booked. Is there anything else?')
  t.equal(toldOf('find_slot', { day: 'Friday' }, '[]'), `Friday is fully booked. ${WHICH_DAY}`)
  t.equal(toldOf('find_slot', { day: 'Sunday' }, '{"error":"we are closed on Sunday"}'), `I am sorry, we are closed on Sunday. ${WHICH_DAY}`)
  t.equal(toldOf('book_slot', BOOKING, '{"error":"Tuesday at 2 pm is not free"}'), `I am sorry, Tuesday at 2 pm is not free. ${WHICH_DAY}`)
})

t.test('a booking the caller did not hear of is told, whatever they say, and not made again', async t => {
  t.equal(answer([...WRITTEN, user('2 pm, I said')]), 'Tuesday at 2 pm is booked. Is there anything else?')
})

t.test('times that were looked up and not offered may be chosen, or given up', async t => {
  t.strictSame(answer([...LOOKED_UP, user('At 9')]), books('Tuesday', '9 am'))
  t.strictSame(answer([...LOOKED_UP, user('No, Friday')]), { name: 'find_slot', args: { day: 'Friday' } })
})

t.test('what still runs, was cancelled, or is a goodbye that was talked over, is called again', async t => {
  const again = (name: string, args: Record<string, string>, result: string) => {
    t.strictSame(answer([user('Hi'), ...called(name, args, result)]), { name, args })
  }
  again('book_slot', BOOKING, '{"status":"still running: call it again with the same arguments to get its result"}')
  again('find_slot', { day: 'Tuesday' }, '{"error":"cancelled"}')
  again('end_call', GOODBYE.args, 'Requested. It takes place once you were heard to the end; if the caller speaks first it does not.')
})

t.test('the server outlives a request that breaks off, and one it cannot read, and is gone when it was closed', async t => {
  const model = await startScriptedModel()
  const { hostname, port, pathname } = new URL(model.url)
  t.equal(hostname, '127.0.0.1')
  const ask = (body: string) => fetch(`${model.url}/chat/completions`, { method: 'POST', body })

  const leaver = connect(Number(port), hostname)
  leaver.write(`POST ${pathname}/chat/completions HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n{"messages"`)
  await once(leaver, 'data')
  leaver.resetAndDestroy()
  await t.rejects(ask('{'))

  const events = await (await ask(JSON.stringify({ messages: [user('Hi')] }))).text()
  t.equal(Array.from(events.matchAll(/"content":"(.*?)"/g), ([, word]) => word).join(''), APOLOGY)
  t.ok(events.endsWith('data: [DONE]\n\n'))
  t.match(await (await ask(JSON.stringify({ messages: [user('Tuesday')] }))).text(), /"tool_calls":\[.*find_slot.*"finish_reason":"tool_calls"/s)
  await model.close()
  await t.rejects(ask('{}'))
})

t.test('the server answers nobody who does not know its URL, and reads no body of theirs', async t => {
  const model = await startScriptedModel()
  t.teardown(() => model.close())
  const { origin, hostname, port } = new URL(model.url)
  for (const path of ['/', '/v1/chat/completions', '/00000000-0000-4000-8000-000000000000/v1/chat/completions']) {
    const answer = await fetch(origin + path, { method: 'POST', body: JSON.stringify({ messages: [user('Tuesday')] }) })
    t.strictSame([answer.status, await answer.text()], [404, ''])
  }
  const stranger = connect(Number(port), hostname)
  t.teardown(() => stranger.destroy())
  stranger.on('error', () => {}).write('POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n{')
  await once(stranger.resume(), 'close')
})
