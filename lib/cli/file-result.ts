import type { ScenarioResult } from '../testing/index.js'

/** A result, and the file of its scenario. */
export interface FileResult extends ScenarioResult {
  readonly file: string
}
