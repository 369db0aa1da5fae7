/**
 * The contract with the user: what an agent is given, and what it may say. Types and pure functions only.
 */
import type { ReadableStream } from 'node:stream/web'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Action, EndCallOptions, ToolAction, TransferCallOptions } from './actions.js'

export * from './actions.js'

/** The names of the voice platforms. Each declares its own. */
export interface ProviderNames {}

/** A voice platform that dials in. */
export type Provider = keyof ProviderNames

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

/** One piece of a reply: a token, or an action. `null` and `undefined`, which model streams are full of, are skipped. */
export type Speech = string | Action | null | undefined

/**
 * What an agent may return. Nothing, or an empty reply, is silence: the turn is completed without a word, which is warned of once a call where
 * the caller waits for an answer.
 */
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
