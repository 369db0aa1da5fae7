/**
 * Answers in the shapes of models' servers, and what is to be heard and called. Written for these tests, after what is documented
 * or reported of the servers in public; no text of theirs is in them.
 */

/** A tool call that is to be made of an answer. */
export type ExpectedCall = readonly [name: string, args: Readonly<Record<string, unknown>>]

/** One answer. */
export interface Recording {
  /** What is special in it. */
  readonly about: string
  /** Objects are events of JSON; texts are written as they are, with a line feed for each end of a line. */
  readonly events: ReadonlyArray<object | string>
  /** What is heard without the speech filter. */
  readonly words: string
  /** And with it, where that differs. */
  readonly spoken?: string
  readonly calls?: readonly ExpectedCall[]
  /** The answer is no good: the fallback is heard behind its words. */
  readonly fails?: true
  /** Its last event marks the end, so that what follows changes nothing. Default true. */
  readonly hasEnd?: boolean
}

/** A server, or a family of them. */
export interface RecordedServer {
  readonly name: string
  /** What its recordings play that an ordinary answer of OpenAI's server has not, for `docs/models.md`. */
  readonly differs: string
  readonly recordings: readonly Recording[]
}

/** How a server puts a delta into a chunk. */
export type Envelope = (delta: object, reason?: string | null, more?: object) => object

/** Chunks with these members, which every server has, and more of its own. */
export function envelope (model: string, ofChunk: object = {}, ofChoice: object = {}): Envelope {
  return (delta, reason = null, more = {}) => ({
    id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1_764_547_200, model, ...ofChunk, choices: [{ index: 0, delta, ...ofChoice, finish_reason: reason }], ...more
  })
}

/** The mark of the end. */
export const DONE = 'data: [DONE]\n\n'

/** A piece of a tool call. */
export function piece (index: number, args: unknown, id?: string, name?: string): object {
  return {
    tool_calls: [{ index, ...(id !== undefined && { id, type: 'function' }), function: { ...(name !== undefined && { name }), ...(args !== undefined && { arguments: args }) } }]
  }
}

/** An answer in these pieces, some of which are no speech. */
export function unspoken (about: string, chunk: Envelope, pieces: readonly string[], spoken: string): Recording {
  return { about, events: [...pieces.map(content => chunk({ content })), chunk({}, 'stop'), DONE], words: pieces.join(''), spoken }
}

/** Words in which characters have one to four bytes, and marks that are not spoken. */
export const MARKED = ['Grüß', ' Gott', ', **', 'wir', '** öffnen', ' um 9 – ', '10', '! ', '👩‍🍳']
export const MARKED_WORDS = 'Grüß Gott, **wir** öffnen um 9 – 10! 👩‍🍳'
export const MARKED_SPOKEN = 'Grüß Gott, wir öffnen um 9 – 10!'

/** Words of thought that nobody is to hear. */
export const THOUGHT = 'They want the hours.'

export const KIEL: ExpectedCall = ['find', { city: 'Kiel' }]
export const BONN: ExpectedCall = ['find', { city: 'Bonn' }]
export const TIME: ExpectedCall = ['time', {}]
