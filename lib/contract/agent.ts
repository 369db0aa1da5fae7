/**
 * The contract with the user: what an agent gets, and what it may say. Types and pure functions only.
 */
import type { ReadableStream } from 'node:stream/web'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Action, EndCallOptions, ToolAction, TransferCallOptions } from './actions.js'

export * from './actions.js'

/** The names of the voice platforms. Each provider declares its own. */
export interface ProviderNames {}

/** A voice platform that dials in. */
export type Provider = keyof ProviderNames

/** Why the provider asks for speech: the call begins, the caller spoke, or the caller has been silent for a while. */
export type TurnReason = 'greeting' | 'response' | 'reminder'

/**
 * One entry of the transcript, as the provider heard it. Other members of the provider's stay, except that lists named `words` (Retell's
 * timings) may be empty.
 */
export interface Utterance {
  /** `user` is the caller, `agent` is us; providers may report others. */
  readonly role: 'user' | 'agent' | (string & {})
  readonly content: string
}

/** The argument of `onTranscript` while people speak. Its text is not final until a turn asks for an answer. */
export interface TranscriptUpdate {
  /** The whole conversation so far (Retell). */
  readonly transcript?: readonly Utterance[]
  /** The caller's words so far (Millis). */
  readonly partial?: string
  /** True if {@link TranscriptUpdate.partial} is the recogniser's final result (Millis). */
  readonly final?: boolean
  /** The new speaker, if the speaker changes (Retell). */
  readonly floor?: 'user' | 'agent'
}

/** A tool call inside {@link ChatMessage}. */
export interface ChatToolCall {
  readonly id: string
  readonly type: 'function'
  readonly function: { readonly name: string, readonly arguments: string }
}

/** One chat-completions message. The system prompt belongs to the agent and is never one of them. */
export type ChatMessage =
  | { readonly role: 'user', readonly content: string }
  | { readonly role: 'assistant', readonly content: string }
  | { readonly role: 'assistant', readonly content: string | null, readonly tool_calls: ChatToolCall[] }
  | { readonly role: 'tool', readonly tool_call_id: string, readonly content: string }

/**
 * One request to speak. Owned by the plugin; valid until its reply ends or {@link Turn.signal} aborts. Later words of the agent are
 * dropped.
 */
export interface Turn {
  /** The provider's id, verbatim and with its JSON type. Compare with `===`; 0 is legal. */
  readonly id: string | number
  readonly reason: TurnReason
  readonly call: Call
  /** The conversation so far, as it was really spoken. Converted when first read. */
  readonly transcript: readonly Utterance[]
  /**
   * The same as messages for a chat-completions model: neighbours of one role are merged, blank entries left out, tool calls paired with
   * their results. Starts with a user message (unless `messages.leadingAssistant` is set) and never ends with an assistant's. Converted
   * when first read; the agent may change the array.
   */
  readonly messages: ChatMessage[]
  /**
   * Aborted by the plugin when the turn is superseded, interrupted or hung up; `signal.reason` is a `TurnAbortedError` with the `reason`.
   * Pass it to everything that the agent waits for. A turn that ends by itself or by an action is not aborted: the agent's reply is
   * closed.
   */
  readonly signal: AbortSignal
  /** Bound to call id, provider and turn id. */
  readonly log: FastifyBaseLogger
}

/** Options of {@link Call.interject}. */
export interface InterjectOptions {
  /** True lets the caller interrupt the words. Default false: the provider advises against it, since both would talk at once. */
  interruptible?: boolean
}

/** Members of a Retell agent that can change during a call. */
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

/** One conversation. Owned by the plugin, from the opening of the provider's socket until `onCallEnd`. */
export interface Call {
  /** Retell's call_id, Millis' session_id. A Millis call that never introduced itself has a made-up one. */
  readonly id: string
  readonly provider: Provider
  /** The caller's number, E.164, if the provider sends it. Never authenticate by it. */
  readonly from: string | undefined
  /** The number that was dialled. */
  readonly to: string | undefined
  readonly direction: 'inbound' | 'outbound' | undefined
  /** The metadata that the call was created with; always an object. */
  readonly metadata: Readonly<Record<string, unknown>>
  /** Retell's dynamic variables; empty on Millis. */
  readonly variables: Readonly<Record<string, string>>
  /** The provider's own object (Retell `call_details.call`, Millis `start_call.data`), unchanged; undefined until it arrives. */
  readonly details: unknown
  /** The number of turns that completed: neither aborted nor failed. */
  readonly completedTurns: number
  /** The app's own data, JSON-serialisable. */
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
   * Transfers after `say` was spoken; a live turn is aborted. Rejects with VOICE_AGENT_ERR_UNSUPPORTED if `showCaller` is set and the
   * provider does not support it, VOICE_AGENT_ERR_CALL_ENDED after the end.
   */
  transfer (destination: string, options?: TransferCallOptions): Promise<void>
  /**
   * Sends an object to the front end of a Retell web call. Rejects with VOICE_AGENT_ERR_UNSUPPORTED on Millis,
   * VOICE_AGENT_ERR_ACTION if `metadata` is not a JSON object, VOICE_AGENT_ERR_CALL_ENDED after the end.
   */
  sendMetadata (metadata: Record<string, unknown>): Promise<void>
  /**
   * Changes the Retell agent for the rest of this call. Rejects with VOICE_AGENT_ERR_UNSUPPORTED on Millis,
   * VOICE_AGENT_ERR_ACTION if a member is out of range, VOICE_AGENT_ERR_CALL_ENDED after the end.
   */
  updateAgent (config: AgentConfig): Promise<void>

  /**
   * Records a tool call or its result: in the `messages` of later turns, and in the provider's transcript if it keeps one. Yielding the
   * entry does the same, but a result may come after its turn is over. The provider gets each call and each result once; a later result
   * replaces the first one in `messages`. {@link runTool} records by itself.
   * @param turn the turn of the call: if it is over, the call is refused
   * @returns true for the first call with its id, or its first result
   * @throws VOICE_AGENT_ERR_ACTION when the entry was not made by {@link toolCall} or {@link toolResult}, or is a call without a live turn
   */
  record (entry: ToolAction, turn?: Turn): boolean
  /**
   * Counts tokens of a model towards `limits.maxTokensPerCall`, at which the call is ended with a goodbye. The built-in agent counts by
   * itself. It estimates four bytes a token, since a truncated answer has no figures.
   * @throws VOICE_AGENT_ERR_ACTION when it is not a number, or below 0
   */
  countTokens (tokens: number): void
  /**
   * Makes `app.close()` wait for work that outlives its turn or its call, for at most 5,000 ms, before `onClose` hooks close the resources
   * that the work uses. A rejection is logged.
   */
  waitUntil (work: Promise<unknown>): void
}

/** One piece of a reply: a token or an action. `null` and `undefined`, which are frequent in model streams, are skipped. */
export type Speech = string | Action | null | undefined

/**
 * What an agent may return. Nothing, or an empty reply, is silence: the turn completes without a word. If the caller waits for an answer,
 * that is logged as a warning once a call.
 */
export type Reply =
  | undefined
  | string
  | AsyncIterable<Speech>
  | Iterable<Speech>
  | ReadableStream<Speech>
  | Promise<string | AsyncIterable<Speech> | Iterable<Speech> | ReadableStream<Speech> | void>

/**
 * The user's handler: takes a turn, streams the answer. Called once per turn, with the Fastify instance as `this`. If it throws, the error
 * is logged, and the caller hears the `fallback` line.
 */
export type Agent = (this: FastifyInstance, turn: Turn) => Reply
