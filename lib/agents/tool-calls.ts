import type { ModelToolCall } from './tool-loop.js'

/** A piece of a tool call, as chat-completions servers stream it: nothing is promised of what is in it. */
export type ToolCallDelta = {
  index?: unknown
  id?: unknown
  type?: unknown
  function?: { name?: unknown, arguments?: unknown } | null
} | null

interface Growing { readonly index: unknown, id: string, name: string, arguments: string, extra: object }

/**
 * Puts the tool calls of one answer together: they may come at once or in pieces, the arguments cut anywhere, id and name
 * repeatedly, and several calls in turns.
 */
export class ToolCalls {
  readonly #calls: Growing[] = []

  add (deltas: readonly ToolCallDelta[]): void {
    if (!Array.isArray(deltas)) return
    for (const delta of deltas) {
      if (typeof delta !== 'object' || delta === null) continue
      const { index, id, type, function: called, ...extra } = delta
      const name = textOf(called?.name)
      // Some servers send an object, all of it at once.
      const args = isObject(called?.arguments) ? JSON.stringify(called.arguments) : textOf(called?.arguments)
      if (textOf(id) === '' && name === '' && args === '') continue
      const call = this.#find(index, textOf(id), name, args)
      Object.assign(call.extra, extra)
      call.id ||= textOf(id)
      call.name ||= name
      call.arguments += args
    }
  }

  /** @param isCutOff the answer ended before its end, so that no arguments may be missing arguments */
  complete (isCutOff: boolean): ModelToolCall[] {
    return this.#calls.map(({ id, name, arguments: args, extra }) => ({ id, name, arguments: isCutOff && args.trim() === '' ? '{' : args, extra }))
  }

  // Servers that give every call the same number, or none, tell them apart by their ids, or by nothing at all. Some give
  // each piece an id of its own.
  #find (index: unknown, id: string, name: string, args: string): Growing {
    const sameId = id === '' ? undefined : this.#calls.find(call => call.id === id && call.index === index)
    if (sameId !== undefined) return sameId
    const last = this.#calls.findLast(call => call.index === index)
    if (last !== undefined && (name === '' || !isAnother(last, id, name, args))) return last
    const call = { index, id, name: '', arguments: '', extra: {} }
    this.#calls.push(call)
    return call
  }
}

/** Does a piece with a name begin another call? Some servers repeat it in each piece. */
function isAnother (last: Growing, id: string, name: string, args: string): boolean {
  if (last.name === '') return false
  if (last.name !== name) return true
  return id !== '' && last.id !== '' ? last.arguments === '' || isComplete(last.arguments) : args !== '' && isComplete(last.arguments)
}

function textOf (value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function isObject (value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function isComplete (args: string): boolean {
  try {
    return isObject(JSON.parse(args))
  } catch {
    return false
  }
}
