/**
 * What a call said, and what of it was said in passing: fillers and apologies, which a model that reads them in its own
 * mouth repeats.
 */

/** All that was said in one turn, or in one go outside of turns. */
export interface Spoken {
  readonly text: string
  /** Stretches of {@link Spoken.text} that were said in passing, in order: `[from, to)`. */
  readonly inPassing: ReadonlyArray<readonly [from: number, to: number]>
}

/** The same in letters alone, as providers write spaces and punctuation as they like. */
interface Letters {
  readonly letters: string
  readonly inPassing: ReadonlyArray<readonly [from: number, to: number]>
}

const LETTER = /[\p{L}\p{N}]/gu

/** A letter with the punctuation behind it and the space behind that. */
const LETTER_AND_MORE = /([\p{L}\p{N}])([^\p{L}\p{N}\s]*\s*)/gu

/**
 * Makes a function that leaves what was said in passing out of the agent's utterances, which it is given in the order of
 * the conversation. An utterance is a turn, the beginning of one that was cut off, or several turns in one; what is none
 * of these, such as words of another server's, stays as it is.
 */
export function withoutPassing (turns: readonly Spoken[]): (utterance: string) => string {
  if (turns.every(({ inPassing }) => inPassing.length === 0)) return utterance => utterance
  const said = turns.map(inLetters)
  let next = 0

  return utterance => {
    const { letters, ends, isWordEnd } = read(utterance)
    const found = find(said, next, letters, isWordEnd)
    if (found === undefined) return utterance
    next = found.next
    const place = (letter: number): number => letter === 0 ? 0 : ends[letter - 1] ?? utterance.length
    let kept = ''
    let from = 0
    for (const [start, end] of found.inPassing) {
      kept += utterance.slice(from, place(start))
      from = place(end)
    }
    return kept + utterance.slice(from)
  }
}

interface Found {
  /** Which turn can be found next. */
  readonly next: number
  readonly inPassing: Letters['inPassing']
}

function find (said: readonly Letters[], next: number, letters: string, isWordEnd: (letters: number) => boolean): Found | undefined {
  if (letters === '') return undefined
  const later = said.findIndex((turn, index) => index >= next && turn.letters === letters)
  if (later !== -1) return { next: later + 1, inPassing: said[later]!.inPassing }
  // Out of order, after something was taken for the beginning of it.
  const earlier = said.find(turn => turn.letters === letters)
  if (earlier !== undefined) return { next, inPassing: earlier.inPassing }
  const cutOff = said.findIndex((turn, index) => index >= next && turn.letters.startsWith(letters))
  if (cutOff !== -1) return { next: cutOff + 1, inPassing: said[cutOff]!.inPassing }
  return findSeveral(said, next, letters, isWordEnd)
}

function findSeveral (said: readonly Letters[], next: number, letters: string, isWordEnd: (letters: number) => boolean): Found | undefined {
  const inPassing: Array<readonly [number, number]> = []
  let at = 0
  for (let index = next; index < said.length; index++) {
    const turn = said[index]!
    const isWhole = turn.letters !== '' && letters.startsWith(turn.letters, at) && isWordEnd(at + turn.letters.length)
    const isLast = !isWhole && turn.letters.startsWith(letters.slice(at))
    if (!isWhole && !isLast) continue
    for (const [from, to] of turn.inPassing) inPassing.push([at + from, at + to])
    at += turn.letters.length
    if (at >= letters.length) return { next: index + 1, inPassing }
  }
  return undefined
}

function inLetters ({ text, inPassing }: Spoken): Letters {
  const count = (end: number): number => lettersOf(text.slice(0, end)).length
  return { letters: lettersOf(text), inPassing: inPassing.map(([from, to]) => [count(from), count(to)] as const) }
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
