import type { ReadableStream } from 'node:stream/web'
import { isBytes, unspeakable } from './unspeakable.js'

/** The source of a reply's pieces, for any kind of reply. The pieces are unchecked. */
export interface Source {
  next (): Promise<IteratorResult<unknown>> | IteratorResult<unknown>
  /** Runs the agent's `finally` blocks, or cancels its stream. Never throws or rejects. */
  close (): void
}

/**
 * Opens an iterable, an async iterable or a ReadableStream.
 * @throws VOICE_AGENT_ERR_SPEECH when it is none of these
 */
export function openReply (reply: unknown): Source {
  if (typeof reply === 'object' && reply !== null && !isBytes(reply)) {
    // A reader, unlike the stream's own iterator, can be cancelled while a read is pending.
    if ('getReader' in reply) return openStream(reply as ReadableStream<unknown>)
    if (Symbol.asyncIterator in reply) return openIterator((reply as AsyncIterable<unknown>)[Symbol.asyncIterator]())
    if (Symbol.iterator in reply) return openIterator((reply as Iterable<unknown>)[Symbol.iterator]())
  }
  throw unspeakable(reply, 'returned')
}

/** True for a promise. Other values need no await, which would cost a tick. */
export function isThenable (value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

function openStream (stream: ReadableStream<unknown>): Source {
  const reader = stream.getReader()
  return {
    next: () => reader.read() as Promise<IteratorResult<unknown>>,
    close: () => quietly(() => reader.cancel())
  }
}

function openIterator (iterator: AsyncIterator<unknown> | Iterator<unknown>): Source {
  return {
    next: () => iterator.next(),
    close: () => quietly(() => iterator.return?.())
  }
}

// The turn is over, so errors of its clean-up are ignored.
function quietly (cleanUp: () => unknown): void {
  try {
    Promise.resolve(cleanUp()).catch(() => {})
  } catch {}
}
