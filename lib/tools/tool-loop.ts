/**
 * The tool loop: asks the model, runs the tools that it calls, and asks again, until it answers in words.
 */
import { filler, toolResult, unspoken, working, type Action, type ChatMessage, type ChatToolCall, type Turn } from '../contract/agent.js'
import { ModelError } from '../contract/errors.js'
import { findLine } from '../speech/line.js'
import { failed, type ToolOutcome } from './tool-outcome.js'
import { executeToolCall, argumentsText, newToolCallId, recordedOnce } from './run-tool.js'
import { undecorated } from './tool-calls.js'
import { speakable, SpeechFilter } from '../speech/speakable.js'
import { readTextCall } from './text-call.js'
import { estimateTokens } from './token-estimate.js'
import type { PendingArguments, Tool, ToolArguments } from './tool.js'

/** Whether the model may, must or must not call tools, or must call one of them, in the first request of a turn. */
export type ToolChoice = 'auto' | 'required' | 'none' | { readonly name: string }

/** A tool call as the model wrote it. */
export interface ModelToolCall {
  /** `''` if the model gave none. */
  readonly id: string
  readonly name: string
  readonly arguments: string
  /** The model server's own members, which go back with the call. */
  readonly extra: object
}

/** One answer of a model. The loop reads the chunks itself: a chain of generators would cost more than a token does. */
export interface ModelAnswer {
  /** The stream. Ends, or throws, when the turn is aborted. */
  readonly chunks: AsyncIterable<unknown> | Promise<AsyncIterable<unknown>>
  /** The words in a chunk; `''` if there are none. */
  read (chunk: unknown): string
  /** The remaining words. Call it after all chunks are read. */
  end (): string
  /** True once a piece of a tool call was read. */
  readonly isCalling: boolean
  /** True if a failure follows the words. `complete` throws it, once the words are spoken. */
  readonly hasFailed: boolean
  /** The model's usage, if reported, for the turn's report. */
  readonly usage: Action | undefined
  /**
   * Call it after all chunks are read.
   * @param hasSpoken true if there was a word in them
   * @returns the tool calls
   * @throws when the answer is not usable
   */
  complete (hasSpoken: boolean): readonly ModelToolCall[]
  /**
   * Called before its tool calls are recorded.
   * @param ids the recorded ids, in order
   */
  called (ids: readonly string[]): void
  /** The error to throw in place of one that reading threw. */
  explain (error: unknown): unknown
  /**
   * Called when the answer is read or abandoned.
   * @param text its words
   * @param thrown the error that ended it early, if any
   */
  close (text: string, toolCalls: readonly ModelToolCall[], thrown: { readonly error: unknown } | undefined): void
}

/** A message to a model: like {@link ChatMessage}, but with the words and the tool calls of one answer in one message. */
export type StepMessage = ChatMessage | {
  readonly role: 'assistant'
  readonly content: string | null
  readonly tool_calls: readonly ChatToolCall[]
}

/** The agent's settings for one turn. */
export interface ToolLoopOptions {
  readonly tools: readonly Tool[]
  readonly toolChoice: ToolChoice
  /** The most requests to the model in one turn; in the last one it may not call tools. */
  readonly maxSteps: number
  /** True if text that cannot be spoken is filtered out. */
  readonly speakable: boolean
  /** True if the model begins its answers with unmarked reasoning. */
  readonly startsInReasoning: boolean
  /** True if tool calls that the model writes as text are run. */
  readonly runsTextCalls: boolean
  /** Asks the model. */
  ask (messages: readonly StepMessage[], toolChoice: ToolChoice): ModelAnswer
}

/** A tool call that is ready to run. */
interface PendingCall {
  readonly id: string
  readonly name: string
  readonly arguments: string
  readonly extra: object
  /** Undefined if there is no such tool. */
  readonly tool: Tool | undefined
  readonly read: ToolArguments | PendingArguments
}

/** The most tools that one answer may call. Each call is recorded and run, so a failing model must not make thousands. */
const MOST_CALLS = 128

/** Replaces the filter for a model or a voice that needs none. */
const VERBATIM: Pick<SpeechFilter, 'push' | 'end' | 'cut' | 'calls'> = {
  push: text => text, end: () => '', cut: { characters: 0, kinds: [] }, calls: []
}

// The approximate duration of speech.
const MS_PER_CHARACTER = 65

