/**
 * The contract with the user: what an agent is given, and what it may say. Types and pure functions only.
 */
import type { ReadableStream } from 'node:stream/web'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { Type, type TObject } from '@sinclair/typebox'
import { TypeCompiler, type TypeCheck } from '@sinclair/typebox/compiler'
import { ActionError } from './errors.js'

/** A voice platform that dials in. */
export type Provider = 'retell' | 'millis'

/** Why the provider asks for speech: the call begins, the caller spoke, or the caller has been silent for a while. */
export type TurnReason = 'greeting' | 'response' | 'reminder'

/** One entry of the transcript, as the provider heard it. Other members are left as they are, but for lists called `words`, Retell's timings, which may come empty. */
export interface Utterance {
  /** `user` is the caller, `agent` is us; providers may report others. */
  readonly role: 'user' | 'agent' | (string & {})
  readonly content: string
}

/** What `onTranscript` is told while people speak. Text in it is not final until a turn asks for an answer. */
export interface TranscriptUpdate {
  /** The whole conversation so far (Retell). */
  readonly transcript?: readonly Utterance[]
  /** What the caller is being heard to say (Millis). */
  readonly partial?: string
  /** Whether {@link TranscriptUpdate.partial} is the recogniser's last word on it (Millis). */
  readonly final?: boolean
  /** Who has the floor from now on, where it changes (Retell). */
  readonly floor?: 'user' | 'agent'
}

/** A tool call inside {@link ChatMessage}. */
export interface ChatToolCall {
  readonly id: string
  readonly type: 'function'
  readonly function: { readonly name: string, readonly arguments: string }
}

/** One chat-completions message. The system prompt is the agent's own and never among them. */
export type ChatMessage =
  | { readonly role: 'user', readonly content: string }
  | { readonly role: 'assistant', readonly content: string }
  | { readonly role: 'assistant', readonly content: string | null, readonly tool_calls: ChatToolCall[] }
  | { readonly role: 'tool', readonly tool_call_id: string, readonly content: string }

/**
 * One request to speak. Owned by the plugin; valid until its reply ends or {@link Turn.signal} aborts. After that
 * whatever the agent still says is dropped.
 */
export interface Turn {
  /** The provider's id, verbatim and with its JSON type. Compare with `===`; 0 is legal. */
  readonly id: string | number
  readonly reason: TurnReason
  readonly call: Call
  /** What was really said so far. Converted when first read. */
  readonly transcript: readonly Utterance[]
  /**
   * The same, ready for a chat-completions model: neighbours of one role merged, blank entries left out, tool calls
   * paired with their results; starts with a user message (unless `messages.leadingAssistant` is set) and never ends
   * with the assistant's. Converted when first read; the array is the agent's own.
   */
  readonly messages: ChatMessage[]
  /**
   * Aborted by the plugin when the turn is superseded, interrupted or hung up; `signal.reason` is a
   * `TurnAbortedError` whose `reason` says which. Hand it to whatever the agent waits for. A turn that ends by itself, be
   * it by an action, is not aborted: the agent's reply is closed.
   */
  readonly signal: AbortSignal
  /** Bound to call id, provider and turn id. */
  readonly log: FastifyBaseLogger
}

/** Options of {@link Call.interject}. */
export interface InterjectOptions {
  /** May the caller talk over it? Default false: the provider advises against it, as both would talk at once. */
  interruptible?: boolean
}

/** Members of a Retell agent that can be changed in mid-call. */
export interface AgentConfig {
  /** 0 to 1; lower waits longer before answering. */
  responsiveness?: number
  /** 0 to 1; lower is harder to interrupt, 0 is never. */
  interruption_sensitivity?: number
  /** Silence before a reminder turn, in ms, above 0. */
  reminder_trigger_ms?: number
  /** How many reminders in a row; 0 switches them off. */
  reminder_max_count?: number
}

/** One conversation. Owned by the plugin, from the provider's socket opening until `onCallEnd`. */
export interface Call {
  /** Retell's call_id, Millis' session_id. A Millis call that never introduced itself has a made-up one. */
  readonly id: string
  readonly provider: Provider
  /** Who dialled, E.164 where the provider tells. Never authenticate by it. */
  readonly from: string | undefined
  /** The number that was dialled. */
  readonly to: string | undefined
  readonly direction: 'inbound' | 'outbound' | undefined
  /** What was attached to the call when it was created; always an object. */
  readonly metadata: Readonly<Record<string, unknown>>
  /** Retell's dynamic variables; empty on Millis. */
  readonly variables: Readonly<Record<string, string>>
  /** The provider's own object (Retell `call_details.call`, Millis `start_call.data`), untouched; undefined until it is in. */
  readonly details: unknown
  /** How many turns came to their end by themselves: not aborted, not failed. */
  readonly completedTurns: number
  /** The user's, JSON-serialisable. */
  readonly state: Record<string, unknown>
  /** Bound to call id and provider. */
  readonly log: FastifyBaseLogger

