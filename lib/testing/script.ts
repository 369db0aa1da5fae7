/**
 * Scripts: how a scripted model answers a request.
 */
import { ConfigError } from '../contract/errors.js'
import { checkNames, namesOf } from '../contract/option-names.js'

/** A wait of the server. The test that made it releases it. */
export interface Hold extends Promise<void> {
  release (): void
}

/** Makes a wait, for a step or before an answer. */
export function hold (): Hold {
  let release!: () => void
  const held = new Promise<void>(resolve => { release = resolve })
  return Object.assign(held, { release })
}

/** The server closes the connection, as during a restart. */
export const CUT = Symbol('cut')

/** The connection is reset, as by a crash or a firewall that dropped its state. */
export const RESET = Symbol('reset')

/** The stream stalls: the connection stays open until the agent leaves or the server is closed. */
export const STALL = Symbol('stall')

/** How a response ends early. */
export type BreakOff = typeof CUT | typeof RESET | typeof STALL

/** A token, a wait, the test's own chunk or bytes, or an early end, after which nothing is written. */
export type Step = string | PromiseLike<unknown> | { readonly chunk: unknown } | { readonly raw: string } | BreakOff

/** A stream. */
export interface Answer {
  readonly steps: readonly Step[]
  /** Delays the headers. Default: they are sent at once, with the chunk that names the role. */
  readonly before?: PromiseLike<unknown>
  /** False omits the chunk that names the role, and sends the headers alone. Default true. */
  readonly role?: boolean
  /** Sends all steps between two waits in one write. Default false: a write for each step. */
  readonly atOnce?: boolean
  /** Default `stop`; null omits the closing chunk. */
  readonly finishReason?: 'stop' | 'length' | 'tool_calls' | 'content_filter' | null
  /** Ends the stream with `[DONE]`. Default true. */
  readonly done?: boolean
}

/** A response without a stream: a refusal in OpenAI's format, unless it has its own body. */
export interface Refusal {
  readonly status: number
  readonly before?: PromiseLike<unknown>
  /** Such as `retry-after`, in seconds. */
  readonly headers?: Readonly<Record<string, string>>
  /** A string is sent as it is, an object as JSON. Default: OpenAI's body for this status. */
  readonly body?: string | object
}

/**
 * How the server answers one request. It streams a text word by word; a list of steps is an {@link Answer} with these steps; a
 * {@link BreakOff} alone sends no byte of a response.
 */
export type Script = string | readonly Step[] | Answer | Refusal | BreakOff

const ANSWER = namesOf<Answer>({ steps: true, before: true, role: true, atOnce: true, finishReason: true, done: true })
const REFUSAL = namesOf<Refusal>({ status: true, before: true, headers: true, body: true })

/** @throws VOICE_AGENT_ERR_CONFIG when the value is not a script, or has an unknown member */
export function checkScript (script: Script): void {
  if (typeof script === 'string' || typeof script === 'symbol' || Array.isArray(script)) return
  checkNames('ScriptedModel', script, 'status' in script ? REFUSAL : ANSWER)
  if (!('status' in script) && !('steps' in script)) {
    throw new ConfigError('ScriptedModel: a script must be a text, a list of steps, { steps } or { status }')
  }
}
