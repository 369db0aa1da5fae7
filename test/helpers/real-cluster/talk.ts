/**
 * What callers and agents say to each other, so that each can tell what the other has missed.
 */
/** A question that can be answered at once. */
export function question (number: number): string {
  return `What is question ${number} about?`
}

/** One that needs a tool, which must not be run twice. */
export function bookingOf (slot: string): string {
  return `Please book slot ${slot} for me.`
}

/** What is to be booked, if anything. */
export function slotIn (text: string): string | undefined {
  return /book slot (\S+) for me\.$/.exec(text)?.[1]
}

/** What an agent is heard to say. */
export interface Heard {
  /** How many answers it gave in this call, by what it keeps. */
  readonly number: number
  /** The node it ran on. */
  readonly node: string
  readonly words: string
}

/** How each answer begins, before a model is asked. */
export function opening (number: number, node: string): string {
  return `This is answer ${number} from ${node}. `
}

export function readAnswer (text: string): Heard | undefined {
  const [, number, node, words] = /^This is answer (\d+) from (\S+)\. (.+)$/.exec(text) ?? []
  return words === undefined ? undefined : { number: Number(number), node: node!, words }
}

/** What the tool tells the model. */
export function booked (slot: string): string {
  return `Slot ${slot} is booked.`
}

/** What the model says of a tool that ended without a result, and of one that failed. */
export const UNKNOWN = 'I do not know whether that was booked.'
export const FAILED = 'That could not be booked.'

/** What the plugin has the agent say where it fails, as after a node that was frozen for too long. */
export const APOLOGY = 'I am sorry, can you say that again?'
