/**
 * A model on the loopback that speaks OpenAI's Responses API, streaming, as far as text and function calls go. It refuses
 * what OpenAI refuses: calls without outputs, and outputs without calls.
 */
import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Responses } from 'openai/resources/responses/responses'
import { CUT, STALL } from '../../lib/testing/scripted-model.js'

/** An answer ends so, and not in `response.completed`. */
export type Failure = 'response.failed' | 'response.incomplete' | 'error'

/** A piece of an answer: words, a function call, a wait, or the end before its end. */
export type ResponsesStep =
  | string
  | { readonly call: { readonly id: string, readonly name: string, readonly arguments: string } }
  | { readonly end: Failure }
  | PromiseLike<unknown>
  | typeof CUT
  | typeof STALL

/** What the server does with one request: an answer, or a refusal. */
export type ResponsesScript = readonly ResponsesStep[] | { readonly status: number }

export interface ResponsesRequest {
  readonly body: Responses.ResponseCreateParamsStreaming
  /** Whether the client went away before the answer was out. */
  cancelled: boolean
}

export interface ResponsesServer {
  /** The base URL, ending in `/v1`. */
  readonly url: string
  readonly requests: ResponsesRequest[]
  readonly events: EventEmitter<{ request: [ResponsesRequest], cancelled: [ResponsesRequest] }>
  /** Scripts the next requests, one each. */
  next (...scripts: ResponsesScript[]): void
  close (): Promise<void>
}

