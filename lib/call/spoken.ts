/**
 * What a call said, what of it was said in passing (fillers and apologies, which a model that reads them in its own mouth
 * repeats), and which tools were called between the words.
 */

/** A tool call, on the record of its call. */
export interface ToolRecord {
  readonly id: string
  readonly name: string
  /** JSON. */
  readonly arguments: string
  /** How many characters of its turn had been said before. */
  readonly at: number
  /** Would calling it again wait for the same run? */
  readonly runsOnce: boolean
  /** Members that only the model knows, and wants to have back. */
  readonly extra?: object | undefined
  /** Undefined while the tool runs. */
  result: string | undefined
}

/** A place in a conversation: behind so many utterances that are not the agent's, and so many entries after the last of them. */
export interface Place {
  readonly utterances: number
  readonly more: number
}

/** All that was said in one turn, or in one go outside of turns. */
export interface Spoken {
  readonly text: string
  /** Stretches of {@link Spoken.text} that were said in passing, in order: `[from, to)`. */
  readonly inPassing: ReadonlyArray<readonly [from: number, to: number]>
  /** In the order in which they were called. */
  readonly tools: readonly ToolRecord[]
  /** What had been heard when it began; undefined outside of turns. */
  readonly place?: Place | undefined
}

/** Part of an utterance: words that were meant, or a tool that was called between them. */
export type Piece = string | ToolRecord

/** The same in letters alone, as providers write spaces and punctuation as they like. */
interface Letters {
  readonly letters: string
  /** Of its turn, in the order of the conversation. */
  readonly index: number
  /** How many utterances had been heard before: it is hardly in one that came earlier. */
  readonly after: number
  /** What was said in passing, and the tools, in order: each stands `at` a letter, and ends before another. */
  readonly marks: ReadonlyArray<{ readonly at: number, readonly end: number, readonly tool?: ToolRecord }>
}

/** Letters of a turn, from `from` up to `to`, that begin at letter `at` of an utterance. */
interface Stretch {
  readonly turn: Letters
  readonly from: number
  readonly to: number
  readonly at: number
}

const LETTER = /[\p{L}\p{N}]/gu

/** A letter with the punctuation behind it and the space behind that. */
const LETTER_AND_MORE = /([\p{L}\p{N}])([^\p{L}\p{N}\s]*\s*)/gu

/**
 * Finds what the agent's utterances were in the record of what it said. They are read in the order of the conversation.
 * An utterance is a turn, the beginning of one that was cut off, what follows on such a beginning, or several turns in
 * one; what is none of these, such as words of another server's, stays as it is.
 */
export class Alignment {
  /** Was nothing said in passing, and no tool called? Then every utterance is as it is. */
  readonly isPlain: boolean
  readonly #said: readonly Letters[]
  readonly #placed = new Set<ToolRecord>()
  /** Of which turn the utterance that was read last had something. */
  lastRead: number | undefined
  /** How many utterances of others stand before the one that is read. */
  #heard = Infinity
  /** Which turn can be found next. */
  #next = 0
  /** A turn of which the beginning was found. */
  #begun: { readonly turn: Letters, readonly letters: number, readonly heard: number } | undefined

  constructor (turns: readonly Spoken[]) {
    this.isPlain = turns.every(({ inPassing, tools }) => inPassing.length === 0 && tools.length === 0)
    this.#said = this.isPlain ? [] : turns.map(inLetters)
  }

  /** Was this tool's place in an utterance that was read? */
  isPlaced (tool: ToolRecord | undefined): boolean {
    return tool !== undefined && this.#placed.has(tool)
  }

