/**
 * Retell repeats the whole call in every frame, with a timing for each of its words: four bytes in five, which nobody
 * here reads, and the most expensive ones to parse.
 */
import { endOfList } from '../../contract/json-lists.js'

const KEY = '"words":'

/**
 * The text of a frame with each list of words emptied. What is in a list is not checked: it may be no JSON. In a string the key cannot be
 * found, as quotes there are escaped.
 */
export function withoutWordTimings (text: string): string {
  let lean = ''
  let from = 0
  for (let open = findWords(text, 0); open !== -1;) {
    const next = text.indexOf('[', open + 1)
    const first = text.indexOf(']', open)
    // Otherwise the bracket may stand in a word, or end a list inside the list.
    const close = (next === -1 || next > first) && isLastTiming(text, first) ? first : endOfList(text, open)
    if (close === -1) break
    lean += text.slice(from, open + 1)
    from = close
    open = next > close && isWords(text, next) ? next : findWords(text, close)
  }
  return from === 0 ? text : lean + text.slice(from)
}

/** Where the next list of words begins; -1 where there is none. */
function findWords (text: string, from: number): number {
  for (let at = text.indexOf(KEY, from); at !== -1; at = text.indexOf(KEY, at + KEY.length)) {
    const behind = at + KEY.length
    const open = text.charCodeAt(behind) === SPACE ? behind + 1 : behind // as Python writes it
    if (isWords(text, open)) return open
  }
  return -1
}

function isWords (text: string, open: number): boolean {
  const behind = text.charCodeAt(open - 1) === SPACE ? open - 1 : open
  // A key may end in `"words`.
  const at = behind - KEY.length
  return text.charCodeAt(open) === OPEN && text.startsWith(KEY, at) && text.charCodeAt(at - 1) !== BACKSLASH
}

/**
 * Does a bracket stand behind `d":0.75}`, as that of a list of timings does? A quote right behind a letter ends a string, so that
 * the bracket is in none.
 */
function isLastTiming (text: string, close: number): boolean {
  if (text.charCodeAt(close - 1) !== BRACE) return false
  let at = close - 2
  while (isOfNumber(text.charCodeAt(at))) at--
  if (text.charCodeAt(at) === SPACE) at--
  return text.charCodeAt(at) === COLON && text.charCodeAt(at - 1) === QUOTE && isLetter(text.charCodeAt(at - 2))
}

function isOfNumber (unit: number): boolean {
  return (unit >= 48 && unit <= 57) || unit === 46
}

function isLetter (unit: number): boolean {
  return unit >= 97 && unit <= 122
}

const SPACE = 32
const QUOTE = 34
const COLON = 58
const OPEN = 91
const BACKSLASH = 92
const BRACE = 125