/** Starts a server on a free port of the loopback. Whoever started it closes it. */
export async function startResponsesServer (): Promise<ResponsesServer> {
  const scripts: ResponsesScript[] = []
  const requests: ResponsesRequest[] = []
  const events: ResponsesServer['events'] = new EventEmitter()

  async function answer (message: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = ''
    for await (const part of message.setEncoding('utf8')) text += part
    const body = JSON.parse(text) as Responses.ResponseCreateParamsStreaming
    const request: ResponsesRequest = { body, cancelled: false }
    requests.push(request)
    let broken = false
    response.on('close', () => {
      if (response.writableFinished || broken) return
      request.cancelled = true
      events.emit('cancelled', request)
    })
    events.emit('request', request)

    const script = scripts.shift()
    if (message.url !== '/v1/responses' || script === undefined) return refuse(response, 404, 'nothing was scripted')
    if ('status' in script) return refuse(response, script.status, 'scripted')
    const fault = faultOf(body.input as Responses.ResponseInputItem[])
    if (fault !== undefined) return refuse(response, 400, fault)
    await stream(response, script, body, () => {
      broken = true
      response.destroy()
    })
  }

  const server = createServer((message, response) => {
    answer(message, response).catch(error => {
      if (!message.destroyed) throw error
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    events,
    next: (...more) => { scripts.push(...more) },
    async close () {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    }
  }
}

type WithoutNumber<E> = E extends unknown ? Omit<E, 'sequence_number'> : never

async function stream (http: ServerResponse, steps: readonly ResponsesStep[], body: Responses.ResponseCreateParamsStreaming, cut: () => void): Promise<void> {
  const output: Responses.ResponseOutputItem[] = []
  let sent = 0
  const send = async (event: WithoutNumber<Responses.ResponseStreamEvent>): Promise<void> => {
    const bytes = `event: ${event.type}\ndata: ${JSON.stringify({ ...event, sequence_number: sent++ })}\n\n`
    // The callback comes when the kernel has the bytes, so that two writes are never merged on our side.
    if (!http.destroyed) await new Promise(resolve => http.write(bytes, resolve))
  }

  let open: Responses.ResponseOutputMessage | undefined
  const say = async (delta: string): Promise<void> => {
    const index = output.length
    const text = (text: string): Responses.ResponseOutputText => ({ type: 'output_text', text, annotations: [], logprobs: [] })
    if (open === undefined) {
      open = { id: `msg_${index}`, type: 'message', role: 'assistant', status: 'in_progress', content: [] }
      await send({ type: 'response.output_item.added', output_index: index, item: open })
      open = { ...open, content: [text('')] }
      await send({ type: 'response.content_part.added', item_id: open.id, output_index: index, content_index: 0, part: text('') })
    }
    open = { ...open, content: [text((open.content[0] as Responses.ResponseOutputText).text + delta)] }
    await send({ type: 'response.output_text.delta', item_id: open.id, output_index: index, content_index: 0, delta, logprobs: [] })
  }
  const endMessage = async (): Promise<void> => {
    if (open === undefined) return
    const item: Responses.ResponseOutputMessage = { ...open, status: 'completed' }
    const part = item.content[0] as Responses.ResponseOutputText
    const place = { item_id: item.id, output_index: output.length, content_index: 0 }
    open = undefined
    await send({ type: 'response.output_text.done', ...place, text: part.text, logprobs: [] })
    await send({ type: 'response.content_part.done', ...place, part })
    await send({ type: 'response.output_item.done', output_index: output.length, item })
    output.push(item)
  }
  const call = async ({ id, name, arguments: args }: { id: string, name: string, arguments: string }): Promise<void> => {
    await endMessage()
    const index = output.length
    const item: Responses.ResponseFunctionToolCallItem = { id: `fc_${index}`, type: 'function_call', call_id: id, name, arguments: args, status: 'completed' }
    await send({ type: 'response.output_item.added', output_index: index, item: { ...item, arguments: '', status: 'in_progress' } })
    for (const delta of args.match(/.{1,5}/gs) ?? []) await send({ type: 'response.function_call_arguments.delta', item_id: item.id, output_index: index, delta })
    await send({ type: 'response.function_call_arguments.done', item_id: item.id, output_index: index, name, arguments: args })
    await send({ type: 'response.output_item.done', output_index: index, item })
    output.push(item)
  }
  const response = (status: Responses.ResponseStatus): Responses.Response => ({
    ...RESPONSE,
    model: body.model ?? '',
    output,
    status,
    ...(status === 'failed' && { error: { code: 'server_error' as const, message: 'Overloaded' } }),
    ...(status === 'incomplete' && { incomplete_details: { reason: 'content_filter' as const } })
  })

  http.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
  await send({ type: 'response.created', response: response('in_progress') })
  await send({ type: 'response.in_progress', response: response('in_progress') })
  for (const step of steps) {
    if (http.destroyed) return
    if (step === CUT) return cut()
    if (step === STALL) return
    if (typeof step === 'string') await say(step)
    else if ('call' in step) await call(step.call)
    else if ('then' in step) await step
    else {
      if (step.end === 'error') await send({ type: 'error', code: 'server_error', message: 'Overloaded', param: null })
      else if (step.end === 'response.failed') await send({ type: step.end, response: response('failed') })
      else await send({ type: step.end, response: response('incomplete') })
      http.end()
      return
    }
  }
  await endMessage()
  await send({ type: 'response.completed', response: response('completed') })
  http.end()
}

// `output_text` is the client's own.
const RESPONSE = {
  id: 'resp_1',
  object: 'response',
  created_at: 1_750_000_000,
  error: null,
  incomplete_details: null,
  instructions: null,
  metadata: {},
  parallel_tool_calls: false,
  temperature: 1,
  tool_choice: 'auto',
  tools: [],
  top_p: 1
} satisfies Partial<Responses.Response> as unknown as Responses.Response

function faultOf (input: readonly Responses.ResponseInputItem[]): string | undefined {
  const unanswered = new Set<string>()
  for (const item of input) {
    if (item.type === 'function_call') unanswered.add(item.call_id)
    if (item.type === 'function_call_output' && !unanswered.delete(item.call_id)) return `No tool call found for function call output with call_id ${item.call_id}.`
  }
  const [id] = unanswered
  return id === undefined ? undefined : `No tool output found for function call ${id}.`
}

function refuse (http: ServerResponse, status: number, message: string): void {
  http.writeHead(status, { 'content-type': 'application/json' })
  http.end(JSON.stringify({ error: { message, type: status < 500 ? 'invalid_request_error' : 'server_error', param: null, code: null } }))
}
