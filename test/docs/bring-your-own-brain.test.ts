import { EventEmitter, once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import type { Responses } from 'openai/resources/responses/responses'
import t, { type Test } from 'tap'
import { dialUrl, millis, retell, type Caller, type Frame } from '../helpers/caller.js'
import { CUT, STALL, failures, hold, startScriptedModel, toolCallChunk, type Script } from '../../lib/testing/scripted-model.js'
import { runNode } from '../helpers/process.js'
import { startResponsesServer, type ResponsesScript } from '../helpers/responses-server.js'
import { compileSnippet, snippetsOf } from '../helpers/snippets.js'
import { messageFaults, type WireMessage } from '../helpers/valid-messages.js'

const PAGE = 'docs/bring-your-own-brain.md'
const text = readFileSync(PAGE, 'utf8')
const snippets = snippetsOf(PAGE)
const modules = new Map(snippets.map(snippet => [snippet.name, compileSnippet(PAGE, snippet)]))

/** What a model answers: words, waits, how it breaks off, or one call of the tool. */
type Answer = ReadonlyArray<string | PromiseLike<unknown> | typeof CUT | typeof STALL | { readonly rolls: number | string }>

/** A snippet, and the model it speaks to. */
interface Brain {
  readonly title: string
  readonly file: string
  start (): Promise<Model>
}

interface Model {
  readonly env: Record<string, string>
  readonly requests: ReadonlyArray<{ readonly cancelled: boolean }>
  readonly events: EventEmitter<any>
  /** Every way in which an answer can fail, after the word `One `. */
  readonly failures: Record<string, unknown>
  answer (...answers: Answer[]): void
  fail (failure: unknown): void
  /** What the nth request told the model, as chat messages and without instructions. */
  heard (n: number): WireMessage[]
  toolChoice (n: number): unknown
  close (): Promise<void>
}

let calls = 0
const argumentsOf = (rolls: number | string): string => JSON.stringify({ rolls })

const BRAINS: Brain[] = [{
  title: 'the Responses API',
  file: 'responses.ts',
  async start () {
    const server = await startResponsesServer()
    return {
      env: { OPENAI_API_KEY: 'none', OPENAI_BASE_URL: server.url },
      requests: server.requests,
      events: server.events,
      failures: {
        'a refusal': { status: 500 },
        'an answer that is cut': ['One ', CUT],
        'an answer that fails': ['One ', { end: 'response.failed' }],
        'an answer that is filtered': ['One ', { end: 'response.incomplete' }],
        'an error in mid-stream': ['One ', { end: 'error' }]
      } satisfies Record<string, ResponsesScript>,
      answer: (...answers) => server.next(...answers.map(steps => steps.map(step =>
        typeof step === 'object' && 'rolls' in step ? { call: { id: `call_${++calls}`, name: 'order_rolls', arguments: argumentsOf(step.rolls) } } : step))),
      fail: script => server.next(script as ResponsesScript),
      heard: n => (server.requests.at(n)!.body.input as Responses.ResponseInputItem[]).map(toWireMessage),
      toolChoice: n => server.requests.at(n)!.body.tool_choice,
      close: () => server.close()
    }
  }
}, {
  title: 'the AI SDK',
  file: 'ai-sdk.ts',
  async start () {
    const server = await startScriptedModel()
    return {
      env: { MODEL_URL: server.url },
      requests: server.requests,
      events: server.events,
      failures: {
        'a refusal': failures.serverError,
        'an answer that is cut': failures.cutMidStream,
        'an answer that ends without a reason': failures.endless,
        'an error in mid-stream': failures.errorMidStream
      } satisfies Record<string, Script>,
      answer: (...answers) => server.next(...answers.map(answer => ({
        finishReason: answer.some(step => typeof step === 'object' && 'rolls' in step) ? 'tool_calls' as const : 'stop' as const,
        // As servers do that count from 0 in each answer.
        steps: answer.map(step => typeof step === 'object' && 'rolls' in step
          ? toolCallChunk({ index: 0, id: 'call_0', type: 'function', function: { name: 'order_rolls', arguments: argumentsOf(step.rolls) } })
          : step)
      }))),
      fail: script => server.next(script as Script),
      heard: n => server.requests.at(n)!.body.messages.filter(({ role }) => role !== 'system') as WireMessage[],
      toolChoice: n => server.requests.at(n)!.body['tool_choice'],
      close: () => server.close()
    }
  }
}]

function toWireMessage (item: Responses.ResponseInputItem): WireMessage {
  if (item.type === 'function_call') return { role: 'assistant', content: null, tool_calls: [{ id: item.call_id, type: 'function', function: { name: item.name, arguments: item.arguments } }] }
  if (item.type === 'function_call_output') return { role: 'tool', tool_call_id: item.call_id, content: item.output }
  if ('role' in item && 'content' in item) return { role: item.role, content: item.content }
  throw new Error(`${item.type} is not expected`)
}

/** Without the ids, which may be made up. */
function withoutIds (messages: readonly WireMessage[]): unknown[] {
  return messages.map(({ role, content, tool_calls: calls }) => calls === undefined ? { role, content } : { role, calls: calls.map(call => call.function) })
}

/** Where rolls are ordered. Each order waits for `open`, and is refused above 99. */
async function startBakery (t: Test) {
  const bakery = { url: '', orders: [] as string[], keys: [] as unknown[], open: Promise.resolve(), events: new EventEmitter() }
  const server = createServer((request, response) => {
    const rolls = request.url!.split('/').at(-1)!
    bakery.orders.push(rolls)
    bakery.keys.push(request.headers['idempotency-key'])
    bakery.events.emit('order')
    bakery.open.then(() => response.writeHead(Number(rolls) > 99 ? 409 : 200).end(`Ordered ${rolls} rolls.`), t.threw)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  bakery.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return bakery
}

/** A caller on either provider. */
interface Line {
  ask (id: number, ...words: string[]): void
  /** The next words of this turn, as soon as there are some. */
  words (id: number): Promise<string>
  /** All that is said from now on until this turn is complete, of whatever turn it is. */
  rest (id: number): Promise<string>
  /** Resolves once the call is handed on to the shop. */
  transferred (): Promise<void>
  readonly caller: Caller
}

const RETELL = {
  name: 'Retell',
  async dial (t: Test, port: string): Promise<Line> {
    const caller = await dialUrl(t, `ws://127.0.0.1:${port}/llm-websocket/call_${++calls}`)
    caller.send(retell.details())
    const line = lineOf(caller, (id, words) => retell.request(id, ...words), frame => frame['response_type'] === 'response' ? { id: frame['response_id'], content: frame['content'], ends: frame['content_complete'] } : {})
    t.equal(await line.rest(0), 'The bakery, hello!')
    return line
  }
}

const MILLIS = {
  name: 'Millis',
  async dial (t: Test, port: string): Promise<Line> {
    const caller = await dialUrl(t, `ws://127.0.0.1:${port}/millis`)
    caller.send(millis.start(0, `ses_${++calls}`))
    const line = lineOf(caller, (id, words) => millis.request(id, ...words), ({ type, data }) => type === 'stream_response' ? { id: data.stream_id, content: data.content, ends: data.end_of_stream } : {})
    t.equal(await line.rest(0), 'The bakery, hello!')
    return line
  }
}

function lineOf (caller: Caller, request: (id: number, words: string[]) => Frame, read: (frame: Frame) => { id?: unknown, content?: string, ends?: boolean }): Line {
  const said = (frames: Frame[]): string => frames.map(frame => read(frame).content ?? '').join('')
  return {
    caller,
    async transferred () {
      while (!caller.frames.some(frame => (frame['transfer_number'] ?? frame['data']?.destination) === '+15550100009')) await caller.next()
    },
    ask: (id, ...words) => caller.send(request(id, words)),
    words: async id => said(await caller.until(frame => read(frame).id === id && Boolean(read(frame).content))),
    rest: async id => said(await caller.until(frame => read(frame).id === id && read(frame).ends === true))
  }
}

const APOLOGY = 'I am sorry, can you say that again?'

t.test('the page has these examples, and their agents are short', async t => {
  t.strictSame([...modules.keys()], ['order.ts', 'responses.ts', 'ai-sdk.ts'])
  for (const { file } of BRAINS) {
    const [agent] = /^app\.decorate.*?^\}\)$/ms.exec(snippets.find(({ name }) => name === file)!.code)!
    t.ok(agent.split('\n').length < 25, file)
  }
})

t.test('the versions it has installed are those it is tested with', async t => {
  const require = createRequire(import.meta.url)
  const installed = { ai: require('ai/package.json').version, '@ai-sdk/openai-compatible': require('@ai-sdk/openai-compatible/package.json').version }
  const [, command = ''] = /`npm install (.+?)`/.exec(text) ?? []
  t.equal(command, Object.entries(installed).map(([name, version]) => `${name}@${parseInt(version)}`).join(' '))
})

for (const { title, file, start } of BRAINS) {
  t.test(`${title} answers calls`, async t => {
    const model = await start()
    t.teardown(() => model.close())
    const bakery = await startBakery(t)
    const program = runNode(t, [modules.get(file)!], {
      ...model.env, BAKERY_URL: bakery.url, RETELL_ALLOWLIST: '127.0.0.1', MILLIS_ALLOWLIST: '127.0.0.1', NO_COLOR: '1'
    })
    const [, port] = await program.says(/listening at http:\/\/127\.0\.0\.1:(\d+)/)

    for (const provider of [RETELL, MILLIS]) {
      t.test(`over ${provider.name}`, async t => {
        t.beforeEach(() => {
          bakery.orders = []
          bakery.keys = []
          bakery.open = Promise.resolve()
        })

        t.test('words are spoken as they come', async t => {
          const line = await provider.dial(t, port!)
          const more = hold()
          model.answer(['We are ', more, 'open.'])
          line.ask(1, 'Are you open?')
          t.equal(await line.words(1), 'We are ')
          more.release()
          t.equal(await line.rest(1), 'open.')
          t.strictSame(model.heard(-1), [{ role: 'user', content: 'Are you open?' }])
        })

        t.test('a tool is run once, what comes of it is spoken, and the next turn knows of it', async t => {
          const line = await provider.dial(t, port!)
          model.answer(['Let me see. ', { rolls: 3 }], ['Three rolls ', 'it is.'])
          line.ask(1, 'Three rolls')
          t.equal(await line.rest(1), 'Let me see. Three rolls it is.')
          t.strictSame(bakery.orders, ['3'])
          t.match(bakery.keys, [/^[\w-]{43}$/])
          t.match(model.heard(-1).at(-1), { role: 'tool', content: 'Ordered 3 rolls.' })

          model.answer(['Goodbye.'])
          line.ask(2, 'Three rolls', 'Let me see. Three rolls it is.', 'Thanks')
          t.equal(await line.rest(2), 'Goodbye.')
          t.strictSame(withoutIds(model.heard(-1)), [
            { role: 'user', content: 'Three rolls' },
            { role: 'assistant', content: 'Let me see.' },
            { role: 'assistant', calls: [{ name: 'order_rolls', arguments: '{"rolls":3}' }] },
            { role: 'tool', content: 'Ordered 3 rolls.' },
            { role: 'assistant', content: 'Three rolls it is.' },
            { role: 'user', content: 'Thanks' }
          ])
          t.strictSame(messageFaults(model.heard(-1)), [])
        })

        t.test('the same order in a later turn is not placed again, and another one is', async t => {
          const line = await provider.dial(t, port!)
          model.answer([{ rolls: 3 }], ['Done.'], [{ rolls: 3 }], ['Done before.'], [{ rolls: 5 }], ['Done too.'])
          line.ask(1, 'Three rolls')
          t.equal(await line.rest(1), 'Done.')
          line.ask(2, 'Three rolls', 'Done.', 'Three rolls')
          t.equal(await line.rest(2), 'Done before.')
          line.ask(3, 'Three rolls', 'Done.', 'Three rolls', 'Done before.', 'Five more')
          t.equal(await line.rest(3), 'Done too.')
          t.strictSame(bakery.orders, ['3', '5'])
          t.strictSame(model.heard(-1).filter(({ role }) => role === 'tool').map(({ content }) => content), [
            'Ordered 3 rolls.',
            'Ordered 3 rolls.\n(Not run again: this was done earlier in the call.)',
            'Ordered 5 rolls.'
          ])
          t.strictSame(messageFaults(model.heard(-1)), [])
        })

        t.test('arguments that do not fit go back to the model', async t => {
          const line = await provider.dial(t, port!)
          model.answer([{ rolls: 'many' }], ['How many?'])
          line.ask(1, 'Many rolls')
          t.equal(await line.rest(1), 'How many?')
          t.strictSame(bakery.orders, [])
          t.match(model.heard(-1).at(-1), { role: 'tool', content: /the arguments do not fit: \/rolls/ })
        })

        t.test('a turn that is superseded cancels its request, and says nothing more', async t => {
          const line = await provider.dial(t, port!)
          const cancelled = once(model.events, 'cancelled')
          model.answer(['One ', STALL], ['Yes?'])
          line.ask(1, 'Count')
          t.equal(await line.words(1), 'One ')
          line.ask(2, 'Count', 'One', 'Stop')
          t.equal(await line.rest(2), 'Yes?')
          const [request] = await cancelled
          t.equal(request, model.requests.at(-2))
        })

        t.test('a turn that is superseded while its tool runs does not have it run again', async t => {
          const line = await provider.dial(t, port!)
          const door = hold()
          bakery.open = door
          const ordered = once(bakery.events, 'order')
          model.answer(['Well, ', { rolls: 3 }], [{ rolls: 3 }], ['Three rolls it is.'])
          line.ask(1, 'Three rolls')
          await ordered
          const asked = once(model.events, 'request')
          t.equal(await line.words(1), 'Well, ')
          line.ask(2, 'Three rolls', 'Well,', 'please')
          await asked
          t.match(model.heard(-1).find(({ role }) => role === 'tool'), { content: /still running/ })
          t.strictSame(messageFaults(model.heard(-1)), [])
          door.release()
          t.equal(await line.rest(2), 'Three rolls it is.')
          t.strictSame(bakery.orders, ['3'])
          t.match(model.heard(-1).at(-1), { role: 'tool', content: 'Ordered 3 rolls.' })
          t.strictSame(messageFaults(model.heard(-1)), [])
        })

        t.test('an action that a tool returned ends the turn, and the model is not asked again', async t => {
          const line = await provider.dial(t, port!)
          const before = model.requests.length
          model.answer([{ rolls: 100 }])
          line.ask(1, 'A hundred rolls')
          t.equal(await line.rest(1), 'I will put you through to the shop.')
          if (provider === MILLIS) line.caller.send(millis.played(1))
          await line.transferred()
          t.strictSame(bakery.orders, ['100'])

          const other = await provider.dial(t, port!)
          model.answer(['We are.'])
          other.ask(1, 'Are you open?')
          t.equal(await other.rest(1), 'We are.')
          t.equal(model.requests.length, before + 2)
        })

        t.test('a model that goes in circles is held to words', async t => {
          const line = await provider.dial(t, port!)
          model.answer([{ rolls: 1 }], [{ rolls: 2 }], [{ rolls: 3 }], [{ rolls: 4 }], ['Enough.'])
          line.ask(1, 'Rolls')
          t.equal(await line.rest(1), 'Enough.')
          t.strictSame([-2, -1].map(model.toolChoice), ['auto', 'none'])
        })

        for (const [what, failure] of Object.entries(model.failures)) {
          t.test(`${what} is heard as the fallback`, async t => {
            const line = await provider.dial(t, port!)
            model.fail(failure)
            line.ask(1, 'Count')
            t.equal(await line.rest(1), (what === 'a refusal' ? '' : 'One ') + APOLOGY)
            model.answer(['Two.'])
            line.ask(2, 'Count', APOLOGY, 'Count')
            t.equal(await line.rest(2), 'Two.')
          })
        }
      })
    }

    t.strictSame(program.output().split('\n').filter(line => !line.startsWith('{')), [''], 'nothing is printed but the log')
  })
}
