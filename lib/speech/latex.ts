/**
 * LaTeX delimiters: they are cut, and the formula between them is spoken.
 */
import { WAIT, type Reader } from './mark.js'

/** Reads `\(`, `\)`, `\[`, `\]` or `$$`. One `$` stands ahead of a price. */
export const readDelimiter: Reader = (ahead, isEnd) => {
  if (/^(?:\\[()[\]]|\$\$)/.test(ahead)) return { length: 2, kind: 'LaTeX' }
  return ahead.length === 1 && !isEnd ? WAIT : undefined
}
