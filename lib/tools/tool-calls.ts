import { GrowingJson } from './growing-json.js'
import { meantObjects } from './meant-arguments.js'
import type { ModelToolCall } from './tool-loop.js'

/**
 * A tool's name without the decoration of servers and models: channel marks (`find<|channel|>commentary`), blanks, a namespace
 * (`functions.find`) and a number (`find:0`). None of that can be part of a tool's name.
 */
export function undecorated (name: string): string {
  const [plain] = name.trim().split('<|')
  return /(?:^|[.:/\s])([\w-]+)(?::\d+)?$/.exec(plain!.trim())?.[1] ?? name
}

/** An untrusted piece of a tool call, as chat-completions servers stream it. */
export type ToolCallDelta = {
  index?: unknown
  id?: unknown
  type?: unknown
  function?: { name?: unknown, arguments?: unknown } | null
} | null

interface Growing { id: string, name: string, readonly arguments: GrowingJson, readonly extra: object }

/** The calls with one index. By map, since an answer may have thousands. */
interface Lane { last: Growing, readonly byId: Map<string, Growing> }

/**
 * Assembles the tool calls of one answer. They may arrive whole or in pieces: arguments split anywhere, id and name repeated, several
 * calls interleaved.
 */
export class ToolCalls {
  readonly #calls: Growing[] = []
  readonly #lanes = new Map<unknown, Lane>()

  /**
   * Adds pieces of calls. Some servers send an empty list with each word, and some a single piece without a list.
   * @returns true if a piece belongs to a call that has a name
   */
  add (deltas: readonly ToolCallDelta[] | ToolCallDelta | undefined): boolean {
    let isCalling = false
    for (const delta of Array.isArray(deltas) ? deltas as readonly ToolCallDelta[] : [deltas as ToolCallDelta]) {
      if (typeof delta !== 'object' || delta === null) continue
      const { index, id, type, function: called, ...extra } = delta
      const name = textOf(called?.name)
      // Some servers send the arguments as an object.
      const isParsed = isObject(called?.arguments)
      const args = isParsed ? JSON.stringify(called!.arguments) : textOf(called?.arguments)
      if (textOf(id) === '' && name === '' && args === '') continue
      const call = this.#find(index, textOf(id), name, args)
      Object.assign(call.extra, extra)
      this.#identify(call, index, textOf(id))
      call.name ||= name
      call.arguments.add(args)
      isCalling ||= call.name !== ''
    }
    return isCalling
  }

  /**
   * The calls that have a name, with an object as arguments if one is found. Two objects in the arguments of one call are two calls, since
   * some servers join calls of one tool.
   * @param isCutOff true if the answer is truncated: then empty arguments are incomplete, and not `{}`
   */
  complete (isCutOff: boolean): ModelToolCall[] {
    return this.#calls.filter(({ name }) => name !== '').flatMap(({ id, name, arguments: args, extra }) => {
      if (isCutOff && args.text.trim() === '') return { id, name, arguments: '{', extra }
      const [first = args.text, ...others] = meantObjects(args)
      return [{ id, name, arguments: first, extra }, ...others.map(other => ({ id: '', name, arguments: other, extra: {} }))]
    })
  }

  // Some servers give every call the same index, or none: then only ids distinguish calls, or nothing does. Others give each piece a new
  // id.
  #find (index: unknown, id: string, name: string, args: string): Growing {
    const lane = this.#lanes.get(index)
    const sameId = lane?.byId.get(id)
    if (sameId !== undefined) return sameId
    if (lane !== undefined && (name === '' || !isAnother(lane.last, id, name, args))) return lane.last
    const call = { id: '', name: '', arguments: new GrowingJson(), extra: {} }
    this.#calls.push(call)
    if (lane === undefined) this.#lanes.set(index, { last: call, byId: new Map() })
    else lane.last = call
    return call
  }

  // The first id is the call's id.
  #identify (call: Growing, index: unknown, id: string): void {
    if (id === '' || call.id !== '') return
    call.id = id
    this.#lanes.get(index)!.byId.set(id, call)
  }
}

/** True if a piece with a name begins another call. Some servers repeat the name in each piece. */
function isAnother (last: Growing, id: string, name: string, args: string): boolean {
  if (last.name === '') return false
  if (last.name !== name) return true
  // Some gateways send an empty object ahead of Gemini's arguments.
  if (id === '' && last.arguments.text.trim() === '{}') return false
  return id !== '' && last.id !== '' ? last.arguments.text === '' || last.arguments.isComplete : args !== '' && last.arguments.isComplete
}

function textOf (value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function isObject (value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
