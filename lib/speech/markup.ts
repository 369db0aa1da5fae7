/**
 * Removes markdown and web addresses from streamed text.
 */
import { Asterisks } from './asterisks.js'

/** The most text that is held until the following text decides, in UTF-16 units: room for a link's title. */
const LONGEST_HELD = 100

/** A link's text, which is late until it is known to be one, in UTF-16 units: some eight tokens. */
const LONGEST_LABEL = 40

/** Without a blank in it, this much between `](` and `)` is an address and no remark. */
const ADDRESS_LENGTH = 8

/** How many characters of what is ahead are done with, and what is said in their place. None: it depends on what follows. */
type Step = readonly [taken: number, words: string]
const WAIT: Step = [0, '']

/** A line without a match needs no work. */
const MARKUP = /[*_~`[|<\n]|(?:^|\s)!|(?:^|[^a-z0-9])(?:h(?:$|t(?:$|t(?:$|p)))|w(?:$|w(?:$|w)))/i
/** One character, whatever it is, and those after it that are surely text. */
const TEXT = /^[^][^*_~`![|<\nhw:-]*/i

const FENCE = '(?:`{3,}|~{3,})'
// A rule, a fence with its language, a heading, a quote, a bullet. "- - " is no bullet: it is how Retell is told to pause;
// nor is "+ 49", a number of the phone. "# ends the call" is the key: what heads a text has a capital, if its script has them.
const BLOCK = new RegExp(`^(?:([-*_=])\\1{2,}|${FENCE}(?:[^\\s\`~]{0,20}(?=\\n))?|(?:#(?! \\p{Ll})|#{2,6}|\\+(?! \\d)|[>*•◦‣]|-(?! -(?: |$)))(?: |(?=\\n|$))|>(?=>))`, 'u')
const UNFINISHED_BLOCK = new RegExp(`^(?:([-*_=])\\1*|- -?|\`+|~+|${FENCE}[^\\s\`~]{0,20}|#{1,6}|# |\\+ |[>+•◦‣])$`, 'u')

const ADDRESS = /^(?:<?https?:\/\/(?:www\.)*|(?:www\.)+)(?=[a-z0-9\u00c0-\u024f])/i
const UNFINISHED_ADDRESS = /^(?:<?(?:h|ht|htt|https?|https?:\/?|https?:\/\/(?:www\.)*w{0,3})?|(?:www\.)*w{0,3})$/i
const HOST = /^[a-z0-9\u00c0-\u024f.-]+/i
// Chinese and Thai go on behind an address without a blank.
const PATH = /^[a-z0-9\u00c0-\u024f/#@$&+=%_~-]+/i
/** Ends the sentence, unless the address goes on after it. */
const PUNCTUATION = /^[.,;:!?']+/
const TITLE = /^ +"[^"\n]*"(?=\))/
const UNFINISHED_TITLE = /^ +(?:"[^"\n]*"?)?$/

/** One text, in any pieces. Gets no control characters except newlines. */
export class Markup {
  readonly #asterisks = new Asterisks()
  #held = ''
  /** The end of the output: its last character matters. */
  #said = ''
  /** True if only blanks were output in this line. */
  #isLineStart = true
  /** True in a line of a table. */
  #isRow = false
  /** What an address is at: its name, which is said, or what follows, which is not. */
  #place: 'text' | 'host' | 'path' | 'link' = 'text'
  /** Brackets that are open in an address. */
  #depth = 0

  push (text: string): string {
    if (this.#held === '' && !this.#isLineStart && !this.#isRow && this.#place === 'text' && !MARKUP.test(text)) {
      if (text !== '') this.#said = text
      return text
    }
    this.#held += text
    return this.#read(false)
  }

  /** Returns the held text, as if the text ended here. */
  end (): string {
    return this.#read(true)
  }

  #read (isEnd: boolean): string {
    let words = ''
    let at = 0
    while (at < this.#held.length) {
      const ahead = this.#held.slice(at, at + LONGEST_HELD)
      const [taken, said] = this.#step(ahead, isEnd || ahead.length === LONGEST_HELD)
      if (taken === 0) break
      at += taken
      if (said === '') continue
      words += said
      this.#said = said
      if (said.trim() !== '') this.#isLineStart = false
    }
    this.#held = this.#held.slice(at)
    return words
  }

  #step (ahead: string, isEnd: boolean): Step {
    return this.#readAddress(ahead, isEnd) ?? this.#readBlock(ahead, isEnd) ?? this.#readInline(ahead, isEnd)
  }

  #readBlock (ahead: string, isEnd: boolean): Step | undefined {
    if (!this.#isLineStart || this.#isRow) return undefined
    const [blanks] = /^ +/.exec(ahead) ?? []
    if (blanks !== undefined) return [blanks.length, blanks]
    if (!isEnd && UNFINISHED_BLOCK.test(ahead)) return WAIT
    const [block] = BLOCK.exec(ahead) ?? []
    return block === undefined ? undefined : [block.length, '']
  }

  #readInline (ahead: string, isEnd: boolean): Step {
    switch (ahead[0]!.toLowerCase()) {
      case '\n':
        this.#isLineStart = true
        this.#isRow = false
        this.#asterisks.endLine()
        return [1, '\n']
      case '*': case '_': case '~': case '`':
        return this.#readMarks(ahead, isEnd)
      case '!':
        // Not behind a word, where it ends a sentence and must not be late.
        if (ahead === '!' && isBlank(this.#said) && !isEnd) return WAIT
        return ahead[1] === '[' && isBlank(this.#said) ? this.#readLink(ahead, 1, isEnd) : text(ahead)
      case '[':
        return this.#readLink(ahead, 0, isEnd)
      case '<': case 'h': case 'w':
        return this.#openAddress(ahead, isEnd)
      case '|':
        return this.#readCell(ahead, isEnd)
      case '-': case ':':
        return this.#readColumn(ahead, isEnd)
      default:
        return text(ahead)
    }
  }

  #readMarks (ahead: string, isEnd: boolean): Step {
    const [run] = /^[*_~`]+/.exec(ahead)!
    const rest = ahead.slice(run.length)
    if (rest === '' && !isEnd) return WAIT
    // `*` is how a key is written.
    const [, quoted] = /`([*_~]+)`/.exec(run) ?? []
    if (quoted !== undefined) return [run.length, quoted]
    const before = this.#said.at(-1) ?? ''
    const after = rest[0] ?? ''
    const count = (mark: string): number => run.split(mark).length - 1
    const both = (pattern: RegExp): boolean => pattern.test(before) && pattern.test(after)
    const areAlone = both(/^\s?$/)
    const asterisks = count('*') > 0 && this.#asterisks.areText(count('*'), before, rest, isEnd)
    if (asterisks === undefined) return WAIT
    const stays: Record<string, boolean> = {
      '*': asterisks,
      // a_b, a__b, a_@example.com
      _: run.includes('_') && (areAlone || both(/[\p{L}\p{N}]/u) || (after === '@' && !isBlank(before))),
      // ~5, 10~~12
      '~': areAlone || count('~') === 1 || both(/\d/)
    }
    return [run.length, run.replace(/./g, mark => stays[mark] ? mark : '')]
  }

  #readLink (ahead: string, open: number, isEnd: boolean): Step {
    const plain: Step = [open + 1, ahead.slice(0, open + 1)]
    const close = closing(ahead, open)
    if (close === -1) return plain
    const [seen = ']', address = '', next = ''] = /^\]\(([^\s()]*)(.?)/s.exec(ahead.slice(close)) ?? []
    if (address.length >= ADDRESS_LENGTH || next === '(' || next === ')') {
      this.#place = 'link'
      this.#depth = 0
      return [close + 2, this.#readLabel(ahead.slice(open + 1, close))]
    }
    return !isEnd && next === '' && close + seen.length >= ahead.length ? WAIT : plain
  }

  #readLabel (label: string): string {
    const inner = new Markup()
    inner.#isLineStart = false
    return inner.push(label) + inner.end()
  }

  #openAddress (ahead: string, isEnd: boolean): Step {
    if (/[a-z0-9]$/i.test(this.#said) && ahead[0] !== '<') return text(ahead)
    if (!isEnd && UNFINISHED_ADDRESS.test(ahead)) return WAIT
    const [scheme] = ADDRESS.exec(ahead) ?? []
    if (scheme === undefined) return text(ahead)
    this.#place = 'host'
    this.#depth = 0
    return [scheme.length, '']
  }

  #readAddress (ahead: string, isEnd: boolean): Step | undefined {
    if (this.#place === 'host') {
      const [host] = HOST.exec(ahead) ?? []
      if (host !== undefined) return [host.length, host]
      this.#place = /^[/?#:@]/.test(ahead) ? 'path' : 'text'
      if (ahead[0] === '>') return [1, '']
    }
    if (this.#place === 'text') return undefined
    if (ahead[0] === '(' || (ahead[0] === ')' && this.#depth > 0)) {
      this.#depth += ahead[0] === '(' ? 1 : -1
      return [1, '']
    }
    return this.#place === 'path' ? this.#readPath(ahead, isEnd) : this.#readDestination(ahead, isEnd)
  }

  #readPath (ahead: string, isEnd: boolean): Step | undefined {
    const [path] = PATH.exec(ahead) ?? []
    if (path !== undefined) return [path.length, '']
    const [punctuation = ''] = PUNCTUATION.exec(ahead) ?? []
    const after = ahead[punctuation.length] ?? ''
    if (after === '' && !isEnd) return WAIT
    const goesOn = PATH.test(after) || after === '(' || (after === ')' && this.#depth > 0)
    if (goesOn) return [punctuation.length, '']
    this.#place = 'text'
    if (punctuation !== '') return [punctuation.length, punctuation]
    return after === '>' ? [1, ''] : undefined
  }

  #readDestination (ahead: string, isEnd: boolean): Step | undefined {
    const [address] = /^[^\s()]+/.exec(ahead) ?? []
    if (address !== undefined) return [address.length, '']
    const [title] = TITLE.exec(ahead) ?? []
    if (title !== undefined) return [title.length, '']
    if (!isEnd && UNFINISHED_TITLE.test(ahead)) return WAIT
    this.#place = 'text'
    return ahead[0] === ')' ? [1, ''] : undefined
  }

  #readCell (ahead: string, isEnd: boolean): Step {
    if (!this.#isRow && !this.#isLineStart) return text(ahead)
    const [border] = /^\| */.exec(ahead)!
    if (border.length === ahead.length && !isEnd) return WAIT
    this.#isRow = true
    return [border.length, isBlank(this.#said) ? '' : ' ']
  }

  // |:---|---:| is the alignment row of a table.
  #readColumn (ahead: string, isEnd: boolean): Step {
    if (!this.#isRow || !isBlank(this.#said)) return text(ahead)
    const [run] = /^[:-]+/.exec(ahead)!
    if (run.length === ahead.length && !isEnd) return WAIT
    return [run.length, /--|:-|-:/.test(run) ? '' : run]
  }
}

function text (ahead: string): Step {
  const [words] = TEXT.exec(ahead)!
  return [words.length, words]
}

function isBlank (said: string): boolean {
  return /(?:^|\s)$/.test(said)
}

/** Where the bracket that is opened there is closed: `length` where that is not to be seen yet, -1 where it is not in a link. */
function closing (ahead: string, open: number): number {
  const end = open + LONGEST_LABEL + 2
  let depth = 0
  for (let at = open; at < Math.min(ahead.length, end); at++) {
    const unit = ahead[at]
    if (unit === '\n') return -1
    // In a link's text there may be an image, and nothing in that.
    if (unit === '[' && ++depth > 2) return -1
    if (unit === ']' && --depth === 0) return at
  }
  return ahead.length < end ? ahead.length : -1
}
