/**
 * Reasoning that a model wants back: servers of thinking models refuse a history in which the reasoning behind a tool call is missing.
 * It is kept apart from `turn.messages`, so that it reaches no other model, no transcript and no log.
 */
import { Type, type Static } from '@sinclair/typebox'
import type { Call } from '../../contract/agent.js'
import { compile } from '../../contract/compile.js'
import { handoverOf, type Handover } from '../../contract/handoff.js'
import { isObject } from '../../contract/json.js'

/**
 * Names of members that hold reasoning: `reasoning_content`, `reasoning`, `reasoning_details`, `thinking_blocks` and their like. Not
 * `finish_reason` and `stop_reason`, which some servers write there, and refuse in a request.
 */
const REASONING = /^(?!.*_reason$).*(?:reason|think|thought)/i

/** Members of a piece of reasoning that are streamed bit by bit. Others, such as a signature, come whole. */
const GROWING: ReadonlySet<string> = new Set(['text', 'summary', 'thinking', 'data'])

/** The most that is kept of one answer, in characters. Text is cut there; a list, which may be signed, is left out. */
const MOST_OF_ANSWER = 100_000

/** The most that is kept of one call, in characters. The oldest answers are forgotten first. */
const MOST_OF_CALL = 1_000_000

/** Members of an answer that hold reasoning. */
export type ReasoningMembers = Readonly<Record<string, unknown>>
type Piece = Record<string, unknown>

/** Puts the reasoning of one answer together, from the pieces that are streamed. */
export class Reasoning {
  readonly #members = new Map<string, string | object>()
  #characters = 0

  /** What the model is to be sent back; undefined where there is none. */
  get members (): ReasoningMembers | undefined {
    return this.#members.size === 0 ? undefined : Object.fromEntries(this.#members)
  }

  /** Reads a piece of the answer. Returns whether it has reasoning in it. */
  add (delta: object): boolean {
    let hasReasoning = false
    for (const [name, value] of Object.entries(delta)) {
      if (!REASONING.test(name)) continue
      const known = this.#members.get(name)
      if (typeof value === 'string') this.#members.set(name, typeof known === 'string' ? known + this.#fit(value) : this.#fit(value))
      else if (typeof value === 'object' && value !== null) this.#addObject(name, known, value)
      else continue
      hasReasoning = true
    }
    return hasReasoning
  }

  #fit (text: string): string {
    const fitting = text.slice(0, Math.max(0, MOST_OF_ANSWER - this.#characters))
    this.#characters += fitting.length
    return fitting
  }

  #addObject (name: string, known: string | object | undefined, value: object): void {
    this.#characters += JSON.stringify(value).length
    if (this.#characters > MOST_OF_ANSWER) this.#members.delete(name)
    else if (Array.isArray(value)) this.#members.set(name, joined(Array.isArray(known) ? known : [], value))
    else this.#members.set(name, value)
  }
}

function joined (pieces: unknown[], more: readonly unknown[]): unknown[] {
  for (const piece of more) {
    const known = isObject(piece) ? pieces.findLast(known => isObject(known) && isSame(known, piece)) as Piece | undefined : undefined
    if (known === undefined) pieces.push(isObject(piece) ? { ...piece } : piece)
    else grow(known, piece as Piece)
  }
  return pieces
}

// Servers that do not number the pieces of a list stream one after the other, and end each with a signature.
function isSame (known: Piece, piece: Piece): boolean {
  if (known['type'] !== piece['type'] || known['index'] !== piece['index']) return false
  return piece['index'] !== undefined || (!known['signature'] && piece['data'] === undefined)
}

function grow (known: Piece, piece: Piece): void {
  for (const [name, value] of Object.entries(piece)) {
    const before = known[name]
    if (typeof before === 'string' && typeof value === 'string' && GROWING.has(name)) known[name] = before + value
    else if (value !== null && value !== '') known[name] = value
  }
}

const KeptSchema = Type.Object({
  /** The server and the model that it came from. */
  from: Type.String(),
  /** Of the tool calls in the same answer. */
  ids: Type.Array(Type.String(), { minItems: 1 }),
  /** Members of the message. */
  members: Type.Record(Type.String(), Type.Unknown())
})

/** The reasoning behind the tool calls of one answer. */
export type KeptReasoning = Static<typeof KeptSchema>

const schemas = compile({ kept: KeptSchema })

const FIELD = 'reasoning:'

const books = new WeakMap<Call, ReasoningBook>()

/** The reasoning of a call, which is kept as long as the call lives, and for the node that goes on with it. */
export function reasoningOf (call: Call): ReasoningBook {
  const known = books.get(call) ?? new ReasoningBook(handoverOf(call))
  books.set(call, known)
  return known
}

/** What models reasoned before they called tools, in one call. */
export class ReasoningBook {
  readonly #byId = new Map<string, KeptReasoning>()
  readonly #handover: Handover | undefined
  #characters = 0

  /** @param handover where it is kept for another node, and what one left */
  constructor (handover: Handover | undefined) {
    this.#handover = handover
    if (handover === undefined) return
    this.#inherit(handover.fields)
    handover.onReport(fields => this.#inherit(fields))
  }

  /** Is nothing kept? */
  get isEmpty (): boolean {
    return this.#byId.size === 0
  }

  /** The reasoning of the answer that had this tool call. */
  of (id: string): KeptReasoning | undefined {
    return this.#byId.get(id)
  }

  /** Keeps the reasoning of an answer. */
  keep (kept: KeptReasoning): void {
    const text = JSON.stringify(kept)
    this.#add(kept, text)
    this.#handover?.save({ [FIELD + kept.ids[0]!]: text })
  }

  #add (kept: KeptReasoning, text: string): void {
    for (const id of kept.ids) this.#byId.set(id, kept)
    this.#characters += text.length
    for (const [id, oldest] of this.#byId) {
      if (this.#characters <= MOST_OF_CALL) return
      this.#byId.delete(id)
      if (oldest.ids.at(-1) === id) this.#characters -= JSON.stringify(oldest).length
    }
  }

  // What this node knows by itself stays.
  #inherit (fields: Readonly<Record<string, string>>): void {
    for (const [name, text] of Object.entries(fields)) {
      if (!name.startsWith(FIELD)) continue
      const kept = read(text)
      if (kept !== undefined && !kept.ids.some(id => this.#byId.has(id))) this.#add(kept, text)
    }
  }
}

function read (text: string): KeptReasoning | undefined {
  try {
    const kept: unknown = JSON.parse(text)
    return schemas.kept.Check(kept) ? kept : undefined
  } catch {
    return undefined
  }
}
