/**
 * Passes authenticated webhooks of all providers to the app's hooks: each event once.
 */
import type { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { TObject } from '@sinclair/typebox'
import { Errors } from '@sinclair/typebox/errors'
import type { FastifyBaseLogger, FastifyReply, FastifyRequest, onRequestAsyncHookHandler } from 'fastify'
import { comeAgain } from '../admission/guard.js'
import { cleaner, type Redact } from '../speech/redact.js'
import { ClosingError, HookReplyError } from '../contract/errors.js'
import { within } from '../timing/timeout.js'
import type { Notice, ReceivedEvent } from './event.js'
import { ExpiringMap } from './expiring-map.js'

// Longer than any provider retries.
const EVENTS = { ms: 10 * 60_000, max: 10_000 }

const NOTHING = Buffer.alloc(0)

/** The parts of a provider's webhook routes. */
export interface ProviderWebhooks {
  /** An `onRequest` hook: refuses what the headers alone show to be invalid. */
  readonly checkHeader: onRequestAsyncHookHandler
  /** Reads a body, and refuses it if its signature is wrong. Left out where a header alone authenticates: then Fastify reads it. */
  readonly readBody?: (request: FastifyRequest, payload: Readable) => Promise<Buffer>
  readonly handlers: Partial<Record<'GET' | 'POST', (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>>>
}

/** A hook whose answer a provider waits for. */
export interface Question<Reply extends object> {
  /** The name of the app's hook. */
  readonly hook: string
  /** How long the provider is kept waiting, in ms. */
  readonly ms: number
  /** Checks the hook's reply. Errors are logged with paths, so it must not look into members that the app names. */
  readonly schema: TObject
  toWire (reply: Reply): object
}

/** The answer to a provider's question. */
export interface Answer {
  readonly json: string
  /** True if the hook answered. Otherwise it failed or timed out, and may run again when the provider retries. */
  readonly isGiven: boolean
}

/** Runs the app's hooks; a closing app waits for them. */
export interface HookRunner {
  /** Logs what a hook throws or rejects with; a promise that it returns never rejects. */
  run (log: FastifyBaseLogger, name: string, hook: () => void | Promise<void>): void | Promise<void>
}

/** The app's hooks for all webhooks. */
export interface ReceiverHooks {
  onWebhook? (event: ReceivedEvent): void | Promise<void>
  redact?: Redact
}

/** One per registration, for all providers. */
export class WebhookReceiver {
  readonly #hooks: ReceiverHooks
  readonly #runner: HookRunner
  readonly #isClosing: () => boolean
  readonly #events = new ExpiringMap<true>(EVENTS.ms, EVENTS.max)

  /** @param runner makes a closing app wait for hooks */
  constructor (hooks: ReceiverHooks, runner: HookRunner, isClosing: () => boolean) {
    this.#hooks = hooks
    this.#runner = runner
    this.#isClosing = isClosing
  }

  /**
   * The body of a request.
   * @throws VOICE_AGENT_ERR_CLOSING when the app began to close meanwhile, and would not wait for a hook
   */
  accept ({ body }: FastifyRequest, reply: FastifyReply): Buffer {
    if (this.#isClosing()) throw comeAgain(reply, new ClosingError())
    return body as Buffer | undefined ?? NOTHING
  }

  /** Answers the provider, and then runs onWebhook, unless the event is a repetition, simultaneous ones included. */
  tell (request: FastifyRequest, reply: FastifyReply, notice: Notice, isNews = true): FastifyReply {
    const { event, identity } = notice
    const log = request.log.child({ provider: event.provider, event: event.event, callId: event.callId })
    if (isNews && (identity === undefined || this.#events.add(identity, true))) this.#run(log, reply, notice)
    else log.debug('webhook ignored: it came before')
    return reply.code(204).send()
  }

  #run (log: FastifyBaseLogger, reply: FastifyReply, notice: Notice): void {
    if (this.#hooks.onWebhook === undefined) return
    // A closing app waits from now on, as the provider will not send the event again.
    // eslint-disable-next-line @typescript-eslint/no-floating-promises
    this.#runner.run(log, 'onWebhook', async () => {
      // The response may fail: the event counts all the same.
      await finished(reply.raw).catch(() => {})
      const { redact } = this.#hooks
      await this.#hooks.onWebhook!(redact === undefined ? notice.event : notice.redacted(cleaner(redact, log)))
    })
  }

  /**
   * Runs a hook for its answer. The answer is empty when there is no hook, when it fails, which is logged, or when it takes too
   * long; a slow hook keeps running. Never rejects.
   */
  async ask<Reply extends object> (
    { log }: FastifyRequest,
    { hook, ms, schema, toWire }: Question<Reply>,
    ask: () => Reply | undefined | void | Promise<Reply | undefined | void>
  ): Promise<Answer> {
    let answer: Answer = { json: JSON.stringify(toWire({} as Reply)), isGiven: false }
    let isOver = false
    const running = this.#runner.run(log, hook, async () => {
      const reply = await ask() ?? {} as Reply
      const error = Errors(schema, reply).First()
      if (error !== undefined) throw new HookReplyError(hook, error.path.slice(1) || 'it', error.message)
      answer = { json: JSON.stringify(toWire(reply)), isGiven: true }
    })
    await within(ms, Promise.resolve(running).then(() => { isOver = true }))
    if (!isOver) log.warn({ ms }, `${hook} is too slow: the call goes on without its answer`)
    return answer
  }
}

/** Sends JSON as text, since an app's own hooks may wrap objects. */
export function answerWith (reply: FastifyReply, { json }: Answer): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(json)
}
