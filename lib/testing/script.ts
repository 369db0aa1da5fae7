/**
 * What a scripted model does with a request.
 */
import { ConfigError } from '../contract/errors.js'
import { checkNames, namesOf } from '../contract/option-names.js'

/** Something the server waits for. The test that made it lets it go. */
export interface Hold extends Promise<void> {
  release (): void
}

/** Something to wait for, as a step or before an answer. */
export function hold (): Hold {
  let release!: () => void
  const held = new Promise<void>(resolve => { release = resolve })
  return Object.assign(held, { release })
}

/** The server closes the connection, as one does that restarts. */
export const CUT = Symbol('cut')

/** The connection is reset, as by a crash or by a firewall that forgot it. */
export const RESET = Symbol('reset')

/** Nothing more comes, and the connection stays open until the agent leaves or the server is closed. */
export const STALL = Symbol('stall')

/** How a response ends before its end. */
export type BreakOff = typeof CUT | typeof RESET | typeof STALL

/** A token, a wait, a chunk or bytes of the test's own, or the end: nothing after it is written. */
export type Step = string | PromiseLike<unknown> | { readonly chunk: unknown } | { readonly raw: string } | BreakOff

/** A stream. */
export interface Answer {
  readonly steps: readonly Step[]
  /** The response's headers wait for it. Default: they leave at once, with the chunk that names the role. */
  readonly before?: PromiseLike<unknown>
  /** Default true; false leaves the chunk that names the role out, and the headers leave alone. */
  readonly role?: boolean
  /** All between two waits goes out in one write. Default false: a write per step. */
  readonly atOnce?: boolean
  /** Default `stop`; null leaves the closing chunk out. */
  readonly finishReason?: 'stop' | 'length' | 'tool_calls' | 'content_filter' | null
  /** Whether the stream ends in `[DONE]`. Default true. */
  readonly done?: boolean
}

/** A response that is no stream: a refusal in the shape of OpenAI's, unless it has a body of its own. */
export interface Refusal {
  readonly status: number
  readonly before?: PromiseLike<unknown>
  /** Such as `retry-after`, in seconds. */
  readonly headers?: Readonly<Record<string, string>>
  /** A string is sent as it is, an object as JSON. Default what OpenAI says with that status. */
  readonly body?: string | object
}

/**
 * What the server does with one request; a text is streamed word by word, a bare list of steps is an {@link Answer} of
 * them, and one that is broken off at once has no byte of a response.
 */
export type Script = string | readonly Step[] | Answer | Refusal | BreakOff

const ANSWER = namesOf<Answer>({ steps: true, before: true, role: true, atOnce: true, finishReason: true, done: true })
const REFUSAL = namesOf<Refusal>({ status: true, before: true, headers: true, body: true })

/** @throws VOICE_AGENT_ERR_CONFIG when it is no script, or a member of it is not known */
export function checkScript (script: Script): void {
  if (typeof script === 'string' || typeof script === 'symbol' || Array.isArray(script)) return
  checkNames('ScriptedModel', script, 'status' in script ? REFUSAL : ANSWER)
  if (!('status' in script) && !('steps' in script)) {
    throw new ConfigError('ScriptedModel: a script must be a text, a list of steps, { steps } or { status }')
  }
}
