import { randomUUID } from 'node:crypto'
import type { ToolCallAction, ToolResultAction } from '../contract/agent.js'
import type { Spoken, ToolRecord } from './spoken.js'

/** A turn's, while it is live. */
interface OpenSpoken extends Spoken {
  text: string
  readonly tools: ToolRecord[]
}

/** What a call said and did, turn by turn: what its provider reports of it is less. Lives as long as the call. */
export class ToolBook {
  /** All turns that are over and said or did something, in order. */
  readonly spoken: Spoken[] = []
  #records: Map<string, ToolRecord> | undefined

  /** What was said and done on other nodes comes before all that is in here. */
  inherit (spoken: readonly Spoken[]): void {
    this.#records ??= new Map()
    const known = this.#records
    // Some models number their calls: what was called here by now may have the id of another.
    const named = (tool: ToolRecord): ToolRecord => known.has(tool.id) ? { ...tool, id: randomUUID() } : tool
    const turns = spoken.map(turn => ({ ...turn, tools: turn.tools.map(named) }))
    this.spoken.unshift(...turns)
    for (const { tools } of turns) for (const tool of tools) known.set(tool.id, tool)
  }

  /** A turn is over. */
  add (turn: OpenSpoken): void {
    if (turn.text === '' && turn.tools.length === 0) return
    // A text that was put together from tokens holds them all, and what the tokens were cut out of. A copy holds itself.
    const { text, inPassing, tools, place } = turn
    this.spoken.push({ text: JSON.parse(JSON.stringify(text)) as string, inPassing, tools, place })
  }

  /** Something was said outside of turns. */
  said (text: string): void {
    if (text !== '') this.spoken.push({ text, inPassing: [], tools: [] })
  }

  /** A turn calls a tool. @returns whether that is news */
  called ({ id, name, arguments: args, runsOnce = false, extra }: ToolCallAction, turn: OpenSpoken): boolean {
    this.#records ??= new Map()
    if (this.#records.has(id)) return false
    const record: ToolRecord = { id, name, arguments: args, at: turn.text.length, runsOnce, extra, result: undefined }
    this.#records.set(id, record)
    turn.tools.push(record)
    return true
  }

  /** A tool returned, be it long after its turn. @returns whether it is the first result of that call */
  returned ({ id, content }: Pick<ToolResultAction, 'id' | 'content'>): boolean {
    const record = this.#records?.get(id)
    // Of a call that nobody was told of there is nothing to tell.
    if (record === undefined) return false
    const isFirst = record.result === undefined
    record.result = content
    return isFirst
  }
}