/**
 * Speaks a model's answer, and runs the tools that it calls. An aborted turn ends without an error.
 * @throws VOICE_AGENT_ERR_MODEL when the model calls tools in the last step, or too many at once; the errors of `ask`
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
    // Returns true if the token is to be spoken. Blanks ahead of the first word are not, since they may be the whole answer.
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
          // A tool call ends the word before it.
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

    // One action a turn, and none if another tool failed, since the model wrote the action's last words before.
    const revoke = (index: number, why: string): void => {
      outcomes[index] = failed(`not done: ${why}`)
      turn.call.record(toolResult(calls[index]!.id, outcomes[index].content, false))
    }
    const isDoubtful = outcomes.some(({ successful }) => !successful)
    const ending = isDoubtful ? -1 : outcomes.findIndex(({ action }) => action !== undefined)
    for (const [index, { action }] of outcomes.entries()) {
      if (action === undefined || index === ending) continue
      revoke(index, isDoubtful ? 'another tool failed, and the caller does not know of it' : 'another action ends the turn')
    }
    if (ending !== -1) {
      yield outcomes[ending]!.action!
      if (turn.signal.aborted) return
      // The turn goes on, so the provider does not support the action.
      revoke(ending, 'not possible in this call')
    }
    messages.push({
      role: 'assistant',
      content: text.trim() === '' ? null : text,
      tool_calls: calls.map(({ id, name, arguments: args, extra }) =>
        ({ ...extra, id, type: 'function' as const, function: { name, arguments: args } }))
    })
    for (const [index, { content }] of outcomes.entries()) messages.push({ role: 'tool', tool_call_id: calls[index]!.id, content })
  }
}

/** Kimi's models write ids such as `functions.find:0`, and fail if another id comes back. */
const ACCEPTED_ID = /^(?:[\w.:-]{1,40}|functions\.[\w-]{1,64}:\d{1,4})$/

// Some servers number calls from 0 in each answer, give no ids, or accept no long ones.
function prepare ({ id, name, arguments: written, extra }: ModelToolCall, tools: readonly Tool[], ids: Set<string>): PendingCall {
  const ownId = ACCEPTED_ID.test(id) && !ids.has(id) ? id : newToolCallId()
  ids.add(ownId)
  const tool = tools.find(tool => tool.name === name) ?? tools.find(tool => tool.name === undecorated(name))
  const read = tool?.read(written) ?? { error: `there is no such tool; there are: ${tools.map(({ name }) => name).join(', ')}` }
  // The name stays in the messages of the whole call, and servers refuse all messages for one bad character.
  const acceptedName = tool?.name ?? name.replace(/[^\w-]/g, '_').slice(0, 64)
  return { id: ownId, name: acceptedName, arguments: argumentsText(written), extra, tool, read }
}

/** Records the calls before they run. Returns false if the turn is aborted meanwhile. */
async function * announce (turn: Turn, calls: readonly PendingCall[]): AsyncGenerator<Action, boolean, undefined> {
  const announced: Array<ReturnType<typeof recordedOnce>> = []
  let isWanted = false
  try {
    for (const { id, name, arguments: args, extra } of calls) {
      const entry = recordedOnce(id, name, args, extra)
      announced.push(entry)
      yield entry
    }
    // The plugin stops at a yield if the turn is aborted. An agent that wraps this one may go on, and may not have passed the entries on.
    isWanted = !turn.signal.aborted
    if (isWanted) for (const entry of announced) turn.call.record(entry, turn)
  } finally {
    if (!isWanted) for (const { id } of announced) turn.call.record(toolResult(id, failed('cancelled').content, false))
  }
  return isWanted
}

/** The line of the first tool that has one. */
function firstLine (
  calls: readonly PendingCall[], turn: Turn, find: (tool: Tool, read: { readonly args?: unknown, readonly spoken: string }) => string
): string {
  for (const { tool, read } of calls) {
    if (tool === undefined || 'error' in read) continue
    const line = findLine(turn.log, `line of tool ${tool.name}`, () => find(tool, read))
    if (line !== undefined && line.trim() !== '') return line
  }
  return ''
}

/** Waits for the tools, and speaks one filler if they are slow. Returns undefined when the turn is aborted. */
async function * fillSilence (
  running: Promise<ToolOutcome[]>, calls: readonly PendingCall[], turn: Turn, spokenMs: number
): AsyncGenerator<Action, ToolOutcome[] | undefined, undefined> {
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
