/**
 * A model on the loopback: a server that speaks OpenAI's streaming chat completions, also on Azure's paths, and follows a test's
 * scripts: token by token, held, refused, cut, stalled, garbled. `failures` has every way in which models fail.
 *
 *     const model = await startScriptedModel()
 *     const agent = openAIAgent({ baseURL: model.url })
 *     model.next('Hello there.', callTools({ name: 'book', arguments: { time: '9 am' } }), failures.rateLimited, ['Let me', STALL])
 */
import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { checkNames, namesOf } from '../contract/option-names.js'
import { chunkOf } from './model-chunk.js'
import { checkScript, CUT, STALL, type Answer, type BreakOff, type Refusal, type Script, type Step } from './script.js'

export { callTools, toolCallChunk, usageChunk } from './model-chunk.js'
export { failures } from './model-failures.js'
export { CUT, hold, RESET, STALL, type Answer, type BreakOff, type Hold, type Refusal, type Script, type Step } from './script.js'

/** A request of the agent. */
export interface ModelRequest {
  /** `/v1/chat/completions`, with Azure's query. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: ModelRequestBody
  /** The number of the server's TCP connection that carried it, from 1. */
  readonly connection: number
  /** True if the agent left before the answer was complete. */
  cancelled: boolean
}

/** The body of a request. */
export interface ModelRequestBody {
  readonly model: string
  readonly messages: ReadonlyArray<{ readonly role: string, readonly content?: unknown, readonly [name: string]: unknown }>
  readonly stream?: boolean
  readonly [name: string]: unknown
}

/** A running server. The code that started it must close it. */
export interface ScriptedModel {
  /** The base URL, ending in `/v1`. */
  readonly url: string
  /** The URL without a path: the endpoint for Azure's client. */
  readonly origin: string
  readonly requests: ModelRequest[]
  /** How many requests the agent cancelled. */
  readonly cancelled: number
  /** How many TCP connections were accepted. */
  readonly connections: number
  /** How many TCP connections are open. */
  readonly open: number
  readonly events: EventEmitter<{ request: [ModelRequest], cancelled: [ModelRequest], connected: [], disconnected: [] }>
  /**
   * Adds scripts for the next requests, one each.
   * @throws VOICE_AGENT_ERR_CONFIG when a value is not a script, or has an unknown member
   */
  next (...scripts: Script[]): void
  /** Answers requests without a script. Default {@link echo}. */
  handler: (request: ModelRequest) => Script
  /** Cuts every connection and stops listening, so that new connections are refused. */
  close (): Promise<void>
}

/** Options of {@link startScriptedModel}. */
export interface ScriptedModelOptions {
  /** How long an idle connection stays open, in ms; announced in a `Keep-Alive` header. Default 0: for ever, not announced. */
  readonly keepAliveTimeout?: number
}

/** Repeats the last message, word by word. */
function echo ({ body }: ModelRequest): string {
  return `You said: ${String(body.messages.at(-1)?.content ?? '')}`
}

const OPTIONS = namesOf<ScriptedModelOptions>({ keepAliveTimeout: true })

/**
 * Starts a server on a free port of the loopback. The caller must close it.
 * @throws VOICE_AGENT_ERR_CONFIG, as a rejection, when an option is unknown
 */
