import type { Clock } from './clock.js'
import type { Reply } from './reply.js'

/** The reply did not end within the timeout, or the call ended first. */
export class NoReplyError extends Error {
  override readonly name = 'NoReplyError'
  /** The reply as far as it came. */
  readonly reply: Reply

  constructor (why: string, reply: Reply) {
    super(`${why}; what had come of the reply to ${JSON.stringify(reply.id)}: ${JSON.stringify(reply.text)}`)
    this.reply = reply
  }
}

/** Waits for a part of a reply. @throws NoReplyError, as a rejection, when it takes longer than `timeoutMs` */
export async function inTime<T> (waiting: Promise<T>, reply: Reply, clock: Clock, timeoutMs: number): Promise<T> {
  let timer: unknown
  const late = new Promise<never>((_resolve, reject) => {
    timer = clock.setTimeout(() => reject(new NoReplyError(`no end after ${timeoutMs} ms`, reply)), timeoutMs)
  })
  try {
    return await Promise.race([waiting, late])
  } finally {
    clock.clearTimeout(timer as never)
  }
}