  /**
   * Speaks now, outside a turn; the live turn is aborted and completed. Rejects with VOICE_AGENT_ERR_UNSUPPORTED on
   * Millis, VOICE_AGENT_ERR_CALL_ENDED after the end.
   */
  interject (text: string, options?: InterjectOptions): Promise<void>
  /** Hangs up after `say` was spoken; a live turn is aborted. Rejects with VOICE_AGENT_ERR_CALL_ENDED after the end. */
  end (options?: EndCallOptions): Promise<void>
  /**
   * Transfers after `say` was spoken; a live turn is aborted. Rejects with VOICE_AGENT_ERR_UNSUPPORTED where
   * `showCaller` is asked for and the provider cannot, VOICE_AGENT_ERR_CALL_ENDED after the end.
   */
  transfer (destination: string, options?: TransferCallOptions): Promise<void>
  /**
   * Sends an object to the front end of a Retell web call. Rejects with VOICE_AGENT_ERR_UNSUPPORTED on Millis,
   * VOICE_AGENT_ERR_ACTION where it is no JSON object, VOICE_AGENT_ERR_CALL_ENDED after the end.
   */
  sendMetadata (metadata: Record<string, unknown>): Promise<void>
  /**
   * Changes the Retell agent for the rest of this call. Rejects with VOICE_AGENT_ERR_UNSUPPORTED on Millis,
   * VOICE_AGENT_ERR_ACTION where a member is out of range, VOICE_AGENT_ERR_CALL_ENDED after the end.
   */
  updateAgent (config: AgentConfig): Promise<void>

  /**
   * Puts a tool call, or the result of one, on the record: in the `messages` of later turns, and in the provider's
   * transcript where it keeps one. Yielding it does the same, but a result may come when its turn is over, and what was
   * done was done. Of each call and each result the provider is told once; a later result takes the place of the first
   * in `messages`. What {@link runTool} does is recorded by it.
   * @param turn whose call it is: where that is over, it is refused
   * @returns whether it is news: the first call with its id, or its first result
   * @throws VOICE_AGENT_ERR_ACTION when it was not made by {@link toolCall} or {@link toolResult}, or is a call of no turn
   * that is live
   */
  record (entry: ToolAction, turn?: Turn): boolean
  /**
   * Counts what a model was asked and answered towards `limits.maxTokensPerCall`, at which the call is ended with a
   * goodbye. The built-in agent counts by itself: an estimate of four bytes a token, as an answer that is cut off has no
   * figures.
   * @throws VOICE_AGENT_ERR_ACTION when it is no number, or below 0
   */
  countTokens (tokens: number): void
  /**
   * Has the app wait for work that goes on after its turn, or after its call: on `app.close()` for at most 5,000 ms,
   * before `onClose` hooks take away what it works with. A rejection is logged.
   */
  waitUntil (work: Promise<unknown>): void
}

/** Options of {@link endCall}. */
export interface EndCallOptions {
  /** The goodbye. It travels in the same frame as the action. Without it the line goes dead at once. */
  say?: string
}

/** Options of {@link transferCall}. */
export interface TransferCallOptions {
  /** What is said first; keep it short, because the caller talking over it cancels the transfer on Retell. */
  say?: string
  /** Show the caller's own number to the destination. Retell only, inside a turn. */
  showCaller?: boolean
}

/** What is not speech. Built by the functions below, yielded by an agent like a token. */
export type Action =
  | { readonly action: 'end-call', readonly say: string }
  | { readonly action: 'transfer-call', readonly destination: string, readonly say: string, readonly showCaller: boolean }
  | { readonly action: 'press-digits', readonly digits: string }
  | { readonly action: 'pause', readonly ms: number }
  | { readonly action: 'flush' }
  | { readonly action: 'filler', readonly text: string }
  | { readonly action: 'uninterruptible', readonly text: string }
  | { readonly action: 'working' }
  | { readonly action: 'usage', readonly model: string, readonly inputTokens: number, readonly outputTokens: number }
  | ToolCallAction
  | ToolResultAction

