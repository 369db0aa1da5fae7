/**
 * Suggests a known name for an unknown one.
 */

/** Mistakes of one letter each: a missing, an extra or a wrong letter, or two swapped neighbours. */
export const MOST_MISTAKES = 2

/**
 * The hint to append to an unknown name in an error, such as ` (did you mean "fallback"?)`; `''` if no known name differs by at most two
 * letters and less than half of the name. Case is ignored.
 */
export function suggestion (name: string, known: readonly string[]): string {
  let closest = ''
  let least = Math.min(MOST_MISTAKES + 1, name.length / 2)
  for (const candidate of known) {
    const mistakes = distance(name.toLowerCase(), candidate.toLowerCase())
    if (mistakes >= least) continue
    least = mistakes
    closest = candidate
  }
  return closest === '' ? '' : ` (did you mean "${closest}"?)`
}

// The Damerau-Levenshtein distance in its restricted form (optimal string alignment), by a table of the distances of all prefixes.
function distance (a: string, b: string): number {
  const table = [Array.from({ length: b.length + 1 }, (_, column) => column)]
  for (let row = 1; row <= a.length; row++) {
    const cells = table[row] = [row]
    for (let column = 1; column <= b.length; column++) {
      const isSame = a[row - 1] === b[column - 1]
      const isSwapped = row > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      cells.push(Math.min(
        cells[column - 1]! + 1,
        table[row - 1]![column]! + 1,
        table[row - 1]![column - 1]! + (isSame ? 0 : 1),
        isSwapped ? table[row - 2]![column - 2]! + 1 : Infinity
      ))
    }
  }
  return table[a.length]![b.length]!
}