  /** An utterance without what was said in passing, and with the tools that were called in it or right behind it. */
  read (utterance: string, heard = Infinity): Piece[] {
    if (this.isPlain) return [utterance]
    this.#heard = heard
    this.lastRead = undefined
    const { letters, ends, isWordEnd } = read(utterance)
    const pieces: Piece[] = []
    let kept = ''
    let from = 0
    for (const { turn, from: first, to: last, at } of this.#find(letters, isWordEnd)) {
      this.lastRead = turn.index
      const place = (mark: number): number => {
        const letter = at + Math.min(Math.max(mark, first), last) - first
        return letter === 0 ? 0 : ends[letter - 1]!
      }
      for (const { at, end, tool } of turn.marks) {
        if (tool !== undefined && this.#placed.has(tool)) continue
        kept += utterance.slice(from, place(at))
        from = Math.max(from, place(end))
        if (tool === undefined) continue
        this.#placed.add(tool)
        pieces.push(kept, tool)
        kept = ''
      }
    }
    return [...pieces, kept + utterance.slice(from)]
  }

  #find (letters: string, isWordEnd: (letters: number) => boolean): Stretch[] {
    if (letters === '') return []
    const begun = this.#begun
    this.#begun = undefined
    const goesOn = begun?.turn.letters.startsWith(letters, begun.letters) ? begun : undefined
    if (goesOn?.heard === this.#heard) return [this.#goOn(goesOn.turn, goesOn.letters, letters.length)]
    // The last one that can have been said by then: those before it that begin in the same way were superseded.
    const cutOff = this.#said.findLastIndex((turn, index) => index >= this.#next && turn.after <= this.#heard && turn.letters.startsWith(letters))
    // Or out of order, after something was taken for the beginning of it.
    const turn = cutOff === -1 ? this.#said.find(turn => turn.after <= this.#heard && turn.letters === letters) : undefined
    if (turn !== undefined) return [whole(turn, 0)]
    // Somebody has spoken in between, but no other turn begins like that.
    if (cutOff === -1 && goesOn !== undefined) return [this.#goOn(goesOn.turn, goesOn.letters, letters.length)]
    if (cutOff === -1) return this.#findSeveral(letters, isWordEnd)
    this.#next = cutOff + 1
    return [this.#goOn(this.#said[cutOff]!, 0, letters.length)]
  }

  #goOn (turn: Letters, from: number, length: number): Stretch {
    this.#begun = { turn, letters: from + length, heard: this.#heard }
    return { turn, from, to: from + length, at: 0 }
  }

  #findSeveral (letters: string, isWordEnd: (letters: number) => boolean): Stretch[] {
    const stretches: Stretch[] = []
    let at = 0
    for (let index = this.#next; index < this.#said.length; index++) {
      const turn = this.#said[index]!
      const isWhole = turn.letters !== '' && letters.startsWith(turn.letters, at) && isWordEnd(at + turn.letters.length)
      const isLast = !isWhole && turn.letters.startsWith(letters.slice(at))
      if (!isWhole && !isLast) continue
      stretches.push(isWhole ? whole(turn, at) : { turn, from: 0, to: letters.length - at, at })
      at += turn.letters.length
      if (at < letters.length) continue
      this.#next = index + 1
      return stretches
    }
    return []
  }
}

function whole (turn: Letters, at: number): Stretch {
  return { turn, from: 0, to: turn.letters.length, at }
}

function inLetters ({ text, inPassing, tools, place }: Spoken, index: number): Letters {
  const count = (end: number): number => lettersOf(text.slice(0, end)).length
  const marks = [
    ...inPassing.map(([from, to]) => ({ at: count(from), end: count(to) })),
    ...tools.map(tool => ({ at: count(tool.at), end: count(tool.at), tool }))
  ]
  return { letters: lettersOf(text), index, after: place?.utterances ?? 0, marks: marks.sort((a, b) => a.at - b.at) }
}

/** Were these said in these turns, one after the other, be it in part? What was said once accounts for one of them. */
export function wereSaid (utterances: readonly string[], turns: readonly Spoken[]): boolean {
  const said = lettersOf(turns.map(({ text }) => text).join(''))
  let from = 0
  return utterances.every(utterance => {
    const letters = lettersOf(utterance)
    const at = said.indexOf(letters, from)
    from = at + letters.length
    return at !== -1
  })
}

function lettersOf (text: string): string {
  return text.match(LETTER)?.join('') ?? ''
}

/** `ends` has for each unit of the letters where what belongs to it ends in the utterance. */
function read (utterance: string): { letters: string, ends: number[], isWordEnd (letters: number): boolean } {
  let letters = ''
  const ends: number[] = []
  const wordEnds = new Set<number>()
  for (const { 0: all, 1: letter = '', 2: more = '', index } of utterance.matchAll(LETTER_AND_MORE)) {
    letters += letter
    for (let unit = 0; unit < letter.length; unit++) ends.push(index + all.length)
    if (more !== '' || index + all.length === utterance.length) wordEnds.add(letters.length)
  }
  return { letters, ends, isWordEnd: count => wordEnds.has(count) }
}