/** A tool is called. Made by {@link toolCall}. */
export interface ToolCallAction {
  readonly action: 'tool-call'
  readonly id: string
  readonly name: string
  /** JSON. */
  readonly arguments: string
  /** Whoever calls it again waits for the same run: so it is with {@link runTool}. */
  readonly runsOnce?: boolean
  /** Members of the model's own, which it wants to have back with the call in `messages`. */
  readonly extra?: object
}

/** A tool returned. Made by {@link toolResult}. */
export interface ToolResultAction {
  readonly action: 'tool-result'
  readonly id: string
  readonly content: string
  readonly successful?: boolean
}

/** What is put on a call's record, by {@link Call.record} or yielded. */
export type ToolAction = ToolCallAction | ToolResultAction

/** An action after which the turn says nothing more. A provider runs at most one of them a turn. */
export type TerminalAction = Extract<Action, { action: 'end-call' | 'transfer-call' | 'press-digits' }>

/** One piece of a reply: a token, or an action. `null` and `undefined`, which model streams are full of, are skipped. */
export type Speech = string | Action | null | undefined

/** What an agent may return. Nothing, or an empty reply, is silence: the turn is completed without a word. */
export type Reply =
  | undefined
  | string
  | AsyncIterable<Speech>
  | Iterable<Speech>
  | ReadableStream<Speech>
  | Promise<string | AsyncIterable<Speech> | Iterable<Speech> | ReadableStream<Speech> | void>

/**
 * The user's handler: takes a turn, streams what to say. Called once per turn, with the Fastify instance as `this`.
 * What it throws is logged, and the caller hears the `fallback` line.
 */
export type Agent = (this: FastifyInstance, turn: Turn) => Reply

// No model reads or writes as much at once.
const MOST_TOKENS = 1_000_000_000

/** Hangs up after the reply was spoken. Nothing after it is said. */
export function endCall (options: EndCallOptions = {}): Extract<Action, { action: 'end-call' }> {
  return { action: 'end-call', say: text(options.say ?? '', 'endCall: say') }
}

/**
 * Transfers the call to a phone number, after the reply was spoken. Nothing after it is said.
 * @throws VOICE_AGENT_ERR_ACTION when the destination is empty
 */
export function transferCall (destination: string, options: TransferCallOptions = {}): Extract<Action, { action: 'transfer-call' }> {
  return { action: 'transfer-call', destination: nonEmpty(destination, 'transferCall: destination'), say: text(options.say ?? '', 'transferCall: say'), showCaller: options.showCaller ?? false }
}

/**
 * Sends DTMF digits after the reply was spoken. Retell only. Nothing after it is said, since the provider runs one
 * action a turn.
 * @throws VOICE_AGENT_ERR_ACTION when there is anything but 0-9, *, #, A-D
 */
export function pressDigits (digits: string): Action {
  if (!ACTIONS['press-digits'].Check({ digits: text(digits, 'pressDigits') })) throw new ActionError('pressDigits: digits are 0-9, *, # and A-D')
  return { action: 'press-digits', digits }
}

/**
 * Silence after what was said so far, before what is said next. On Retell, which has no such field, a spoken dash
 * a second.
 * @param ms milliseconds, above 0, at most 60,000
 * @throws VOICE_AGENT_ERR_ACTION when it is not such a number
 */
export function pause (ms: number): Action {
  if (!ACTIONS.pause.Check({ ms })) throw new ActionError('pause: ms is a number above 0, at most 60000')
  return { action: 'pause', ms }
}

/** Has what was said so far spoken now, without waiting for the sentence to end. Millis only; Retell ignores it. */
export function flush (): Action {
  return { action: 'flush' }
}

/** Says something that covers a wait. Spoken at once, and never history. */
export function filler (speech: string): Action {
  return { action: 'filler', text: text(speech, 'filler') }
}

/** Says something the caller cannot talk over. Retell only; on Millis it is plain speech. */
export function uninterruptible (speech: string): Action {
  return { action: 'uninterruptible', text: text(speech, 'uninterruptible') }
}

/** Says nothing, and lets the wait for the next word begin anew: the agent is at work, such as on a long tool call. */
export function working (): Action {
  return { action: 'working' }
}

/**
 * Tells which model was asked, and how many tokens it read and wrote, for the turn's report. Tokens of several requests in a turn are
 * added up. Figures come from the model's server: one that is not a number from 0 to 1,000,000,000 counts as 0.
 */
