/**
 * Steps: the model is asked, the tools it calls are run, and it is asked again, until it answers in words.
 */
import { filler, toolResult, unspoken, working, type Action, type ChatMessage, type Turn } from '../contract/agent.js'
import { ModelError } from '../contract/errors.js'
import { findLine } from '../speech/line.js'
import { failed, type ToolOutcome } from './tool-outcome.js'
import { executeToolCall, argumentsText, newToolCallId, recordedOnce } from './run-tool.js'
import { undecorated } from './tool-calls.js'
import { speakable, SpeechFilter } from '../speech/speakable.js'
import { readTextCall } from './text-call.js'
import { estimateTokens } from './token-estimate.js'
import type { PendingArguments, Tool, ToolArguments } from './tool.js'

/** Whether the model may, must or must not call tools, or must call this one, when it is asked for the first time in a turn. */
export type ToolChoice = 'auto' | 'required' | 'none' | { readonly name: string }

/** A tool call as the model wrote it. */
export interface ModelToolCall {
  /** `''` where the model gave none. */
  readonly id: string
  readonly name: string
  readonly arguments: string
  /** Members that only this model knows, and wants to have back. */
  readonly extra: object
}

/** One answer of a model. Read as it comes and not handed from generator to generator, which costs more than a token does. */
export interface ModelAnswer {
  /** What is streamed. Ends, or throws, when the turn is aborted. */
  readonly chunks: AsyncIterable<unknown> | Promise<AsyncIterable<unknown>>
  /** The words in a chunk; `''` where there are none. */
  read (chunk: unknown): string
  /** The words that only the end of the stream completes. To be called when all chunks are read. */
  end (): string
  /** Was there a piece of a tool call in it? */
  readonly isCalling: boolean
  /** Was there something behind the words that is no answer? Then `complete` throws it, once they are said. */
  readonly hasFailed: boolean
  /** What it took, as far as it was told: for the turn's report. */
  readonly usage: Action | undefined
  /**
   * To be called when all chunks are read.
   * @param hasSpoken whether there was a word in them
   * @returns the tools it calls
   * @throws when that is no answer
   */
  complete (hasSpoken: boolean): readonly ModelToolCall[]
  /**
   * Its tool calls are about to be put on the record.
   * @param ids under which they are, in order
   */
  called (ids: readonly string[]): void
  /** What to throw where reading it has thrown. */
  explain (error: unknown): unknown
  /**
   * Nothing more is wanted of it, be it that it was read to its end.
   * @param text what of it was to be said
   * @param thrown what ended it, where it did not come to its end
   */
  close (text: string, toolCalls: readonly ModelToolCall[], thrown: { readonly error: unknown } | undefined): void
}

/** What is sent to a model: like {@link ChatMessage}, but with what it said and called in one message, as it did. */
export type StepMessage = ChatMessage | {
  readonly role: 'assistant'
  readonly content: string | null
  readonly tool_calls: ReadonlyArray<{ readonly id: string, readonly type: 'function', readonly function: { readonly name: string, readonly arguments: string } }>
}

/** What one turn needs of its agent. */
export interface ToolLoopOptions {
  readonly tools: readonly Tool[]
  readonly toolChoice: ToolChoice
  /** How often the model may be asked in one turn; the last time it may call no tools. */
  readonly maxSteps: number
  /** Is what the model writes freed of what cannot be said? */
  readonly speakable: boolean
  /** Does the model begin its answers with its reasoning, unmarked? */
  readonly startsInReasoning: boolean
  /** Is a tool call that the model writes as text run? */
  readonly runsTextCalls: boolean
  /** Asks the model. */
  ask (messages: readonly StepMessage[], toolChoice: ToolChoice): ModelAnswer
}

/** A tool call that is about to be carried out. */
interface PendingCall {
  readonly id: string
  readonly name: string
  readonly arguments: string
  readonly extra: object
  /** Undefined where there is no such tool. */
  readonly tool: Tool | undefined
  readonly read: ToolArguments | PendingArguments
}

/** The most tools that one answer may call. Each call is recorded and run, so a model that has gone wrong must not make thousands. */
const MOST_CALLS = 128

/** For a model, or a voice, that needs no filter. */
const VERBATIM: Pick<SpeechFilter, 'push' | 'end' | 'cut' | 'calls'> = { push: text => text, end: () => '', cut: { characters: 0, kinds: [] }, calls: [] }

