/**
 * The contract with the user: what the providers' webhooks tell, and what may be answered. Types only.
 */

/** A provider's own object as it was sent, unchecked: of what is named here anything may be missing. */
type Sent<Members> = Readonly<Partial<Members> & Record<string, unknown>>

/** Retell's call, as its REST API tells of it. */
export type RetellWebhookCall = Sent<{
  call_id: string
  call_type: 'web_call' | 'phone_call'
  agent_id: string
  call_status: string
  direction: 'inbound' | 'outbound'
  from_number: string
  to_number: string
  /** Times in ms since 1970. */
  start_timestamp: number
  end_timestamp: number
  duration_ms: number
  disconnection_reason: string
  transcript: string
  transcript_object: ReadonlyArray<Sent<{ role: string, content: string }>>
  recording_url: string
  public_log_url: string
  /** With `call_analyzed` only. */
  call_analysis: Sent<{ call_summary: string, user_sentiment: string, call_successful: boolean, in_voicemail: boolean, custom_analysis_data: unknown }>
  metadata: unknown
  retell_llm_dynamic_variables: Readonly<Record<string, string>>
}>

/** Retell's events, by the names it has for them; `unknown` is one that this version does not know. */
export type RetellWebhookName =
  | 'call_started' | 'call_ended' | 'call_analyzed'
  | 'transcript_updated'
  | 'transfer_started' | 'transfer_bridged' | 'transfer_cancelled' | 'transfer_ended'
  | 'chat_started' | 'chat_ended' | 'chat_analyzed'
  | 'unknown'

/** Something happened to a call at Retell. */
export interface RetellWebhookEvent {
  readonly provider: 'retell'
  readonly event: RetellWebhookName
  /** That of the call, or of the chat. */
  readonly callId: string | undefined
  readonly call: RetellWebhookCall
  /** All that was sent, with what stands beside the call. */
  readonly body: Sent<{ event: string, transfer_destination: unknown, transfer_option: unknown, transcript_with_tool_calls: readonly unknown[] }>
}

/** One entry of the conversation at Millis. */
export type MillisChatEntry = Sent<{ role: string, content: string }>

/** A call at Millis is over. */
export interface MillisWebhookEvent {
  readonly provider: 'millis'
  readonly event: 'call_ended'
  /** Millis' session_id, the same as in `call.id`. */
  readonly callId: string | undefined
  /** What was said; undefined where it could not be read: `call.chat` is the text as it was sent. */
  readonly chat: readonly MillisChatEntry[] | undefined
  readonly call: Sent<{
    session_id: string
    agent_id: string
    call_id: string
    call_status: string
    error_message: string
    /** Seconds. */
    duration: number
    /** JSON. */
    chat: string
    voip: unknown
    recording: Sent<{ recording_url: string }>
    metadata: unknown
  }>
}

/** What a provider's webhook tells. */
export type WebhookEvent = RetellWebhookEvent | MillisWebhookEvent

/** A call that rings at Retell. */
export interface InboundCall {
  /** Older payloads have none. */
  readonly callId: string | undefined
  readonly from: string | undefined
  readonly to: string | undefined
  /** The number's default agent. */
  readonly agentId: string | undefined
  /** Retell's own object (`call_inbound`), untouched. */
  readonly details: Readonly<Record<string, unknown>>
}

/** Who takes a call that rings, and what they know of it, in Retell's words. All of it turns up in `call.details`. */
export interface InboundCallReply {
  override_agent_id?: string
  override_agent_version?: number | string
  /** Become `call.variables`. Sent as text, which is all that Retell takes; null and undefined are left out. */
  dynamic_variables?: Readonly<Record<string, string | number | boolean | null | undefined>>
  /** Becomes `call.metadata`. */
  metadata?: Readonly<Record<string, unknown>>
  agent_override?: Readonly<Record<string, unknown>>
}

/** A call that is about to begin at Millis. */
export interface PrefetchSession {
  /** Millis' session_id, which will be `call.id`. */
  readonly callId: string | undefined
  readonly agentId: string | undefined
  readonly from: string | undefined
  readonly to: string | undefined
  /** What was attached to the call when it was created. */
  readonly metadata: Readonly<Record<string, string>>
}

/** What Millis is to know before a call begins, in Millis' words. */
export interface PrefetchReply {
  /** Laid over the call's own; becomes `call.metadata`. */
  metadata?: Readonly<Record<string, unknown>>
  /** For the prompt of a model that Millis itself asks. */
  extra_prompt?: string
}

/** The app's hooks for the providers' webhooks. What they throw or reject with is logged. */
export interface WebhookHooks {
  /**
   * A provider tells what happened to a call. Runs after the provider was answered, once for each event that this process
   * hears of, and is not run again when it fails.
   */
  onWebhook? (event: WebhookEvent): void | Promise<void>
  /**
   * The phone rings at Retell, which asks who takes the call. When it fails, or takes longer than 8,000 ms, the number's
   * default agent does. May run twice for a call: when Retell did not hear the answer, it asks again.
   */
  onInboundCall? (call: InboundCall): InboundCallReply | void | Promise<InboundCallReply | void>
  /**
   * Millis is about to begin a call, and asks what is to be known of it. When it fails, or takes longer than 2,000 ms, the
   * call begins without.
   */
  onPrefetch? (session: PrefetchSession): PrefetchReply | void | Promise<PrefetchReply | void>
}
