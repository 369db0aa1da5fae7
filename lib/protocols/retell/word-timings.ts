/**
 * Retell repeats the whole call in every frame, with a timing for each of its words: four bytes in five, which nobody
 * here reads, and the most expensive ones to parse.
 */
const KEY = '"words":'
const SPACE = 32

/**
 * The text of a frame with each list of words emptied. A list is taken to end with the first `]`. Where that stood inside a
 * word, or ended a list inside the list, what is left has an odd number of quotes or a bracket too many, and is no JSON;
 * whoever parses it then has to parse the whole. In a string the key cannot be found, as quotes there are escaped.
 */
export function withoutWordTimings (text: string): string {
  let lean = ''
  let from = 0
  for (let at = text.indexOf(KEY); at !== -1; at = text.indexOf(KEY, Math.max(at + KEY.length, from))) {
    const behind = at + KEY.length
    const open = text.charCodeAt(behind) === SPACE ? behind + 1 : behind // as Python writes it
    // A key may end in `"words`.
    if (text[open] !== '[' || text[at - 1] === '\\') continue
    const close = text.indexOf(']', open)
    if (close === -1) break
    lean += text.slice(from, open + 1)
    from = close
  }
  return from === 0 ? text : lean + text.slice(from)
}
