/**
 * What a call said, and what of it was said in passing: fillers and apologies, which a model that reads them in its own
 * mouth repeats.
 */

/** All that one turn said. */
export interface Spoken {
  readonly text: string
  /** Stretches of {@link Spoken.text} that were said in passing, in order: `[from, to)`. */
  readonly inPassing: ReadonlyArray<readonly [from: number, to: number]>
}

const LETTER = /[\p{L}\p{N}]/gu

/**
 * Makes a function that leaves what was said in passing out of the agent's utterances, which it is given in the order of
 * the conversation. An utterance is found among the turns by its letters, since providers write spaces and dashes as they
 * like; one that was cut off is the beginning of a turn, one that goes on is several. What is found nowhere stays as it is.
 */
export function withoutPassing (turns: readonly Spoken[]): (utterance: string) => string {
  if (turns.every(({ inPassing }) => inPassing.length === 0)) return utterance => utterance
  const letters = turns.map(({ text }) => lettersOf(text))
  let next = 0

  return function leaveOut (utterance: string): string {
    const wanted = lettersOf(utterance)
    if (wanted === '') return utterance
    for (let turn = next; turn < turns.length; turn++) {
      const said = letters[turn]!
      const isBeginning = said.startsWith(wanted)
      const goesOn = !isBeginning && said !== '' && wanted.startsWith(said)
      const end = goesOn ? placeOf(utterance, countOf(said)) : utterance.length
      // What goes on within a word is another word.
      if (!isBeginning && !(goesOn && isWordStart(utterance, end))) continue
      next = turn + 1
      const meant = keep(utterance.slice(0, end), turns[turn]!)
      return goesOn ? meant + leaveOut(utterance.slice(end)) : meant
    }
    return utterance
  }
}

// Of the beginning of a turn, what was not said in passing. Punctuation goes with the word before it.
function keep (beginning: string, { text, inPassing }: Spoken): string {
  let kept = ''
  let from = 0
  for (const [start, end] of inPassing) {
    kept += beginning.slice(from, placeOf(beginning, countOf(text.slice(0, start))))
    from = placeOf(beginning, countOf(text.slice(0, end)))
  }
  return kept + beginning.slice(from)
}

function lettersOf (text: string): string {
  return text.match(LETTER)?.join('') ?? ''
}

function countOf (text: string): number {
  return text.match(LETTER)?.length ?? 0
}

/** Where the letter with this number stands; the end of the text, where it has no more letters. */
function placeOf (text: string, letter: number): number {
  if (letter === 0) return 0
  let count = 0
  for (const { index } of text.matchAll(LETTER)) {
    if (count++ === letter) return index
  }
  return text.length
}

function isWordStart (text: string, place: number): boolean {
  return !/[\p{L}\p{N}]$/u.test(text.slice(0, place))
}