export function usage (model: string, tokens: { inputTokens?: number, outputTokens?: number } = {}): Extract<Action, { action: 'usage' }> {
  const figure = (count: unknown): number => isTokenCount(count) ? count : 0
  return { action: 'usage', model: text(model, 'usage: model'), inputTokens: figure(tokens.inputTokens), outputTokens: figure(tokens.outputTokens) }
}

/** Is it a number of tokens that one answer may take? */
export function isTokenCount (count: unknown): count is number {
  return typeof count === 'number' && count >= 0 && count <= MOST_TOKENS
}

/**
 * Records that a tool is being called: in the `messages` of later turns, and in Retell's transcript
 * (`tool_call_invocation`). Until its result is recorded, silence is bounded by `deadlines.turnMs` alone.
 * @param id unique in the call
 * @param args a JSON object, or its text
 * @throws VOICE_AGENT_ERR_ACTION when one of them is missing
 */
export function toolCall (id: string, name: string, args: string | Record<string, unknown>): ToolCallAction {
  const json: unknown = typeof args === 'string' ? args : JSON.stringify(args)
  return { action: 'tool-call', id: nonEmpty(id, 'toolCall: id'), name: nonEmpty(name, 'toolCall: name'), arguments: text(json as string, 'toolCall: arguments') }
}

/**
 * Records a tool's result: in the `messages` of later turns, and in Retell's transcript (`tool_call_result`).
 * @param id the one given to {@link toolCall}
 * @throws VOICE_AGENT_ERR_ACTION when one of them is missing
 */
export function toolResult (id: string, content: string, successful?: boolean): ToolResultAction {
  return {
    action: 'tool-result',
    id: nonEmpty(id, 'toolResult: id'),
    content: text(content, 'toolResult: content'),
    ...(successful === undefined ? {} : { successful })
  }
}

// Anybody can write an action by hand, and what is missing in it would be found where it is sent.
const Id = Type.String({ minLength: 1 })
const Tokens = Type.Number({ minimum: 0, maximum: MOST_TOKENS })
const ACTIONS: { readonly [K in Action['action']]: TypeCheck<TObject> } = {
  'end-call': TypeCompiler.Compile(Type.Object({ say: Type.String() })),
  'transfer-call': TypeCompiler.Compile(Type.Object({ destination: Type.String({ pattern: '\\S' }), say: Type.String(), showCaller: Type.Boolean() })),
  'press-digits': TypeCompiler.Compile(Type.Object({ digits: Type.String({ pattern: '^[0-9*#A-D]+$' }) })),
  pause: TypeCompiler.Compile(Type.Object({ ms: Type.Number({ exclusiveMinimum: 0, maximum: 60_000 }) })),
  flush: TypeCompiler.Compile(Type.Object({})),
  working: TypeCompiler.Compile(Type.Object({})),
  usage: TypeCompiler.Compile(Type.Object({ model: Type.String(), inputTokens: Tokens, outputTokens: Tokens })),
  filler: TypeCompiler.Compile(Type.Object({ text: Type.String() })),
  uninterruptible: TypeCompiler.Compile(Type.Object({ text: Type.String() })),
  'tool-call': TypeCompiler.Compile(Type.Object({ id: Id, name: Id, arguments: Type.String(), runsOnce: Type.Optional(Type.Boolean()), extra: Type.Optional(Type.Object({})) })),
  'tool-result': TypeCompiler.Compile(Type.Object({ id: Id, content: Type.String(), successful: Type.Optional(Type.Boolean()) }))
}

/** Is it an action with all that belongs to it? */
export function isAction (value: unknown): value is Action {
  if (typeof value !== 'object' || value === null || !('action' in value)) return false
  const { action } = value
  return typeof action === 'string' && Object.hasOwn(ACTIONS, action) && ACTIONS[action as Action['action']].Check(value)
}

/** Is it an action that ends the turn, with all that belongs to it? */
export function isTerminal (value: unknown): value is TerminalAction {
  return isAction(value) && (value.action === 'end-call' || value.action === 'transfer-call' || value.action === 'press-digits')
}

function text (value: string, name: string): string {
  if (typeof value !== 'string') throw new ActionError(`${name} must be a string`)
  return value
}

function nonEmpty (value: string, name: string): string {
  if (text(value, name).trim() === '') throw new ActionError(`${name} is empty`)
  return value
}
