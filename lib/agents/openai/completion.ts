/**
 * The streamed answer of a chat-completions server.
 */
import { isTokenCount, usage, type Action, type Turn } from '../../contract/agent.js'
import { ModelError } from '../../contract/errors.js'
import { isId } from '../../contract/id.js'
import { noteAnswerFacts } from '../../telemetry/answer-facts.js'
import type { ModelRequestTelemetry, ModelServer } from '../../telemetry/model-request.js'
import { isObject } from '../../contract/json.js'
import { ToolCalls } from '../../tools/tool-calls.js'
import type { ModelAnswer, ModelToolCall } from '../../tools/tool-loop.js'
import { AnswerReader, type Progress } from './answer-reader.js'
import { deltaOf, errorIn, tokensOf, wordsIn, wordsOf, type Chunk } from './chunk.js'
import { ChunkPattern } from './chunk-pattern.js'
import { EventStream } from './event-stream.js'
import { finishReasonOf, type FinishReason } from './finish-reason.js'
import type { ModelAnswer as Answer } from './model-client.js'
import { Reasoning, type ReasoningMembers } from './reasoning.js'

/** The code of an error of Azure's and OpenAI's filter. */
const CONTENT_FILTER = 'content_filter'

/** The event behind the last chunk. Some servers write it as JSON, or with blanks. */
const DONE = /^\s*"?\[\s*DONE\s*\]/i

/** One answer of the model's: server-sent events, read by ourselves, which costs a fraction of what the client's own reader does. */
export class Completion implements ModelAnswer, Progress {
  readonly chunks: Promise<AsyncIterable<unknown>>
  isCalling = false
  hasFailed = false
  isFinished = false
  isOver = false
  readonly #turn: Turn
  readonly #mayCall: boolean
  readonly #request: ModelRequestTelemetry | undefined
  readonly #events = new EventStream()
  readonly #pattern = new ChunkPattern(chunk => wordsOf(chunk as Chunk))
  readonly #toolCalls = new ToolCalls()
  readonly #reasoning = new Reasoning()
  readonly #keep: (ids: readonly string[], members: ReasoningMembers) => void
  /** Has a tool call members that only the model knows? */
  #hasExtra = false
  #answer!: Answer
  #finish: FinishReason | undefined
  /** Does this server give a reason to finish, and then goes on? Then its reasons say nothing of the end. */
  #goesOn = false
  #hasWords = false
  #hasCalls = false
  #model: string
  /** What the server says it is. */
  #servedBy: string | undefined
  #tokens: { inputTokens?: number, outputTokens?: number } | undefined
  #failure: unknown

  /** @param keep keeps what the model wants back with these tool calls */
  constructor (
    turn: Turn,
    { model, address, port }: ModelServer,
    mayCall: boolean,
    answer: Promise<Answer>,
    request: ModelRequestTelemetry | undefined,
    keep: (ids: readonly string[], members: ReasoningMembers) => void
  ) {
    this.#keep = keep
    this.#turn = turn
    this.#model = model
    this.#mayCall = mayCall
    this.#request = request
    noteAnswerFacts(turn, { server: `${address}:${port}`, httpStatus: undefined, finishReason: undefined })
    this.chunks = answer.then(answer => {
      this.#answer = answer
      noteAnswerFacts(turn, { httpStatus: answer.head.status })
      return new AnswerReader(answer.bytes, this)
    })
  }

  /** The words of all events that are complete with these bytes. */
  read (bytes: Buffer): string {
    this.#request?.received()
    return this.#readEvents(this.#events.read(bytes))
  }

  /** The words of the last event, where the end of the response completes it. */
  end (): string {
    if (this.isFinished || this.isOver || this.hasFailed || this.#turn.signal.aborted) return ''
    try {
      return this.#readEvents(this.#events.end())
    } catch (error) {
      // The response ends within an event.
      if (error instanceof SyntaxError) return ''
      throw error
    }
  }

  #readEvents (events: readonly string[]): string {
    let words = ''
    this.isCalling = false
    try {
      for (const data of events) {
        const known = this.#pattern.read(data)
        words += known ?? this.#readEvent(data, this.#hasWords || words !== '')
        if (known !== undefined && this.isFinished) this.#goOn()
        if (this.isOver) break
      }
    } catch (error) {
      this.#broke(error, words)
    }
    this.#hasWords ||= words !== ''
    return words
  }

