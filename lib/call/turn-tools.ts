/**
 * The tools that were called in one turn: which of them run, and how long each took.
 */
import type { ToolCallAction, ToolResultAction } from '../contract/agent.js'
import type { ToolReport } from '../telemetry/report.js'

export class TurnTools {
  /** In the order of their calls, for the turn's report. */
  readonly reports: Array<{ -readonly [Member in keyof ToolReport]: ToolReport[Member] }> = []
  /** Ids of those that have not returned. */
  readonly #running = new Set<string>()

  /** Has one of them not returned? */
  get isRunning (): boolean {
    return this.#running.size > 0
  }

  /** @param startMs since the turn was asked for */
  called ({ id, name }: ToolCallAction, startMs: number): void {
    this.#running.add(id)
    this.reports.push({ id, name, startMs, durationMs: undefined, successful: undefined })
  }

  /**
   * @param endMs since the turn was asked for
   * @returns whether it was running
   */
  returned ({ id, successful }: ToolResultAction, endMs: number): boolean {
    if (!this.#running.delete(id)) return false
    const report = this.reports.find(report => report.id === id)!
    report.durationMs = endMs - report.startMs
    report.successful = successful
    return true
  }
}
