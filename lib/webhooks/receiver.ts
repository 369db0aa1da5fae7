/**
 * What the providers' webhooks have in common once one is known to be genuine: the app is told, once, or asked.
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

// Longer than any provider goes on trying.
const EVENTS = { ms: 10 * 60_000, max: 10_000 }

const NOTHING = Buffer.alloc(0)

/** What a provider's routes are made of. */
export interface ProviderWebhooks {
  /** An `onRequest` hook: refuses what can be refused before a body is read. */
  readonly checkHeader: onRequestAsyncHookHandler
  /** Reads a body, and refuses it where it is not the provider's. Left out where the header says whose it is: then Fastify reads it. */
  readonly readBody?: (request: FastifyRequest, payload: Readable) => Promise<Buffer>
  readonly handlers: Partial<Record<'GET' | 'POST', (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>>>
}

/** A hook whose answer a provider waits for. */
export interface Question<Reply extends object> {
  /** The name of the app's hook. */
  readonly hook: string
  /** How long the provider is kept waiting, in ms. */
  readonly ms: number
  /** Of a reply. Its errors are logged: it must not look into members whose names are the app's own. */
  readonly schema: TObject
  toWire (reply: Reply): object
}

/** What a provider's question is answered with. */
export interface Answer {
  readonly json: string
  /** Is it the hook's? If not, the hook failed, or was too slow, and may do better when it is asked again. */
  readonly isGiven: boolean
}

/** Runs the app's hooks, and has the closing app wait for them. */
export interface HookRunner {
  /** Logs what a hook throws or rejects with; a promise that it returns never rejects. */
  run (log: FastifyBaseLogger, name: string, hook: () => void | Promise<void>): void | Promise<void>
}

/** What the app is told. */
export interface ReceiverHooks {
  onWebhook? (event: ReceivedEvent): void | Promise<void>
  redact?: Redact
}

/** One for all webhooks of a registration. It knows no provider. */
export class WebhookReceiver {
  readonly #hooks: ReceiverHooks
  readonly #runner: HookRunner
  readonly #isClosing: () => boolean
  readonly #events = new ExpiringMap<true>(EVENTS.ms, EVENTS.max)

  /** @param runner has the app wait for hooks when it closes */
  constructor (hooks: ReceiverHooks, runner: HookRunner, isClosing: () => boolean) {
    this.#hooks = hooks
    this.#runner = runner
    this.#isClosing = isClosing
  }

  /**
   * The body of a request.
   * @throws VOICE_AGENT_ERR_CLOSING when the app began to close while it came in, and nobody would wait for a hook
   */
  accept ({ body }: FastifyRequest, reply: FastifyReply): Buffer {
    if (this.#isClosing()) throw comeAgain(reply, new ClosingError())
    return body as Buffer | undefined ?? NOTHING
  }

  /** Answers the provider, and then tells the app, unless it was told before: also of two at the same moment it is told one. */
  tell (request: FastifyRequest, reply: FastifyReply, notice: Notice, isNews = true): FastifyReply {
    const { event, identity } = notice
    const log = request.log.child({ provider: event.provider, event: event.event, callId: event.callId })
    if (isNews && (identity === undefined || this.#events.add(identity, true))) this.#run(log, reply, notice)
    else log.debug('webhook ignored: it came before')
    return reply.code(204).send()
  }

  #run (log: FastifyBaseLogger, reply: FastifyReply, notice: Notice): void {
    if (this.#hooks.onWebhook === undefined) return
    // Waited for from now on, as the provider will not tell again.
    // eslint-disable-next-line @typescript-eslint/no-floating-promises
    this.#runner.run(log, 'onWebhook', async () => {
      // Whether the provider has heard it or not.
      await finished(reply.raw).catch(() => {})
      const { redact } = this.#hooks
      await this.#hooks.onWebhook!(redact === undefined ? notice.event : notice.redacted(cleaner(redact, log)))
    })
  }

  /**
   * Asks the app. The answer is an empty one when there is no hook, when it fails, which is logged, or when it takes too
   * long. Such a hook goes on. Never rejects.
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

/** Answers with JSON, as a text, since an app's own hooks may wrap objects up. */
export function answerWith (reply: FastifyReply, { json }: Answer): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(json)
}
