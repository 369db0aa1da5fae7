import type { ModelToolCall } from './tool-loop.js'

/** A piece of a tool call, as chat-completions servers stream it: nothing is promised of what is in it. */
export type ToolCallDelta = {
  index?: unknown
  id?: unknown
  type?: unknown
  function?: { name?: unknown, arguments?: unknown } | null
} | null

interface Growing { id: string, name: string, arguments: string, extra: object }

/**
 * Puts the tool calls of one answer together: id, name and arguments may come at once or in pieces, repeatedly, and
 * several calls in turns.
 */
export class ToolCalls {
  readonly #calls: Growing[] = []
  /** The call that a server's number stands for, by now. */
  readonly #byIndex = new Map<unknown, Growing>()

  add (deltas: readonly ToolCallDelta[]): void {
    if (!Array.isArray(deltas)) return
    for (const delta of deltas) {
      if (typeof delta !== 'object' || delta === null) continue
      const { index, id, type, function: called, ...extra } = delta
      const call = this.#find(index, typeof id === 'string' ? id : '')
      Object.assign(call.extra, extra)
      if (typeof called?.name === 'string') call.name ||= called.name
      const args = called?.arguments
      // Some servers send an object, all of it at once.
      call.arguments += typeof args === 'string' ? args : args === undefined || args === null ? '' : JSON.stringify(args)
    }
  }

  /** @param isCutOff the answer ended before its end, so that no arguments may be missing arguments */
  complete (isCutOff: boolean): ModelToolCall[] {
    return this.#calls.map(call => isCutOff && call.arguments.trim() === '' ? { ...call, arguments: '{' } : call)
  }

  // Servers that give every call the same number, or none, tell them apart by their ids.
  #find (index: unknown, id: string): Growing {
    const known = this.#byIndex.get(index)
    if (known !== undefined && (id === '' || known.id === '' || known.id === id)) {
      known.id ||= id
      return known
    }
    const call = { id, name: '', arguments: '', extra: {} }
    this.#calls.push(call)
    this.#byIndex.set(index, call)
    return call
  }
}