// Speech takes some 65 ms a character.
const MS_PER_CHARACTER = 65

/**
 * Speaks a model's answer, and runs the tools it calls on the way. An aborted turn ends quietly.
 * @throws VOICE_AGENT_ERR_MODEL when the model keeps calling tools and never says a word, or calls too many at once; what `ask` throws
 */
export async function * speakInSteps (turn: Turn, options: ToolLoopOptions): AsyncGenerator<string | Action, void, undefined> {
  const { tools, toolChoice, maxSteps, speakable: isFiltered, startsInReasoning, runsTextCalls, ask } = options
  const names = tools.map(({ name }) => name)
  const messages: StepMessage[] = [...turn.messages]
  const ids = new Set(messages.flatMap(message => 'tool_calls' in message ? message.tool_calls.map(({ id }) => id) : []))

  for (let step = 1; ; step++) {
    const isLast = step >= maxSteps
    const choice = isLast ? 'none' : step === 1 || toolChoice === 'none' ? toolChoice : 'auto'
    const answer = ask(messages, choice)
    const filter = isFiltered ? new SpeechFilter({ tools: names, startsInReasoning }) : VERBATIM
    let text = ''
    let hasSpoken = false
    // Returns whether it is to be said: blanks ahead of the first word are nothing to hear, and may stay the whole answer.
    const add = (token: string): boolean => {
      text += token
      hasSpoken ||= token.trim() !== ''
      return hasSpoken && token !== ''
    }
    let toolCalls: readonly ModelToolCall[] = []
    let thrown: { error: unknown } | undefined
    try {
      try {
        for await (const chunk of await answer.chunks) {
          const words = filter.push(answer.read(chunk))
          // What goes on after a tool's call is no longer the same word.
          const token = answer.isCalling ? words + filter.end() : words
          if (add(token)) yield token
          else if (answer.isCalling) yield working()
          if (answer.hasFailed) break
        }
        const rest = filter.push(answer.end()) + filter.end()
        if (!turn.signal.aborted && add(rest)) yield rest
      } finally {
        turn.call.countTokens(estimateTokens(text))
      }
      if (turn.signal.aborted) return
      if (answer.usage !== undefined) yield answer.usage
      if (filter.cut.characters > 0) yield unspoken(filter.cut)
      const textCalls = runsTextCalls && choice !== 'none' ? filter.calls.flatMap(call => readTextCall(call, names) ?? []) : []
      toolCalls = answer.complete(hasSpoken || textCalls.length > 0)
      // A server that read the calls may have left their text in the answer as well.
      if (toolCalls.length === 0) toolCalls = textCalls
    } catch (error) {
      if (turn.signal.aborted) return
      thrown = { error: answer.explain(error) }
      throw thrown.error
    } finally {
      answer.close(text, toolCalls, turn.signal.aborted ? { error: turn.signal.reason } : thrown)
    }
    if (toolCalls.length === 0) return
    if (isLast) throw new ModelError('called tools instead of answering')
    if (toolCalls.length > MOST_CALLS) throw new ModelError(`called more than ${MOST_CALLS} tools at once`)

    const calls = toolCalls.map(call => prepare(call, tools, ids))
    answer.called(calls.map(({ id }) => id))
    const line = hasSpoken
      ? ''
      : firstLine(calls, turn, (tool, read) =>
        tool.say({ ...read, spoken: isFiltered ? speakable(read.spoken) : read.spoken }))
    if (line !== '') yield filler(line)
    if (!(yield * announce(turn, calls))) return

    const running = Promise.all(calls.map(({ id, tool, read }) => executeToolCall(turn, id, tool, read)))
    const outcomes = yield * fillSilence(running, calls, turn, (text.length + line.length) * MS_PER_CHARACTER)
    if (outcomes === undefined) return

    // One action a turn, and none whose last words were written before another tool failed.
    const revoke = (index: number, why: string): void => {
      outcomes[index] = failed(`not done: ${why}`)
      turn.call.record(toolResult(calls[index]!.id, outcomes[index].content, false))
    }
    const isDoubtful = outcomes.some(({ successful }) => !successful)
    const ending = isDoubtful ? -1 : outcomes.findIndex(({ action }) => action !== undefined)
    for (const [index, { action }] of outcomes.entries()) {
      if (action !== undefined && index !== ending) revoke(index, isDoubtful ? 'another tool failed, and the caller does not know of it' : 'another action ends the turn')
    }
    if (ending !== -1) {
      yield outcomes[ending]!.action!
      if (turn.signal.aborted) return
      // Still asked for more.
      revoke(ending, 'not possible in this call')
    }
    messages.push({
      role: 'assistant',
      content: text.trim() === '' ? null : text,
      tool_calls: calls.map(({ id, name, arguments: args, extra }) => ({ ...extra, id, type: 'function' as const, function: { name, arguments: args } }))
    })
    for (const [index, { content }] of outcomes.entries()) messages.push({ role: 'tool', tool_call_id: calls[index]!.id, content })
  }
}