  // A failure behind the end of an answer takes nothing from it.
  #broke (error: unknown, words: string): void {
    if (this.isFinished) {
      this.isOver = true
    } else if (words === '') {
      throw error
    } else {
      this.hasFailed = true
    }
    this.#failure = error
  }

  #goOn (): void {
    this.#goesOn = true
    this.isFinished = false
  }

  #readEvent (data: string, hasWords: boolean): string {
    if (DONE.test(data)) {
      this.isOver = true
      return ''
    }
    if (!/^\s*[{[]/.test(data)) {
      // `ping` and the like.
      if (/^\W*error\b/i.test(data)) throw this.#answer.failure({ message: data })
      return ''
    }
    const parsed: unknown = JSON.parse(data)
    const chunk = (Array.isArray(parsed) ? parsed[0] : parsed) as Chunk
    const error = errorIn(chunk)
    if (error !== undefined) throw this.#reported(error)
    return this.#readChunk(chunk, data, hasWords)
  }

  #readChunk (chunk: Chunk, data: string, hasWords: boolean): string {
    // Usage and Azure's filter reports come as chunks without a choice, or with a choice without a delta.
    this.#count(chunk)
    if (typeof chunk?.model === 'string') this.#servedBy = chunk.model
    const choice = chunk?.choices?.[0]
    const delta = deltaOf(chunk)
    // A whole message behind words or calls repeats them.
    const isWhole = delta !== choice?.delta
    const isCalling = this.#mayCall && !(isWhole && this.#hasCalls) && this.#toolCalls.add(delta?.tool_calls)
    this.isCalling ||= isCalling
    this.#hasCalls ||= isCalling
    const isRepeated = isWhole && (hasWords || (this.#hasCalls && !isCalling))
    const hasReasoning = this.#mayCall && !isRepeated && isObject(delta) && this.#reasoning.add(delta)
    const words = isRepeated ? '' : wordsIn(delta)
    if (this.isFinished && (isCalling || words !== '')) this.#goOn()
    const finish = finishReasonOf(choice?.finish_reason)
    if (finish !== undefined) {
      this.#finish = finish
      this.isFinished = !this.#goesOn
    } else if (words === choice?.delta?.content && !hasReasoning && !hasMembers(delta?.tool_calls)) {
      this.#pattern.learn(data, words)
    }
    return words
  }

  // Some servers count on in each chunk.
  #count (chunk: Chunk): void {
    const tokens = tokensOf(chunk)
    if (tokens === undefined) return
    if (isId(chunk!.model)) this.#model = chunk!.model
    const { read: inputTokens, written: outputTokens } = tokens
    this.#tokens = { ...(isTokenCount(inputTokens) && { inputTokens }), ...(isTokenCount(outputTokens) && { outputTokens }) }
  }

  get usage (): Action | undefined {
    return this.#tokens && usage(this.#model, this.#tokens)
  }

  complete (hasSpoken: boolean): readonly ModelToolCall[] {
    if (this.hasFailed) throw this.explain(this.#failure)
    const { name, ending } = this.#finish ?? {}
    if (ending === 'filtered') throw filtered()
    if (ending === 'failed') {
      throw Object.assign(new ModelError(`broke off its answer, with the finish_reason ${name}`), { cause: this.#failure })
    }
    const toolCalls = this.#toolCalls.complete(ending === 'cut-off' || (ending === undefined && !this.isOver))
    this.#hasExtra = toolCalls.some(({ extra }) => Object.keys(extra).length > 0)
    // A reasoning model may spend all its tokens before the first word.
    if (!hasSpoken && toolCalls.length === 0) {
      throw new ModelError(ending === 'cut-off' ? 'answered nothing within its token limit' : this.#nothing())
    }
    if (ending === undefined) this.#turn.log.warn('the model\'s answer ended without a finish_reason')
    return toolCalls
  }

  #nothing (): string {
    return this.#events.hasData ? 'answered nothing' : this.#noStream()
  }

  #noStream (): string {
    const { status, mediaType } = this.#answer.head
    return `answered HTTP ${status} with ${mediaType} and no stream of events`
  }

  // Logs show the message of a ModelError, and of other errors no more than the code.
  #reported (error: object): Error {
    const cause = this.#answer.failure(error)
    if (this.#events.hasData || isFiltered(cause)) return cause
    const code = codeOf(error)
    return Object.assign(new ModelError(this.#noStream() + (code === undefined ? '' : `, but the error code ${code}`)), { cause })
  }

  called (ids: readonly string[]): void {
    const { members } = this.#reasoning
    if (members !== undefined || this.#hasExtra) this.#keep(ids, members ?? {})
  }

  explain (error: unknown): unknown {
    return isFiltered(error) ? Object.assign(filtered(), { cause: error }) : error
  }

  close (text: string, toolCalls: readonly ModelToolCall[], thrown: { readonly error: unknown } | undefined): void {
    const finish = this.#finish?.name
    const { status } = Object(thrown?.error) as { status?: unknown }
    noteAnswerFacts(this.#turn, { finishReason: finish, ...(typeof status === 'number' && { httpStatus: status }) })
    this.#request?.end({
      model: this.#servedBy,
      finish,
      ...this.#tokens,
      message: () => ({
        role: 'assistant',
        content: text,
        tool_calls: toolCalls.map(({ id, name, arguments: args }) => ({ id, function: { name, arguments: args } }))
      })
    }, thrown)
  }
}

function hasMembers (value: unknown): boolean {
  return Object.keys(Object(value)).length > 0
}

/** The code of a reported error, or else its type, where that is one word. */
function codeOf (error: object): string | undefined {
  const { code, type } = error as { code?: unknown, type?: unknown }
  return [code, type].map(String).find(word => /^[\w.-]{1,64}$/.test(word) && !['undefined', 'null'].includes(word))
}

function isFiltered (error: unknown): boolean {
  return (error as { code?: unknown } | undefined)?.code === CONTENT_FILTER
}

function filtered (): Error {
  return new ModelError('was stopped by its content filter')
}
