/**
 * A model on loopback: OpenAI's streaming chat completions, spoken cheaply, at a pace chosen by the model's name (see
 * `parsePacing`), and failing where the caller's words tell it to (see `FAULTS`). Runs in its own process and prints one
 * JSON line with its port. `GET /stats` tells what it saw.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { announce } from '../test/helpers/announce.js'
import { askedIn, type Fault, firstToken, laterToken, parsePacing, type Pacing, tokensBefore } from './model-reply.js'
import { answerProbes } from './servers/probe.js'

/** What the model saw since it started. */
export interface ModelStats {
  /** Connections accepted, without those that asked for these figures. */
  readonly connections: number
  /** Of these, connections that are open now. */
  readonly open: number
  /** Completions asked for. */
  readonly requests: number
  /** Completions written to the end. */
  readonly completed: number
  /** Completions whose reader went away first, or that broke off on demand. */
  readonly cancelled: number
}

interface CompletionRequest {
  readonly model?: string
  readonly stream?: boolean
  readonly stream_options?: { readonly include_usage?: boolean } | null
  readonly messages?: readonly { readonly role?: string, readonly content?: unknown }[]
}

interface Job {
  readonly response: ServerResponse
  readonly key: string
  readonly pacing: Pacing
  readonly fault: Fault | undefined
  /** How many tokens are said. */
  readonly until: number
  readonly readAt: number
  readonly ending: string
}

const CHUNK = 'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1760000000,"model":"bench","service_tier":"default","system_fingerprint":"fp_bench","choices":[{"index":0,"delta":'
/** OpenAI pads each chunk with some random characters. */
const CHUNK_END = ['', 'h', 'Gf', 'aZ3', 'x9Qw', 'Lm2Rt', 'pW7cVb', 'T4yUi8o'].map(padding => `,"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"${padding}"}\n\n`)
const ROLE = `${CHUNK}{"role":"assistant","content":"","refusal":null}${CHUNK_END[0]}`
const STOP = `${CHUNK}{},"logprobs":null,"finish_reason":"stop"}],"usage":null}\n\n`
const USAGE = 'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1760000000,"model":"bench","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}}\n\n'
const DONE = 'data: [DONE]\n\n'
/** Given outright, so that Node adds no `Keep-Alive: timeout` hint, which the real endpoints do not send either. */
const STAY_OPEN = { connection: 'keep-alive' }

const stats = { connections: 0, open: 0, requests: 0, completed: 0, cancelled: 0 }

const server = createServer((request, response) => {
  if (request.method === 'POST' && request.url?.endsWith('/chat/completions') === true) return readBody(request, response)
  if (request.method === 'GET' && request.url === '/stats') {
    // Who asks for the figures opens a connection each time, which is not one of them.
    stats.connections--
    return answerJson(response, 200, { ...stats, open: stats.open - 1 } satisfies ModelStats)
  }
  request.resume()
  // It is everybody's collector, too.
  if (request.url?.startsWith('/v1/') === true) return answerJson(response, 200, {})
  answerJson(response, 404, { error: { message: 'not found' } })
})
// Real endpoints keep idle connections for minutes: who drops them first shall be the server under test.
server.keepAliveTimeout = 300_000
server.on('connection', socket => {
  stats.connections++
  stats.open++
  socket.on('close', () => stats.open--)
  socket.setNoDelay(true)
})
server.listen(0, '127.0.0.1', () => {
  answerProbes()
  announce(server.address())
})

function readBody (request: IncomingMessage, response: ServerResponse): void {
  let body = ''
  request.setEncoding('utf8')
  request.on('data', (text: string) => { body += text })
  request.on('end', () => complete(body, response))
}

function complete (body: string, response: ServerResponse): void {
  const readAt = performance.now()
  const request = JSON.parse(body) as CompletionRequest
  const pacing = parsePacing(request.model ?? '')
  const said = request.messages?.findLast(message => message.role === 'user')?.content
  const asked = askedIn(JSON.stringify(said ?? ''))
  if (pacing === undefined || asked === undefined || request.stream !== true) {
    return answerJson(response, 400, { error: { message: 'unknown model, no key in the last user message, or no stream' } })
  }
  stats.requests++
  response.on('close', () => {
    if (response.writableEnded) stats.completed++
    else stats.cancelled++
  })
  const { key, fault } = asked
  if (fault === 'hang') return
  if (fault === 'error') return answerJson(response, 500, { error: { message: 'told to fail' } })
  response.writeHead(200, { ...STAY_OPEN, 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' })
  const ending = request.stream_options?.include_usage === true ? STOP + USAGE + DONE : STOP + DONE
  start({ response, key, pacing, fault, until: fault === undefined ? pacing.tokens : tokensBefore(fault, pacing.tokens), readAt, ending })
}

function start (job: Job): void {
  if (job.pacing.mode === 'bunch') return bunch(job)
  const firstAfter = job.pacing.mode === 'paced' ? job.pacing.firstMs : 0
  const first = setTimeout(() => {
    job.response.write(ROLE + opening(job))
    if (job.pacing.mode === 'paced') paced(job)
    else stream(job)
  }, firstAfter)
  job.response.on('close', () => clearTimeout(first))
}

function bunch (job: Job): void {
  let text = ROLE + opening(job)
  for (let i = 1; i < job.until; i++) text += later(job, i)
  finish(job, text)
}

function paced (job: Job): void {
  let index = 1
  const gap = setInterval(() => {
    if (index < job.until) {
      job.response.write(later(job, index++))
    } else {
      clearInterval(gap)
      finish(job)
    }
  }, job.pacing.gapMs)
  job.response.on('close', () => clearInterval(gap))
}

/** One token a loop turn, because Node joins what is written in one turn into one system call. */
function stream (job: Job): void {
  let index = 1
  const step = (): void => {
    if (job.response.destroyed) return
    if (index < job.until) {
      job.response.write(later(job, index++))
      setImmediate(step)
    } else {
      finish(job)
    }
  }
  setImmediate(step)
}

/** The end of the answer, or of what was to be said of it. */
function finish (job: Job, text = ''): void {
  if (job.fault === 'stall') job.response.write(text)
  else if (job.fault === 'cut') job.response.write(text, () => job.response.destroy())
  else job.response.end(text + job.ending)
}

function opening (job: Job): string {
  return chunk(firstToken(job.key, Math.round((performance.now() - job.readAt) * 1000)))
}

function later (job: Job, index: number): string {
  return chunk(laterToken(job.key, index, job.pacing.tokens))
}

let chunks = 0

function chunk (token: string): string {
  return `${CHUNK}{"content":"${token}"}${CHUNK_END[chunks++ % CHUNK_END.length]}`
}

function answerJson (response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { ...STAY_OPEN, 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}
