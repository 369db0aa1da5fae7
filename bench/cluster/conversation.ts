/**
 * One call with a cluster, on the provider's side: by the provider's own rules it dials again where the line breaks, and
 * everything that a caller would notice of a move is put on record.
 */
import { DialError, MillisCaller, NoReplyError, RetellCaller } from 'fastify-voice-agent/testing'
import { APOLOGY, booked, bookingOf, question, readAnswer, UNKNOWN } from '../../test/helpers/real-cluster/talk.js'
import { pause } from '../population.js'
import type { Fault, Verdict, Wish } from './verdict.js'

/** What all calls of a run have in common. */
export interface ConversationOptions {
  /** Base URL, without the provider's path. */
  readonly url: string
  readonly verdict: Verdict
  /** From 0 to 1. */
  readonly random: () => number
}

const MIN_TURNS = 3
const MOST_TURNS = 10
const PAUSE_MS = [1_000, 5_000] as const
/** The rest of the turns ask what can be answered at once. */
const BOOKINGS = 0.4

/** An answer takes a second; one may have to be asked for again, twice, after a watchdog of 5 s. */
const ANSWER_MS = 20_000

/** Retell's. */
const ATTEMPTS = 3
/**
 * A round trip or two: what breaks is noticed, and dialled again, over the internet. On the loopback it would be done before
 * the process that died is gone, which takes connections until its last moment.
 */
const REDIAL_MS = 50
/** Who has dialled again so often hangs up: the provider gives a call up that breaks for the fifth time. */
const MOST_REDIALS = 3

/** What the kit finds wherever a node goes, and is dealt with by dialling again. */
const BREAKS: ReadonlySet<string> = new Set(['broken-connection', 'no-keepalive'])

/** What else is counted by another name. */
const KNOWN: ReadonlySet<string> = new Set(['second-greeting', 'closed', 'unreachable'])

/** Lives one call, to its end or until it may as well end. Never rejects. */
export async function converse (number: number, options: ConversationOptions, stopping: AbortSignal): Promise<void> {
  const id = `call_${String(number).padStart(27, '0')}`
  const { url, verdict } = options
  const common = { attempts: ATTEMPTS, redialMs: REDIAL_MS, timeoutMs: ANSWER_MS }
  verdict.calls++
  try {
    const call = number % 2 === 0
      ? await RetellCaller.place(`${url}/llm-websocket`, { ...common, callId: id })
      : await MillisCaller.place(`${url}/millis`, { ...common, sessionId: id, redials: MOST_REDIALS + 1 })
    await new Conversation(id, call, options).run(stopping)
  } catch (error) {
    if (error instanceof DialError) verdict.found('lost', id, `refused: ${error.message}`)
    else if (error instanceof NoReplyError) verdict.found('unanswered', id, error.message)
    else verdict.found('lost', id, (error as Error).message)
  }
}

class Conversation {
  readonly #id: string
  readonly #call: RetellCaller | MillisCaller
  readonly #options: ConversationOptions
  #redials = 0
  #answers = 0
  #brokenAt: number | undefined

  constructor (id: string, call: RetellCaller | MillisCaller, options: ConversationOptions) {
    this.#id = id
    this.#call = call
    this.#options = options
    const { verdict } = options
    call.events.on('disconnected', () => {
      this.#brokenAt ??= performance.now()
      verdict.broken.set(id, [...verdict.broken.get(id) ?? [], performance.now()])
    })
    call.events.on('redialled', () => {
      verdict.redials++
      this.#redials++
    })
    call.events.on('frame', ({ from }) => {
      if (from !== 'server' || this.#brokenAt === undefined) return
      verdict.gapsMs.push(performance.now() - this.#brokenAt)
      this.#brokenAt = undefined
    })
  }

  /** @throws NoReplyError when nothing more is said */
  async run (stopping: AbortSignal): Promise<void> {
    const { random } = this.#options
    try {
      await this.#call.hear(this.#call.reply!)
      const turns = MIN_TURNS + Math.floor(random() * (MOST_TURNS - MIN_TURNS + 1))
      for (let turn = 1; turn <= turns && this.#redials < MOST_REDIALS && !stopping.aborted; turn++) {
        await pause(PAUSE_MS[0] + random() * (PAUSE_MS[1] - PAUSE_MS[0]), stopping)
        if (this.#call.end !== undefined) break
        await this.#turn(turn)
      }
    } finally {
      const isLost = this.#call.end !== undefined
      const { by, reason } = await this.#call.hangUp()
      if (isLost) this.#found('lost', `ended by ${by}: ${reason}; ${this.#call.findings.map(({ code, message, atMs }) => `${code} after ${Math.round(atMs)} ms: ${message}`).join('; ')}`)
      this.#judge()
    }
  }

  async #turn (number: number): Promise<void> {
    const { verdict, random } = this.#options
    const slot = random() < BOOKINGS ? `${this.#id.slice(-6)}-${number}` : undefined
    const wish: Wish | undefined = slot === undefined ? undefined : { call: this.#id, slot, said: undefined }
    if (wish !== undefined) verdict.wishes.push(wish)
    const text = slot === undefined ? question(number) : bookingOf(slot)
    const atMs = performance.now()
    const first = this.#call.ask(text)
    const reply = await this.#call.hear(first)
    if (reply.outcome !== 'completed') return
    const tries = this.#call.replies.length - this.#call.replies.indexOf(first)
    verdict.answers++
    verdict.cut += tries - 1
    verdict.waits.push({ atMs, ms: reply.askedMs + (reply.firstTokenMs ?? NaN) - first.askedMs })
    this.#check(reply.text, tries, text, wish)
  }

  #check (text: string, tries: number, asked: string, wish: Wish | undefined): void {
    const heard = readAnswer(text)
    if (heard === undefined) return this.#found('wrong words', JSON.stringify(text))
    // An answer that was cut off may have counted, or not.
    const { number, words } = heard
    if (number <= this.#answers || number > this.#answers + tries) this.#found('state lost', `answer ${number} after answer ${this.#answers}, asked for ${tries} times`)
    this.#answers = number
    if (wish !== undefined && words === booked(wish.slot)) wish.said = 'booked'
    else if (wish !== undefined && words === UNKNOWN) wish.said = 'unknown'
    // Nothing tells Millis that a server is frozen: its callers wait until that goes on, or fails.
    else if (this.#call instanceof MillisCaller && words.endsWith(APOLOGY)) this.#options.verdict.apologies++
    else if (wish !== undefined || words !== `You asked this: ${asked}`) this.#found('wrong words', JSON.stringify(words))
  }

  #judge (): void {
    const { verdict } = this.#options
    const greetings = this.#call.replies.filter(({ reason, text }) => reason === 'greeting' && text.trim() !== '').length
    const findings = this.#call.findings.filter(({ code }) => !BREAKS.has(code))
    if (greetings > 1 || findings.some(({ code }) => code === 'second-greeting')) this.#found('greeted twice', `in ${this.#redials + 1} connections`)
    else if (greetings === 0) verdict.ungreeted++
    const since = performance.now() - this.#call.elapsedMs
    for (const { code, message, atMs } of findings) if (!KNOWN.has(code)) verdict.found('finding', this.#id, `${code}: ${message}`, since + atMs)
  }

  #found (fault: Fault, what: string): void {
    this.#options.verdict.found(fault, this.#id, what)
  }
}