export async function startScriptedModel (options: ScriptedModelOptions = {}): Promise<ScriptedModel> {
  checkNames('startScriptedModel', options, OPTIONS)
  const { keepAliveTimeout = 0 } = options
  const scripts: Script[] = []
  const numbers = new WeakMap<object, number>()
  let connections = 0
  let open = 0
  let cancelled = 0

  const server = createServer({ keepAliveTimeout }, (message, response) => {
    // The agent may leave while it still sends its request.
    answer(message, response).catch(() => response.destroy())
  })
  server.on('connection', socket => {
    numbers.set(socket, ++connections)
    open++
    model.events.emit('connected')
    socket.on('close', () => {
      open--
      model.events.emit('disconnected')
    })
  })

  async function answer (message: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = ''
    for await (const part of message.setEncoding('utf8')) text += part
    const url = message.url!
    if (message.method !== 'POST' || !/^\/(v1|openai\/deployments\/[^/]+)\/chat\/completions(\?|$)/.test(url)) {
      return refuse(response, { status: 404 })
    }
    const body = JSON.parse(text) as ModelRequestBody
    const request: ModelRequest = { url, headers: message.headers, body, connection: numbers.get(message.socket)!, cancelled: false }
    model.requests.push(request)
    let broken = false
    response.on('close', () => {
      if (response.writableFinished || broken) return
      cancelled++
      request.cancelled = true
      model.events.emit('cancelled', request)
    })
    model.events.emit('request', request)

    const breakOff = (how: BreakOff) => {
      if (how === STALL) return
      broken = true
      if (how === CUT) response.destroy()
      else response.socket?.resetAndDestroy()
    }
    const script = scripts.shift() ?? model.handler(request)
    if (typeof script === 'symbol') return breakOff(script)
    if (typeof script === 'object' && 'status' in script) {
      await script.before
      return refuse(response, script)
    }
    await stream(response, answerOf(script), body.model, breakOff)
  }

  const model: ScriptedModel = {
    url: '',
    origin: '',
    requests: [],
    events: new EventEmitter(),
    get cancelled () { return cancelled },
    get connections () { return connections },
    get open () { return open },
    next: (...more) => {
      more.forEach(checkScript)
      scripts.push(...more)
    },
    handler: echo,
    async close () {
      if (!server.listening) return
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    }
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return Object.defineProperties(model, { origin: { value: origin }, url: { value: `${origin}/v1` } })
}

function answerOf (script: string | readonly Step[] | Answer): Answer {
  if (typeof script === 'string') return { steps: script.split(/(?=\s\S)/) }
  return 'steps' in script ? script : { steps: script }
}

async function stream (response: ServerResponse, answer: Answer, model: string, breakOff: (how: BreakOff) => void): Promise<void> {
  const { steps, before, role = true, atOnce = false, finishReason = 'stop', done = true } = answer
  let ready = ''
  // Wait until the kernel has the bytes, so that Node never merges two writes.
  const write = async (bytes: string) => {
    if (!response.destroyed) await new Promise(resolve => response.write(bytes, resolve))
  }
  const flush = async () => {
    const bytes = ready
    ready = ''
    if (bytes !== '') await write(bytes)
  }
  const say = async (bytes: string) => {
    ready += bytes
    if (!atOnce) await flush()
  }
  const event = (chunk: unknown) => `data: ${JSON.stringify(chunk)}\n\n`

  await before
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' })
  await (role ? say(event(chunkOf({ delta: { role: 'assistant', content: '' } }, model))) : write(''))
  for (const step of steps) {
    if (response.destroyed) return
    if (typeof step === 'symbol') {
      await flush()
      return breakOff(step)
    } else if (typeof step === 'string') {
      await say(event(chunkOf({ delta: { content: step } }, model)))
    } else if ('then' in step) {
      await flush()
      await step
    } else {
      await say('raw' in step ? step.raw : event(step.chunk))
    }
  }
  if (finishReason !== null) await say(event(chunkOf({ delta: {}, finish_reason: finishReason }, model)))
  response.end(ready + (done ? 'data: [DONE]\n\n' : ''))
}

function refuse (response: ServerResponse, { status, headers, body = refusal(status) }: Refusal): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(typeof body === 'string' ? body : JSON.stringify(body))
}

function refusal (status: number): object {
  const [type, code, message] = REFUSALS[status] ?? ['server_error', null, 'The server had an error while processing your request.']
  return { error: { message, type, param: null, code } }
}

const REFUSALS: Readonly<Record<number, readonly [type: string, code: string | null, message: string]>> = {
  400: ['invalid_request_error', null, 'The request is not valid.'],
  401: ['invalid_request_error', 'invalid_api_key', 'Incorrect API key provided.'],
  404: ['invalid_request_error', 'model_not_found', 'The model does not exist.'],
  429: ['requests', 'rate_limit_exceeded', 'Rate limit reached.']
}
