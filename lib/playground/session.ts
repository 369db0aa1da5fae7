/**
 * One page's connection: a call that the page places by remote control.
 */
import { randomUUID } from 'node:crypto'
import { Type, type Static } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import type { CallerProvider, PlacedCall } from '../testing/caller-provider.js'
import type { DialError, DialTarget, Finding, Reply, WireFrame } from '../testing/index.js'
import { callerProvider, CALLER_PROVIDER_NAMES } from '../testing/providers.js'
import type { FromPage, ToPage, TurnState } from './page-messages.js'

/** The app that is called. */
export interface PlaygroundHost {
  /** The path of a provider's route, with its secret if it has one. */
  pathOf (provider: CallerProvider): string
  readonly target: DialTarget
  /** Lets the app expect a call with this id. */
  admit (callId: string): Promise<void>
}

const Command = Type.Union([
  Type.Object({
    type: Type.Literal('place'),
    provider: Type.Union(CALLER_PROVIDER_NAMES.map(name => Type.Literal(name))),
    wordsPerMinute: Type.Optional(Type.Number({ minimum: 30, maximum: 1000 }))
  }),
  Type.Object({ type: Type.Literal('say'), text: Type.String({ minLength: 1, maxLength: 10_000 }) }),
  Type.Object({ type: Type.Union([Type.Literal('remind'), Type.Literal('drop'), Type.Literal('hang-up')]) })
])
const commands = TypeCompiler.Compile(Command)

// No timeout: the developer watches the call.
const TIMEOUT_MS = 2 ** 31 - 1

// An app that trusts 127.0.0.1 as a proxy needs its client's address. Other apps ignore the header.
const HEADERS = { 'x-forwarded-for': '127.0.0.1' }

/** One page's session. The caller closes it with its connection. */
export class PlaygroundSession {
  readonly #host: PlaygroundHost
  readonly #send: (message: ToPage) => void
  #call: PlacedCall | undefined
  #label = ''
  #isPlacing = false
  #isOver = false

  constructor (host: PlaygroundHost, send: (message: ToPage) => void) {
    this.#host = host
    this.#send = send
  }

  /** Carries out a command of the page, or answers why it failed. Never rejects. */
  async receive (text: string): Promise<void> {
    try {
      const command: unknown = JSON.parse(text)
      if (!commands.Check(command)) throw new Error('not a command of the playground')
      await this.#do(command)
    } catch (error) {
      this.#send({ type: 'refused', message: (error as Error).message })
    }
  }

  /** Hangs up, since the page has gone. */
  async close (): Promise<void> {
    this.#isOver = true
    if (this.#call?.end === undefined) await this.#call?.hangUp()
  }

  async #do (command: Static<typeof Command> & FromPage): Promise<void> {
    if (command.type === 'place') return await this.#place(command)
    const call = this.#call
    if (call === undefined) throw new Error('no call was placed')
    switch (command.type) {
      case 'say':
        call.ask(command.text)
        return
      case 'remind':
        if (call.remind === undefined) throw new Error(`${this.#label} has no reminders`)
        call.remind()
        return
      case 'drop':
        await call.drop()
        if (call.end === undefined) this.#send({ type: 'dialled-again' })
        return
      case 'hang-up':
        await call.hangUp()
    }
  }

  async #place ({ provider: name, wordsPerMinute }: Extract<FromPage, { type: 'place' }>): Promise<void> {
    if (this.#isPlacing || (this.#call !== undefined && this.#call.end === undefined)) throw new Error('a call is on')
    const options = { headers: HEADERS, timeoutMs: TIMEOUT_MS, ...(wordsPerMinute !== undefined && { wordsPerMinute }) }
    this.#isPlacing = true
    const provider = callerProvider(name)!
    this.#label = provider.label
    const { target } = this.#host
    const id = `playground_${randomUUID()}`
    try {
      await this.#host.admit(id)
      const path = this.#host.pathOf(provider)
      const call = this.#call = await this.#fromAdmitted(address => provider.place(target, { ...options, ...address, path, ...provider.webCall(id) }))
      if (this.#isOver) await call.hangUp()
      else this.#follow(call)
    } finally {
      this.#isPlacing = false
    }
  }

  // First from this machine, which a developer's allowlist usually admits; otherwise from the provider's address.
  async #fromAdmitted<Caller> (place: (options: { address?: string }) => Promise<Caller>): Promise<Caller> {
    try {
      return await place({ address: '127.0.0.1' })
    } catch (error) {
      if ((error as DialError).status !== 403) throw error
      return await place({})
    }
  }

  #follow (call: PlacedCall): void {
    this.#send({ type: 'placed', id: call.id, atMs: call.elapsedMs })
    const frame = (frame: WireFrame): void => this.#send({ type: 'frame', ...frame })
    const finding = ({ code, message, atMs }: Finding): void => this.#send({ type: 'finding', code, message, atMs })
    const reply = (reply: Reply): void => void this.#watch(call, reply, call.replies.indexOf(reply)) // eslint-disable-line no-void
    // First the frames, findings and replies so far, then the new ones.
    call.frames.forEach(frame)
    call.findings.forEach(finding)
    call.replies.forEach(reply)
    call.events.on('frame', frame).on('finding', finding).on('reply', reply)
    void call.ended.then(end => this.#send({ type: 'ended', ...end })) // eslint-disable-line no-void
  }

  // Never rejects.
  async #watch (call: PlacedCall, reply: Reply, index: number): Promise<void> {
    const show = (): void => this.#send({ type: 'turn', turn: toState(reply, index), atMs: call.elapsedMs })
    show()
    let words = 0
    for await (const text of reply) {
      const { firstTokenMs, firstSentenceMs } = toState(reply, index)
      const times = { ...(firstTokenMs !== undefined && { firstTokenMs }), ...(firstSentenceMs !== undefined && { firstSentenceMs }) }
      this.#send({ type: 'words', index, text, wordsMs: reply.wordsMs.slice(words), atMs: call.elapsedMs, ...times })
      words = reply.wordsMs.length
    }
    show()
    await reply.over()
    show()
  }
}

function toState ({ id, reason, askedMs, text, outcome, wordsMs, heard, firstTokenMs, firstSentenceMs, durationMs }: Reply, index: number): TurnState {
  return {
    index,
    id,
    reason,
    askedMs,
    text,
    outcome,
    wordsMs,
    ...(heard !== undefined && { heard }),
    ...(firstTokenMs !== undefined && { firstTokenMs }),
    ...(firstSentenceMs !== undefined && { firstSentenceMs }),
    ...(durationMs !== undefined && { durationMs })
  }
}
