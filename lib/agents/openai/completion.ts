/**
 * The streamed answer of a chat-completions server.
 */
import { isTokenCount, usage, type Action, type Turn } from '../../contract/agent.js'
import { ModelError } from '../../contract/errors.js'
import { isId } from '../../contract/id.js'
import type { ModelRequestTelemetry } from '../../telemetry/model-request.js'
import { ToolCalls } from '../../tools/tool-calls.js'
import type { ModelAnswer, ModelToolCall } from '../../tools/tool-loop.js'
import { wordsOf, type Chunk } from './chunk.js'
import { ChunkPattern } from './chunk-pattern.js'
import { EventStream } from './event-stream.js'
import type { ModelAnswer as Answer } from './model-client.js'

/** Azure's and OpenAI's word for what their filter stopped, as an error's code and as a `finish_reason`. */
const CONTENT_FILTER = 'content_filter'

/** One answer of the model's: server-sent events, read by ourselves, which costs a fraction of what the client's own reader does. */
export class Completion implements ModelAnswer {
  readonly chunks: Promise<AsyncIterable<unknown>>
  isCalling = false
  hasFailed = false
  readonly #turn: Turn
  readonly #mayCall: boolean
  readonly #request: ModelRequestTelemetry | undefined
  readonly #events = new EventStream()
  readonly #pattern = new ChunkPattern(chunk => wordsOf(chunk as Chunk))
  readonly #toolCalls = new ToolCalls()
  #toError!: Answer['failure']
  #finish: unknown
  #model: string
  /** What the server says it is. */
  #servedBy: string | undefined
  #tokens: { inputTokens?: number, outputTokens?: number } | undefined
  #isDone = false
  #failure: unknown

  constructor (turn: Turn, model: string, mayCall: boolean, answer: Promise<Answer>, request: ModelRequestTelemetry | undefined) {
    this.#turn = turn
    this.#model = model
    this.#mayCall = mayCall
    this.#request = request
    this.chunks = answer.then(({ bytes, failure }) => {
      this.#toError = failure
      return bytes
    })
  }

  /** The words of all events that are complete with these bytes. */
  read (bytes: Buffer): string {
    this.#request?.received()
    let words = ''
    this.isCalling = false
    try {
      for (const data of this.#events.read(bytes)) {
        this.#isDone ||= data.startsWith('[DONE]')
        if (!this.#isDone && data !== '') words += this.#pattern.read(data) ?? this.#readChunk(data)
      }
    } catch (error) {
      if (words === '') throw error
      this.hasFailed = true
      this.#failure = error
    }
    return words
  }

  #readChunk (data: string): string {
    const chunk = JSON.parse(data) as Chunk
    if (chunk?.error) throw this.#toError(chunk.error)
    // Usage and Azure's filter reports come as chunks without a choice, or with a choice without a delta.
    if (chunk?.usage) this.#count(chunk)
    if (typeof chunk?.model === 'string') this.#servedBy = chunk.model
    const choice = chunk?.choices?.[0]
    const delta = choice?.delta
    if (choice?.finish_reason) this.#finish = choice.finish_reason
    if (delta?.tool_calls && this.#mayCall) {
      this.isCalling = true
      this.#toolCalls.add(delta.tool_calls)
    }
    const words = wordsOf(chunk)
    if (words === delta?.content && !choice?.finish_reason && !delta.tool_calls) this.#pattern.learn(data, words)
    return words
  }

  // Some servers count on in each chunk.
  #count ({ model, usage }: NonNullable<Chunk>): void {
    if (isId(model)) this.#model = model
    const { prompt_tokens: inputTokens, completion_tokens: outputTokens } = usage!
    this.#tokens = { ...(isTokenCount(inputTokens) && { inputTokens }), ...(isTokenCount(outputTokens) && { outputTokens }) }
  }

  get usage (): Action | undefined {
    return this.#tokens && usage(this.#model, this.#tokens)
  }

  complete (hasSpoken: boolean): readonly ModelToolCall[] {
    if (this.hasFailed) throw this.explain(this.#failure)
    const finish = this.#finish
    if (finish === CONTENT_FILTER) throw filtered()
    const toolCalls = this.#toolCalls.complete(finish === undefined || finish === 'length')
    // A reasoning model may spend all its tokens before the first word.
    if (!hasSpoken && toolCalls.length === 0) throw new ModelError(finish === 'length' ? 'answered nothing within its token limit' : 'answered nothing')
    if (finish === undefined) this.#turn.log.warn('the model\'s answer ended without a finish_reason')
    return toolCalls
  }

  explain (error: unknown): unknown {
    return isFiltered(error) ? Object.assign(filtered(), { cause: error }) : error
  }

  close (text: string, toolCalls: readonly ModelToolCall[], thrown: { readonly error: unknown } | undefined): void {
    this.#request?.end({
      model: this.#servedBy,
      finish: typeof this.#finish === 'string' ? this.#finish : undefined,
      ...this.#tokens,
      message: () => ({ role: 'assistant', content: text, tool_calls: toolCalls.map(({ id, name, arguments: args }) => ({ id, function: { name, arguments: args } })) })
    }, thrown)
  }
}

function isFiltered (error: unknown): boolean {
  return (error as { code?: unknown } | undefined)?.code === CONTENT_FILTER
}

function filtered (): Error {
  return new ModelError('was stopped by its content filter')
}
