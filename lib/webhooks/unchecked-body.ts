/**
 * Bodies from unknown senders: their signature can be checked only once the body is complete.
 */
import type { Readable } from 'node:stream'
import { errorCodes, type FastifyRequest } from 'fastify'
import { WebhookError, WebhookLimitError, WebhookTimeoutError } from '../contract/errors.js'
import { whenLate } from '../timing/timeout.js'

/**
 * The largest body, in bytes. The webhook at the end of a call holds the transcript up to three times (as text, as utterances with a timing
 * for every word, and the same with tool calls). One of them reaches 1 MiB on a long call. A frame may hold as much.
 */
export const BODY_LIMIT_BYTES = 8 * 1024 * 1024

const MAX_BODIES = 8
const MAX_BYTES = 16 * 1024 * 1024
const TIMEOUT_MS = 10_000

// Without a content-length. An inbound call's webhook fits; a transcript grows the buffer.
const FIRST_BYTES = 16 * 1024

/** Bodies being read on all routes, which share the memory of the process. */
const underWay = { bodies: 0, bytes: 0 }

/**
 * Reads and checks a body. Until then it counts towards the limits.
 * @param check throws to refuse the body
 * @throws VOICE_AGENT_ERR_WEBHOOK_LIMIT, VOICE_AGENT_ERR_WEBHOOK_TIMEOUT, VOICE_AGENT_ERR_WEBHOOK, Fastify's error of a body that is
 * too large
 */
export async function readUnchecked ({ headers }: FastifyRequest, payload: Readable, check: (body: Buffer) => void): Promise<Buffer> {
  if (underWay.bodies === MAX_BODIES) throw new WebhookLimitError()
  const body = new GrowingBody()
  underWay.bodies++
  try {
    body.grow(Number(headers['content-length']) || FIRST_BYTES)
    await read(payload, body)
    check(body.bytes)
    return body.bytes
  } finally {
    underWay.bodies--
    underWay.bytes -= body.size
  }
}

/** One buffer in place of chunks: chunks of one byte take a hundred times the memory. */
class GrowingBody {
  #buffer = Buffer.alloc(0)
  #length = 0

  get size (): number {
    return this.#buffer.length
  }

  get bytes (): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  grow (size: number): void {
    if (size > BODY_LIMIT_BYTES) throw new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE()
    const more = size - this.#buffer.length
    if (underWay.bytes + more > MAX_BYTES) throw new WebhookLimitError()
    const grown = Buffer.allocUnsafe(size)
    this.#buffer.copy(grown)
    this.#buffer = grown
    underWay.bytes += more
  }

  add (chunk: Buffer): void {
    const length = this.#length + chunk.length
    if (length > this.#buffer.length) this.grow(Math.max(length, Math.min(2 * this.#buffer.length, BODY_LIMIT_BYTES)))
    chunk.copy(this.#buffer, this.#length)
    this.#length = length
  }
}

function read (payload: Readable, body: GrowingBody): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      inTime()
      payload.off('data', take)
      act()
    }
    const inTime = whenLate(TIMEOUT_MS, () => settle(() => reject(new WebhookTimeoutError())))
    const take = (chunk: Buffer | string): void => {
      try {
        // A stream of an app's preParsing hook may consist of strings.
        body.add(Buffer.from(chunk as Buffer))
      } catch (error) {
        settle(() => reject(error))
      }
    }
    // Never removed: a stream that fails after a refusal would cause an uncaught exception.
    payload.on('error', () => settle(() => reject(new WebhookError('incomplete'))))
    payload.on('end', () => settle(resolve)).on('data', take)
  })
}
