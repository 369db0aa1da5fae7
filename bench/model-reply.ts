/**
 * What the bench's model says: text that names the turn it answers in every word, so that a lost, doubled, swapped or
 * stale word cannot go unnoticed.
 *
 * The first word also carries how long the model itself held the answer back. The caller subtracts that from what it
 * waited, and what is left is what the server added, whatever the model's timers did meanwhile. No clock is compared
 * with another process' clock.
 */

/** How a model paces its answer; encoded in the model's name, so that each request chooses it. */
export interface Pacing {
  readonly mode: 'paced' | 'bunch' | 'stream'
  /** Before the first token, in ms. */
  readonly firstMs: number
  /** Between tokens, in ms. */
  readonly gapMs: number
  readonly tokens: number
}

/**
 * `paced-200-20-40`: first token after 200 ms, 40 tokens 20 ms apart. `bunch-50`: the whole reply in one write.
 * `stream-50`: one write a token, without a pause.
 */
export function parsePacing (model: string): Pacing | undefined {
  const paced = /^paced-(\d{1,5})-(\d{1,4})-(\d{1,4})$/.exec(model)
  if (paced !== null) return { mode: 'paced', firstMs: Number(paced[1]), gapMs: Number(paced[2]), tokens: Number(paced[3]) }
  const burst = /^(bunch|stream)-(\d{1,4})$/.exec(model)
  if (burst !== null) return { mode: burst[1] === 'bunch' ? 'bunch' : 'stream', firstMs: 0, gapMs: 0, tokens: Number(burst[2]) }
  return undefined
}

/**
 * What goes wrong with a model on demand. `error`: it answers 500. `hang`: it never answers. `stall`: it falls silent in
 * mid-answer. `cut`: its connection breaks in mid-answer.
 */
export const FAULTS = ['error', 'hang', 'stall', 'cut'] as const

export type Fault = typeof FAULTS[number]

/** Names one turn of one call. Unique in a run, and the same letters are never part of another key's word. */
export function turnKey (call: number, turn: number): string {
  return `k${call}x${turn}`
}

/** What the caller says; the model finds the turn's key in it, and what is to go wrong with the answer. */
export function question (key: string, fault?: Fault): string {
  return `Could you tell me where my order ${fault === undefined ? key : `${key}-${fault}`} is right now, please?`
}

/** The newest key in what the caller said, since two questions in a row may have been merged into one message. */
export function askedIn (text: string): { readonly key: string, readonly fault: Fault | undefined } | undefined {
  const [, key, fault] = [...text.matchAll(/(k\d+x\d+)(?:-([a-z]+))?/g)].at(-1) ?? []
  return key === undefined ? undefined : { key, fault: FAULTS.find(known => known === fault) }
}

/** The first token. */
export function firstToken (key: string, heldUs: number): string {
  return `${key}h${heldUs} `
}

/** Every later token; the last one ends the sentence. */
export function laterToken (key: string, index: number, tokens: number): string {
  return index === tokens - 1 ? `${key}w${index}.` : `${key}w${index} `
}

/**
 * Compares a finished reply with what the model said, word by word.
 * @returns how long the model held the reply back, in ms
 * @throws when a word is wrong, missing or too many
 */
export function checkReply (key: string, tokens: number, text: string): number {
  const { heldMs, rest } = splitReply(key, text)
  const expected = laterTokens(key, tokens)
  if (rest !== expected) throw new Error(`reply ${key}: ${firstDifference(expected, rest)}`)
  return heldMs
}

/** How many tokens a model says before it falls silent, or is cut off. */
export function tokensBefore (fault: Fault, tokens: number): number {
  return fault === 'error' || fault === 'hang' ? 0 : Math.ceil(tokens / 2)
}

/**
 * Compares a reply of a model that failed with what the model said until then, and what is said in its stead.
 * @throws when a word is wrong, missing or too many
 */
export function checkFailed (key: string, tokens: number, fault: Fault, fallback: string, text: string): void {
  if (!text.endsWith(fallback)) throw new Error(`reply ${key}, ${fault}: ends with ${JSON.stringify(text.slice(-60))}, not the fallback`)
  const beginning = text.slice(0, text.length - fallback.length)
  checkBeginning(key, tokens, beginning)
  const said = beginning.split(' ').length - 1
  const most = tokensBefore(fault, tokens)
  // What had arrived and was not read when the connection broke may be lost with it.
  if (said > most || (said < most && fault !== 'cut')) throw new Error(`reply ${key}, ${fault}: ${said} words, the model said ${most}`)
}

/**
 * Compares the beginning of a reply that was cut off with what the model said.
 * @throws when a word is wrong
 */
export function checkBeginning (key: string, tokens: number, text: string): void {
  if (text === '') return
  const { rest } = splitReply(key, text)
  const expected = laterTokens(key, tokens)
  if (!expected.startsWith(rest)) throw new Error(`reply ${key}, cut off: ${firstDifference(expected, rest)}`)
}

function splitReply (key: string, text: string): { heldMs: number, rest: string } {
  const space = text.indexOf(' ')
  const first = new RegExp(`^${key}h(\\d+)$`).exec(text.slice(0, Math.max(space, 0)))
  if (first === null) throw new Error(`reply ${key}: begins with ${JSON.stringify(text.slice(0, 40))}`)
  return { heldMs: Number(first[1]) / 1000, rest: text.slice(space + 1) }
}

function laterTokens (key: string, tokens: number): string {
  let text = ''
  for (let i = 1; i < tokens; i++) text += laterToken(key, i, tokens)
  return text
}

function firstDifference (expected: string, got: string): string {
  const words = got.split(' ')
  const index = expected.split(' ').findIndex((word, i) => word !== words[i])
  if (index === -1) return `${words.length} words, more than the model said`
  return `word ${index + 2} is ${JSON.stringify(words[index])}, the model said ${JSON.stringify(expected.split(' ')[index])}`
}
