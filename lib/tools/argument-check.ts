/**
 * The types and error texts of checks of a tool's arguments.
 */

/** Valid arguments, as the tool gets them; or an error for the model, with the validator's exception, if any, for the log. */
export type Checked = { readonly value: unknown } | { readonly error: string, readonly cause?: unknown }

/** Checks a JSON object. A promise never rejects. */
export type Check = (args: Record<string, unknown>) => Checked | Promise<Checked>

/** The most mismatches in one message to a model. */
const MOST_TOLD = 5

/** The longest message about one mismatch, in characters: a library may quote the arguments. */
const LONGEST_MESSAGE = 200

/** The error for the model: for each place with a mismatch, the first message. */
export function misfits (found: Iterable<[path: string, message: string]>): string {
  const byPath = new Map<string, string>()
  for (const [path, message] of found) {
    if (!byPath.has(path) && byPath.set(path, String(message).slice(0, LONGEST_MESSAGE)).size === MOST_TOLD) break
  }
  return `the arguments do not fit: ${Array.from(byPath, ([path, message]) => `${path || '/'}: ${message}`).join('; ')}`
}
