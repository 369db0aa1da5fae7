/**
 * The types that all readers of marks share. A mark is text that is not speech, or the beginning of such text.
 */
import type { UnspokenKind } from '../contract/actions.js'

/**
 * How many characters a mark may take until it is known to be one, in UTF-16 units. {@link Markup} may hold 100 of its own at the same
 * time, so that both together hold at most 128.
 */
export const LONGEST_MARK = 28

/** Text that is cut, from the end of its mark to the region's end. */
export interface Region {
  readonly kind: UnspokenKind
  /**
   * How much of the text that follows belongs to the region, and whether the region ends there. Where it does not end, what is not taken
   * is given again with more behind it.
   * @param isEnd nothing follows the text
   */
  read (text: string, isEnd: boolean): readonly [taken: number, isOver: boolean]
}

/** What was found where a mark may begin. */
export interface Mark {
  /** Its length in UTF-16 units. 0 where the region begins at once. */
  readonly length: number
  /** Undefined if the mark is only replaced by other text. */
  readonly kind?: UnspokenKind
  /** The text that is spoken in its place. */
  readonly words?: string
  /** The region that it opens. */
  readonly region?: Region
  /** Reads the text directly after the mark, before all other readers. */
  readonly next?: Reader
}

/** The result if more text is needed to decide. */
export const WAIT = 'wait'

/**
 * Looks for a mark at the beginning of `ahead`. Undefined: there is none. A reader must give the same answer for any longer `ahead`.
 * @param isEnd nothing follows `ahead` that could still decide
 * @param said the last two characters that were said, or more
 */
export type Reader = (ahead: string, isEnd: boolean, said: string) => Mark | typeof WAIT | undefined

/** True if more text may complete one of these. */
export function isBeginning (text: string, marks: readonly string[]): boolean {
  return marks.some(mark => mark.length > text.length && mark.startsWith(text))
}

/**
 * A region that ends with the first match.
 * @param longest no match is longer, what it looks ahead to included
 */
export function until (kind: UnspokenKind, end: RegExp, longest: number = LONGEST_MARK): Region {
  return {
    kind,
    read (text, isEnd) {
      const found = end.exec(text)
      if (found !== null) return [found.index + found[0].length, true]
      return [isEnd ? text.length : Math.max(0, text.length - longest), false]
    }
  }
}
