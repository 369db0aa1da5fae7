/**
 * Removes text that is not speech from streamed text: reasoning, tool calls, control tokens, source marks, LaTeX delimiters and HTML.
 *
 *     text ── a mark ──▶ text, without the mark
 *          ── a mark that opens a region ──▶ region ── its end ──▶ text
 *          ── a mark with a head (`<|im_start|>`) ──▶ head ──▶ text or region
 *
 * Only what may be the beginning of a mark is held. A region is cut as it comes, to its end or to the end of the answer.
 */
import type { UnspokenKind } from '../contract/actions.js'
import { readBracketToken, readSource } from './bracket-marks.js'
import { readControlToken } from './control-tokens.js'
import { readEntity } from './entities.js'
import { readLostCall, readLostChannel } from './harmony.js'
import { readDelimiter } from './latex.js'
import { LONGEST_MARK, WAIT, type Mark, type Reader, type Region } from './mark.js'
import { openReasoning, readTag } from './tags.js'
import { LONGEST_CALL, readCallAtStart, readNamedJson, toolNames, type ToolNames } from './tool-call-text.js'

/** Facts about a model's answers. */
export interface NonSpeechOptions {
  /** The names of the tools that the model was given. A call of one that it writes as text, such as `find(day="Friday")`, is cut. */
  readonly tools?: readonly string[]
  /** True if the answer begins inside the model's reasoning, without a mark: all text up to a `</think>` is cut. Default false. */
  readonly startsInReasoning?: boolean
}

/** The text that was cut, in figures. */
export interface Cut {
  /** In UTF-16 units. */
  readonly characters: number
  /** Its kinds, each once, in order of appearance. */
  readonly kinds: readonly UnspokenKind[]
}

