/**
 * The interface of a provider's codec. One {@link Codec} is made per socket; it knows the wire and nothing of
 * calls, turns or Fastify.
 */
import type {
  Action, AgentConfig, Provider, TerminalAction, ToolAction, TranscriptUpdate, TurnReason, Utterance
} from '../contract/agent.js'

/** A turn's id as the provider gave it. Opaque: echoed verbatim, compared with `===`. */
export type TurnId = string | number

/** One entry of a conversation in the words of no provider, for {@link Transcript.entries}. */
export type Entry =
  | { readonly kind: 'speech', readonly role: string, readonly content: string }
  | { readonly kind: 'tool-call', readonly id: string, readonly name: string, readonly arguments: string }
  | { readonly kind: 'tool-result', readonly id: string, readonly content: string, readonly successful?: boolean }
  /** Something the model should know that nobody said, such as a pressed key. */
  | { readonly kind: 'note', readonly content: string }

/** The conversation that came with a frame. Nothing is converted before it is asked for. */
export interface Transcript {
  utterances (): Utterance[]
  entries (): Entry[]
}

/** What a provider reports about a call. */
export interface CallFacts {
  readonly from: string | undefined
  readonly to: string | undefined
  readonly direction: 'inbound' | 'outbound' | undefined
  /** Undefined until somebody asks, where there are none. */
  metadata: Record<string, unknown> | undefined
  /** The same. */
  variables: Record<string, string> | undefined
  readonly details: unknown
}

/** One frame of a provider, decoded. */
export type ProviderEvent =
  /** To be answered with `reply` before anything else. */
  | { readonly type: 'keepalive', readonly reply: string }
  /**
   * The call introduces itself. `id` is its id where the URL had none; `greeting` the turn id to greet with;
   * `resumed`: it has been going on for a while, so it must not be greeted.
   */
  | { readonly type: 'started', readonly id?: string, readonly greeting?: TurnId, readonly resumed: boolean, readonly facts: CallFacts }
  | { readonly type: 'asked', readonly id: TurnId, readonly reason: TurnReason, readonly transcript: Transcript }
  /** Somebody is speaking. `read` does the parsing, once somebody wants to know; undefined = the frame was broken. */
  | { readonly type: 'update', readonly read: () => TranscriptUpdate | undefined }
  /** The caller spoke over the audio of this turn. */
  | { readonly type: 'interrupted', readonly id: TurnId }
  /** The audio of this turn was played to its end. */
  | { readonly type: 'played', readonly id: TurnId }
  /** Nothing to do. `why` holds no content and may be logged; `malformed` frames are counted. */
  | { readonly type: 'ignored', readonly why: string, readonly malformed: boolean }

/** What not every provider can do: actions of a turn, and controls from outside of one. */
export const FEATURES = [
  'flush', 'pause', 'uninterruptible', 'press-digits', 'show-caller', 'interject', 'metadata', 'update-agent'
] as const satisfies ReadonlyArray<Action['action'] | 'show-caller' | 'interject' | 'metadata' | 'update-agent'>

/** One of {@link FEATURES}. */
export type Feature = typeof FEATURES[number]

const OPTIONAL: ReadonlySet<string> = new Set(FEATURES)

/** True if `what` is one of {@link FEATURES} and this provider lacks it. */
export function lacks ({ features }: Pick<Codec, 'features'>, what: string): boolean {
  return OPTIONAL.has(what) && !features.has(what as Feature)
}

/** Actions after which the call has ended or belongs to another party. */
export type LeavingAction = Exclude<TerminalAction, { action: 'press-digits' }>

/** Properties of one piece of speech. */
export interface SpeechOptions {
  readonly uninterruptible?: boolean
  /** Speak it now, without waiting for the sentence to end. */
  readonly flush?: boolean
  /** Silence after it, in ms. */
  readonly pauseMs?: number
}

/** The frames that carry out an action: `now`, and those that must wait until the speech before them was played. */
export interface ActionFrames {
  readonly now: readonly string[]
  readonly afterPlayback: readonly string[]
}

/** Translation between one socket of a provider and a call. Frames are JSON texts, complete and ready to send. */
export interface Codec {
  readonly provider: Provider
  /** True if the provider closes the connection of a call that was ended. */
  readonly hangsUp: boolean
  /** The close code that leaves a call to another node. Without one only a connection that breaks has the provider dial again. */
  readonly redialCode?: number
  /** What this provider can do. */
  readonly features: ReadonlySet<Feature>
  /** Sent as soon as the socket is open. */
  readonly opening: readonly string[]
  /**
   * Set where the provider stays mute until a first message with this id came from us. It is sent when
   * the call has started, at the latest `waitMs` after the socket opened.
   */
  readonly begin?: { readonly id: TurnId, readonly waitMs: number }

  /** Never throws, whatever the bytes. `binary` says that the frame was not a text frame. */
  decode (data: Buffer, binary: boolean): ProviderEvent
  /** A piece of a turn's speech. */
  speech (id: TurnId, text: string, options?: SpeechOptions): string
  /**
   * The end of a turn: the rest of its speech, the action if there is one, and the completion.
   * @param spoken whether the turn already said something before `text`
   */
  completion (id: TurnId, text: string, spoken: boolean, action?: TerminalAction): ActionFrames
  /** A book-keeping frame for a tool call, where the provider keeps books. */
  toolRecord? (action: ToolAction): string
  /** Speech from outside a turn. `n` counts up from 1 in each call. */
  interjection? (n: number, text: string, uninterruptible: boolean): string
  /** An action from outside a turn. `last` is the id of the last turn, if there was one. */
  control (n: number, last: TurnId | undefined, action: LeavingAction): ActionFrames
  /** @throws VOICE_AGENT_ERR_ACTION when it is no JSON object */
  metadata? (metadata: Record<string, unknown>): string
  /** @throws VOICE_AGENT_ERR_ACTION when a member is out of range */
  agentConfig? (config: AgentConfig): string
}
