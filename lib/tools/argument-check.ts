/**
 * Checks of what a model writes for a tool.
 */

/** Arguments that fit, as the tool gets them; or what is wrong with them, for the model, and what was thrown meanwhile, for the log. */
export type Checked = { readonly value: unknown } | { readonly error: string, readonly cause?: unknown }

/** Checks a JSON object. A promise never rejects. */
export type Check = (args: Record<string, unknown>) => Checked | Promise<Checked>

/** How many mismatches a model is told of at once. */
const MOST_TOLD = 5

/** The longest message about one mismatch, in characters: a library may quote what was written. */
const LONGEST_MESSAGE = 200

/** What is wrong with arguments, for the model: where it is, and what is expected there. The first mismatch of each place is told. */
export function misfits (found: Iterable<[path: string, message: string]>): string {
  const byPath = new Map<string, string>()
  for (const [path, message] of found) {
    if (!byPath.has(path) && byPath.set(path, String(message).slice(0, LONGEST_MESSAGE)).size === MOST_TOLD) break
  }
  return `the arguments do not fit: ${Array.from(byPath, ([path, message]) => `${path || '/'}: ${message}`).join('; ')}`
}