/** Text without a match is speech. */
const MARK = /[<&\\$[{【◁=\ue200]/
/** The same where the model has tools. */
const MARK_OR_CALL = /[<&\\$[{(【◁=\ue200]/
/** The same in an answer that names its sources: their marks take the blank ahead of them along. */
const MARK_OR_BLANK = /[<&\\$[{【◁=\ue200]| (?=$|[[【\ue200])/

/** A whole surrogate pair is left out, since half of one tells nothing. */
const FIRST_LETTER = /^(?![\u{10000}-\u{10ffff}])[\p{L}\p{N}]/u

const READERS: Readonly<Record<string, readonly Reader[]>> = {
  '<': [readControlToken, readTag],
  '&': [readEntity],
  '\\': [readDelimiter],
  $: [readDelimiter],
  '[': [readBracketToken, readSource],
  '{': [readNamedJson],
  '【': [readSource],
  '\ue200': [readSource],
  ' ': [readSource],
  '◁': [readBracketToken],
  '=': [readLostCall]
}

/** How much text of calls is kept, in UTF-16 units. */
const MOST_KEPT = 65_536

/** One text, in any pieces. */
export class NonSpeech {
  readonly #names: ToolNames | undefined
  readonly #mark: RegExp
  readonly #startReaders: readonly Reader[]
  readonly #kinds = new Set<UnspokenKind>()
  readonly #calls: string[] = []
  #kept = 0
  #characters = 0
  #held = ''
  /** The end of the output: its last two characters matter. */
  #said = ''
  #region: Region | undefined
  /** Reads the head that a mark announced. */
  #next: Reader | undefined
  /** True if only blanks were output since the beginning, or since a message's mark. */
  #isStart = true
  /** True if text was cut since the last words. */
  #isAfterCut = false
  /** True if the cut text separates two words. */
  #isParted = false
  #namesSources = false
  /** True if text without marks needs no work. */
  #isPlain = false
  #words = ''

  constructor ({ tools = [], startsInReasoning = false }: NonSpeechOptions = {}) {
    this.#names = toolNames(tools)
    this.#mark = this.#names === undefined ? MARK : MARK_OR_CALL
    this.#startReaders = [readLostChannel, readCallAtStart, ...(this.#names === undefined ? [] : [this.#names.readList])]
    if (startsInReasoning) this.#region = openReasoning()
  }

  get cut (): Cut {
    return { characters: this.#characters, kinds: [...this.#kinds] }
  }

  /** The text of each tool call that was cut. */
  get calls (): readonly string[] {
    return this.#calls
  }

  push (text: string): string {
    if (this.#isPlain && !this.#mark.test(text) && (this.#names === undefined || !this.#names.mayEnd(text))) {
      this.#remember(text)
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
    this.#words = ''
    let at = 0
    while (at < this.#held.length) {
      const taken = this.#step(this.#held.slice(at), isEnd)
      if (taken === WAIT) break
      at += taken
    }
    this.#held = this.#held.slice(at)
    this.#isPlain = this.#held === '' && this.#region === undefined && this.#next === undefined &&
      !this.#isStart && !this.#isAfterCut && !this.#namesSources
    return this.#words
  }

  #step (text: string, isEnd: boolean): number | typeof WAIT {
    if (this.#region !== undefined) return this.#skip(this.#region, text, isEnd)
    const begin = this.#next === undefined ? this.#find(text) : 0
    if (begin > 0) return this.#say(text.slice(0, begin))
    const mark = this.#readMark(text, isEnd)
    if (mark === WAIT) return WAIT
    this.#next = mark?.next
    return mark === undefined ? this.#say(text[0]!) : this.#take(mark, text)
  }

  /** Where a mark may begin. */
  #find (text: string): number {
    if (this.#isStart) return /^\s*/.exec(text)![0].length
    const places = [text.search(this.#namesSources ? MARK_OR_BLANK : MARK), this.#names?.find(text, this.#said) ?? -1]
    return Math.min(...places.map(place => place === -1 ? text.length : place))
  }

  #readMark (text: string, isEnd: boolean): Mark | typeof WAIT | undefined {
    const ahead = text.slice(0, LONGEST_MARK)
    const isWhole = isEnd || ahead.length === LONGEST_MARK
    const readers = [this.#next, ...(this.#isStart ? this.#startReaders : []), ...(READERS[text[0]!] ?? [])]
    for (const read of readers) {
      const mark = read?.(ahead, isWhole, this.#said)
      if (mark !== undefined) return mark
    }
    if (this.#names?.find(text, this.#said) !== 0) return undefined
    const call = text.slice(0, LONGEST_CALL)
    return this.#names.readCall(call, isEnd || call.length === LONGEST_CALL, this.#said)
  }

  #take ({ length, kind, words, region }: Mark, text: string): number {
    if (kind === undefined) {
      this.#say(words!)
      return length
    }
    if (kind === 'tool call' && this.#kept < MOST_KEPT) this.#calls.push('')
    this.#drop(kind, text.slice(0, length))
    this.#region = region
    this.#namesSources ||= kind === 'source mark'
    if (words === '\n' && !/(?:^|\n)$/.test(this.#said)) {
      this.#words += '\n'
      this.#remember('\n')
    }
    return length
  }

  #skip (region: Region, text: string, isEnd: boolean): number | typeof WAIT {
    const [taken, isOver] = region.read(text, isEnd)
    this.#drop(region.kind, text.slice(0, taken))
    if (isOver) this.#region = undefined
    return taken === 0 && !isOver ? WAIT : taken
  }

  #drop (kind: UnspokenKind, text: string): void {
    this.#characters += text.length
    this.#kinds.add(kind)
    this.#isAfterCut = true
    if (kind === 'reasoning' || kind === 'tool call') this.#isParted = true
    if (kind === 'reasoning' || kind === 'tool call' || kind === 'control token') this.#isStart = true
    if (kind !== 'tool call' || this.#kept >= MOST_KEPT) return
    this.#kept += text.length
    this.#calls.push(this.#calls.pop()! + text)
  }

  /** Returns how much was consumed, which may be more than the output. */
  #say (text: string): number {
    const words = this.#isAfterCut ? this.#join(text) : text
    if (words === '') return text.length
    this.#words += words
    this.#remember(words)
    if (this.#isStart && words.trim() !== '') this.#isStart = false
    return text.length
  }

  // The cut text had blanks on both sides, or on none.
  #join (text: string): string {
    const words = /(?:^|\n)$/.test(this.#said) ? text.trimStart() : /\s$/.test(this.#said) ? text.replace(/^[ \t]+/, '') : text
    if (words === '') return ''
    const isWord = this.#isParted && /[\p{L}\p{N}\p{P}]$/u.test(this.#said) && FIRST_LETTER.test(words)
    this.#isAfterCut = false
    this.#isParted = false
    return isWord ? ` ${words}` : words
  }

  #remember (words: string): void {
    this.#said = words.length > 1 ? words : (this.#said + words).slice(-2)
  }
}
