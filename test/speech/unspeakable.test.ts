import t from 'tap'
import { endCall } from '../../lib/contract/agent.js'
import { unspeakable } from '../../lib/speech/unspeakable.js'

const said = (value: unknown, manner: 'returned' | 'yielded'): string => unspeakable(value, manner).message.replace('An agent speaks strings and actions, got ', '')

t.test('the error names the streams of common SDKs, and what to write', async t => {
  const cases: Array<[what: string, value: unknown, name: string, write: string]> = [
    ['a chunk', { object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content: 'secret' } }] }, 'a chunk of chat completions', 'chunk.choices[0]?.delta.content'],
    ['a chunk of usage', { object: 'chat.completion.chunk', choices: [], usage: {} }, 'a chunk of chat completions', 'chunk.choices[0]?.delta.content'],
    ['a chunk of a server that leaves members out', { choices: [{ delta: {} }] }, 'a chunk of chat completions', 'chunk.choices[0]?.delta.content'],
    ['a completion', { object: 'chat.completion', choices: [{ message: { content: 'secret' } }] }, 'a chat completion that does not stream', 'completion.choices[0].message.content, or ask with stream: true'],
    ['an event of OpenAI', { type: 'response.output_text.delta', delta: 'secret' }, "an event of OpenAI's Responses", 'event.delta where event.type is response.output_text.delta'],
    ['a first event of OpenAI', { type: 'response.created', response: {} }, "an event of OpenAI's Responses", 'event.delta where event.type is response.output_text.delta'],
    ['an event of Anthropic', { type: 'content_block_delta', delta: { type: 'text_delta', text: 'secret' } }, "an event of Anthropic's Messages", 'event.delta.text where event.delta?.type is text_delta'],
    ['a first event of Anthropic', { type: 'message_start', message: {} }, "an event of Anthropic's Messages", 'event.delta.text where event.delta?.type is text_delta'],
    ['a part of the AI SDK', { type: 'text-delta', id: '1', text: 'secret' }, "a part of the AI SDK's fullStream", 'part.text where part.type is text-delta'],
    ['a first part of the AI SDK', { type: 'start' }, "a part of the AI SDK's fullStream", 'part.text where part.type is text-delta'],
    ['a chunk of Gemini', { candidates: [{ content: { parts: [{ text: 'secret' }] } }] }, "a chunk of Google's Gemini", 'chunk.text'],
    ['a chunk of LangChain', { lc_kwargs: { content: 'secret' }, content: 'secret' }, 'a message of LangChain', 'message.text'],
    ['a message', { role: 'assistant', content: 'secret' }, 'a message', 'message.content'],
    ['a result of generateText()', { text: 'secret', finishReason: 'stop' }, 'a result with a text', 'result.text'],
    ['a response of fetch()', new Response('secret'), 'a response of fetch()', 'await response.text()']
  ]
  for (const [what, value, name, write] of cases) {
    t.equal(said(value, 'yielded'), `what looks like ${name}: yield ${write}`, `${what}, yielded`)
    t.equal(said(value, 'returned'), `what looks like ${name}: return ${write}`, `${what}, returned`)
  }
})

t.test('a ReadableStream is passed on whole', async t => {
  // As in the AI SDK, whose getters begin to read.
  const result = { get textStream () { throw new Error('looked at') }, get text () { throw new Error('looked at') } }
  t.equal(said(result, 'yielded'), "what looks like a result of the AI SDK's streamText(): yield * result.textStream")
  t.equal(said(result, 'returned'), "what looks like a result of the AI SDK's streamText(): return result.textStream")
  t.equal(said(ReadableStream.from(['One']), 'yielded'), 'what looks like a stream: yield * stream')
  t.equal(said((async function * () {})(), 'yielded'), 'what looks like a stream: yield * stream')
  t.equal(said(['One'], 'yielded'), 'what looks like an array: yield * array')
})

t.test('the error for a value that needs other treatment says what to do', async t => {
  for (const bytes of [Buffer.from('secret'), new Uint8Array(1), new ArrayBuffer(1)]) {
    t.equal(said(bytes, 'yielded'), 'what looks like bytes: decode them, a stream by stream.pipeThrough(new TextDecoderStream())')
  }
  t.equal(said(new TypeError('secret'), 'yielded'), 'what looks like an error: throw it')
  t.equal(said(Promise.resolve('secret'), 'yielded'), 'what looks like a promise: await it')
  t.equal(said(() => 'secret', 'returned'), 'a function: call it')
  t.equal(said({ ...endCall(), say: 1 }, 'yielded'), 'an object with action end-call that endCall() did not build')
})

t.test('a yielded promise that rejects does not end the process', async t => {
  const failed = Promise.reject(new Error('secret'))
  t.equal(said(failed, 'yielded'), 'what looks like a promise: await it')
  await new Promise(setImmediate)
})

t.test('a value of unknown shape is named by its type', async t => {
  const cases = [42, true, 1n, Symbol('secret'), {}, { choices: 'none' }, { choices: [null] }, { type: 5 }, { then: 'secret' }, { text: 5 }, { role: 'user' }, { body: 'secret' }, Object.create(null)]
  for (const value of cases) t.equal(said(value, 'yielded'), `a value of type ${typeof value}`)
})

t.test('an object whose members throw is named by its type', async t => {
  const refuse = (): never => { throw new Error('secret') }
  const hostile = [
    new Proxy({}, { has: refuse }),
    new Proxy({}, { getPrototypeOf: refuse }),
    new Proxy({}, { get: refuse }),
    { get type () { return refuse() } },
    { get choices () { return refuse() } },
    { type: { toString: refuse } }
  ]
  for (const value of hostile) t.equal(said(value, 'yielded'), 'a value of type object')
})