/** Kimi's models write `functions.find:0` for an id, and go wrong where it does not come back. */
const ACCEPTED_ID = /^(?:[\w.:-]{1,40}|functions\.[\w-]{1,64}:\d{1,4})$/

// Some servers number calls from 0 in each answer, or give no ids at all; some take no long ones.
function prepare ({ id, name, arguments: written, extra }: ModelToolCall, tools: readonly Tool[], ids: Set<string>): PendingCall {
  const ownId = ACCEPTED_ID.test(id) && !ids.has(id) ? id : newToolCallId()
  ids.add(ownId)
  const tool = tools.find(tool => tool.name === name) ?? tools.find(tool => tool.name === undecorated(name))
  const read = tool?.read(written) ?? { error: `there is no such tool; there are: ${tools.map(({ name }) => name).join(', ')}` }
  // It stays in the messages of the whole call, and servers refuse them all for one bad character.
  const acceptedName = tool?.name ?? name.replace(/[^\w-]/g, '_').slice(0, 64)
  return { id: ownId, name: acceptedName, arguments: argumentsText(written), extra, tool, read }
}

/** Puts the calls on the record, ahead of whatever they do. Returns whether they are still wanted then. */
async function * announce (turn: Turn, calls: readonly PendingCall[]): AsyncGenerator<Action, boolean, undefined> {
  const announced: Array<ReturnType<typeof recordedOnce>> = []
  let isWanted = false
  try {
    for (const { id, name, arguments: args, extra } of calls) {
      const entry = recordedOnce(id, name, args, extra)
      announced.push(entry)
      yield entry
    }
    // Whoever consumes this stops at a yield, if the turn is aborted meanwhile. An agent that wraps this one may not, and
    // may have kept the entries for itself.
    isWanted = !turn.signal.aborted
    if (isWanted) for (const entry of announced) turn.call.record(entry, turn)
  } finally {
    if (!isWanted) for (const { id } of announced) turn.call.record(toolResult(id, failed('cancelled').content, false))
  }
  return isWanted
}

/** The line of the first tool that has one. */
function firstLine (calls: readonly PendingCall[], turn: Turn, find: (tool: Tool, read: { readonly args?: unknown, readonly spoken: string }) => string): string {
  for (const { tool, read } of calls) {
    if (tool === undefined || 'error' in read) continue
    const line = findLine(turn.log, `line of tool ${tool.name}`, () => find(tool, read))
    if (line !== undefined && line.trim() !== '') return line
  }
  return ''
}

/** Waits for the tools, and says one line while they are slow. Returns undefined when the turn is aborted. */
async function * fillSilence (running: Promise<ToolOutcome[]>, calls: readonly PendingCall[], turn: Turn, spokenMs: number): AsyncGenerator<Action, ToolOutcome[] | undefined, undefined> {
  const fillerMs = Math.min(...calls.map(({ tool }) => tool?.fillerMs ?? Infinity))
  let timer: NodeJS.Timeout | undefined
  const isSlow = new Promise<'slow'>(resolve => {
    if (fillerMs !== Infinity) timer = setTimeout(() => resolve('slow'), fillerMs + spokenMs)
  })
  try {
    const first = await Promise.race([running, isSlow]).finally(() => clearTimeout(timer))
    if (first !== 'slow') return first
    const line = firstLine(calls, turn, (tool, { args }) => tool.filler(args))
    if (line !== '') yield filler(line)
    return await running
  } catch (error) {
    if (turn.signal.aborted) return undefined
    throw error
  }
}
