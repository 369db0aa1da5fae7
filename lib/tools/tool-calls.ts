import { GrowingJson } from './growing-json.js'
import { meantObjects } from './meant-arguments.js'
import type { ModelToolCall } from './tool-loop.js'

/**
 * The name of a tool without what servers and models write around it: marks of a channel (`find<|channel|>commentary`), blanks, a
 * namespace (`functions.find`) and a number (`find:0`). None of that can be part of a tool's name.
 */
export function undecorated (name: string): string {
  const [plain] = name.trim().split('<|')
  return /(?:^|[.:/\s])([\w-]+)(?::\d+)?$/.exec(plain!.trim())?.[1] ?? name
}

/** A piece of a tool call, as chat-completions servers stream it: nothing is promised of what is in it. */
export type ToolCallDelta = {
  index?: unknown
  id?: unknown
  type?: unknown
  function?: { name?: unknown, arguments?: unknown } | null
} | null

interface Growing { id: string, name: string, readonly arguments: GrowingJson, readonly extra: object }

/** The calls of one number. An answer may have thousands, which are not searched one by one. */
interface Lane { last: Growing, readonly byId: Map<string, Growing> }

/**
 * Puts the tool calls of one answer together: they may come at once or in pieces, the arguments cut anywhere, id and name
 * repeatedly, and several calls in turns.
 */
export class ToolCalls {
  readonly #calls: Growing[] = []
  readonly #lanes = new Map<unknown, Lane>()

  /**
   * Adds pieces of calls. Some servers send an empty list with each word, and some a single piece without a list.
   * @returns whether a piece of a call that has a name is among them
   */
  add (deltas: readonly ToolCallDelta[] | ToolCallDelta | undefined): boolean {
    let isCalling = false
    for (const delta of Array.isArray(deltas) ? deltas as readonly ToolCallDelta[] : [deltas as ToolCallDelta]) {
      if (typeof delta !== 'object' || delta === null) continue
      const { index, id, type, function: called, ...extra } = delta
      const name = textOf(called?.name)
      // Some servers send an object.
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
   * The calls that have a name, with arguments that are an object where one can be made out. Two objects in the arguments of one call
   * are two calls: some servers join calls of one tool.
   * @param isCutOff the answer ended before its end, so that no arguments may be missing arguments
   */
  complete (isCutOff: boolean): ModelToolCall[] {
    return this.#calls.filter(({ name }) => name !== '').flatMap(({ id, name, arguments: args, extra }) => {
      if (isCutOff && args.text.trim() === '') return { id, name, arguments: '{', extra }
      const [first = args.text, ...others] = meantObjects(args)
      return [{ id, name, arguments: first, extra }, ...others.map(other => ({ id: '', name, arguments: other, extra: {} }))]
    })
  }

  // Servers that give every call the same number, or none, tell them apart by their ids, or by nothing at all. Some give
  // each piece an id of its own.
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

  // The first id is the call's own.
  #identify (call: Growing, index: unknown, id: string): void {
    if (id === '' || call.id !== '') return
    call.id = id
    this.#lanes.get(index)!.byId.set(id, call)
  }
}

/** Does a piece with a name begin another call? Some servers repeat it in each piece. */
function isAnother (last: Growing, id: string, name: string, args: string): boolean {
  if (last.name === '') return false
  if (last.name !== name) return true
  // Gemini's arguments come behind an empty object through some gateways.
  if (id === '' && last.arguments.text.trim() === '{}') return false
  return id !== '' && last.id !== '' ? last.arguments.text === '' || last.arguments.isComplete : args !== '' && last.arguments.isComplete
}

function textOf (value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function isObject (value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
