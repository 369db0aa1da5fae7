/**
 * What a caller does not hear: an agent that ends a turn without a word, which is nearly always a mistake, and text of a model that is no
 * speech. The log says why.
 */
import type { UnspokenKind } from '../contract/actions.js'
import type { Action, Call, Turn } from '../contract/agent.js'

/** What came of the agent's reply. */
export interface EmptyReply {
  /** What it returned in place of a reply, or what its generator returned. */
  readonly returned?: unknown
  /** Was there something that could have been read piece by piece? */
  readonly isStream: boolean
  /** Was a tool called? */
  readonly hasTools: boolean
}

/** Is it something that the caller notices? That a tool was called, or that work goes on, is none; a pause is meant to be silent. */
export function isNoticed ({ action }: Action): boolean {
  return action !== 'working' && action !== 'usage' && action !== 'unspoken' && action !== 'tool-call' && action !== 'tool-result'
}

const warned = new WeakSet<Call>()

/** Warns that nothing was said to a caller who waits for an answer; once a call. */
export function warnOfSilence (turn: Turn, reply: EmptyReply): void {
  if (warned.has(turn.call)) return
  warned.add(turn.call)
  turn.log.warn(`the agent said nothing, and the caller hears silence: ${reasonFor(reply)}`)
}

const warnedOfUnspoken = new WeakSet<Call>()

/** Warns that the model wrote what is not speech; once a call, without its content. */
export function warnOfUnspoken (turn: Turn, characters: number, kinds: readonly UnspokenKind[]): void {
  if (warnedOfUnspoken.has(turn.call)) return
  warnedOfUnspoken.add(turn.call)
  turn.log.warn({ characters, kinds }, 'the model wrote text that is no speech; it was not spoken')
}

function reasonFor ({ returned, isStream, hasTools }: EmptyReply): string {
  if (typeof returned === 'string') return isStream ? 'its generator returned a string, which is not spoken: yield it' : 'it returned an empty string'
  if (!isStream) return `it returned ${String(returned)}. Return what is to be said, or yield it in an async function * (turn)`
  if (hasTools) return 'its reply ended with a tool call. Ask the model once more, with the result of the tool'
  return "its reply ended without a word. Where it reads an SDK's stream, the request may have failed: " +
    "the AI SDK's textStream leaves errors out, its fullStream has them"
}
