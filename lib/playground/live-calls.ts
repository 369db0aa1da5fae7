/**
 * Follows the calls of this process: the live ones, the last ended ones, and the last turns.
 */
import type { Channel } from 'node:diagnostics_channel'
import type { FastifyBaseLogger } from 'fastify'
import type { Call, Turn } from '../contract/agent.js'
import { providers } from '../providers/index.js'
import {
  callChannel, callStartChannel, firstTokenChannel, turnChannel, turnStartChannel, type CallMessage, type CallStartMessage,
  type FirstTokenMessage, type TurnMessage, type TurnStartMessage
} from '../telemetry/channels.js'
import { loggedId, type TurnReport } from '../telemetry/report.js'
import type { LiveCallEvent, CallState, LiveTurn, TurnFigures } from './live-call-events.js'

/** More than a page can show. Further calls are only counted. */
const MAX_FOLLOWED = 100

/** Per call. */
const MAX_TURNS = 20

const MAX_ENDED = 20

/** Of all calls. */
const MAX_RECENT = 100

/** Labels of providers. Another version of this package may publish calls of other providers. */
const LABELS: ReadonlyMap<string, string> = new Map(providers.map(({ name, label }) => [name, label]))

interface Followed {
  readonly key: number
  readonly beganAt: number
  turns: number
  current: { readonly turn: Turn, readonly askedAt: number, firstTokenMs: number | undefined } | undefined
  readonly last: TurnFigures[]
}

/**
 * Subscribes to the channels until it is closed, and so sees the routes of every prefix. Holds live calls, and the figures of a
 * bounded number of ended ones.
 */
export class LiveCalls {
  readonly #tell: (event: LiveCallEvent) => void
  readonly #log: FastifyBaseLogger
  readonly #followed = new Map<Call, Followed>()
  readonly #others = new Set<Call>()
  /** The newest first. */
  readonly #ended: CallState[] = []
  readonly #recent: Array<{ readonly at: number } & Pick<TurnFigures, 'outcome' | 'firstTokenMs'>> = []
  readonly #subscriptions: Array<() => void> = []
  #calls = 0

  constructor (tell: (event: LiveCallEvent) => void, log: FastifyBaseLogger) {
    this.#tell = tell
    this.#log = log
    this.#subscribe<CallStartMessage>(callStartChannel, ({ call }) => this.#callStarted(call))
    this.#subscribe<TurnStartMessage>(turnStartChannel, ({ turn }) => this.#turnStarted(turn))
    this.#subscribe<FirstTokenMessage>(firstTokenChannel, ({ turn, firstTokenMs }) => this.#answered(turn, firstTokenMs))
    this.#subscribe<TurnMessage>(turnChannel, ({ turn, report }) => this.#turnEnded(turn, report))
    this.#subscribe<CallMessage>(callChannel, ({ call, summary }) => this.#callEnded(call, summary))
  }

  get #live (): number {
    return this.#followed.size + this.#others.size
  }

  /** The whole state, for a new client. */
  snapshot (): LiveCallEvent {
    return {
      type: 'snapshot',
      live: this.#live,
      calls: Array.from(this.#followed, ([call, followed]) => toState(call, followed)),
      ended: this.#ended,
      recent: this.#recent.map(({ at, ...turn }) => ({ ...turn, agoMs: since(at) }))
    }
  }

  /** Unsubscribes. */
  close (): void {
    for (const unsubscribe of this.#subscriptions) unsubscribe()
  }

  // An error in a subscriber would end the process, and another version of this package may publish on these channels.
  #subscribe<Message> (channel: Channel, receive: (message: Message) => void): void {
    const subscriber = (message: unknown): void => {
      try {
        receive(message as Message)
      } catch (err) {
        this.#log.debug({ err, channel: channel.name }, 'a message that cannot be shown')
      }
    }
    channel.subscribe(subscriber)
    this.#subscriptions.push(() => channel.unsubscribe(subscriber))
  }

  #callStarted (call: Call): void {
    if (this.#followed.size >= MAX_FOLLOWED) {
      this.#others.add(call)
      return this.#tell({ type: 'call-start', live: this.#live })
    }
    const followed: Followed = { key: ++this.#calls, beganAt: performance.now(), turns: 0, current: undefined, last: [] }
    this.#followed.set(call, followed)
    this.#tell({ type: 'call-start', live: this.#live, call: toState(call, followed) })
  }

  #turnStarted (turn: Turn): void {
    const { call } = turn
    const followed = this.#followed.get(call)
    if (followed === undefined) return
    followed.turns++
    followed.current = { turn, askedAt: performance.now(), firstTokenMs: undefined }
    this.#tell({ type: 'turn-start', key: followed.key, id: call.id, direction: call.direction, turn: toLiveTurn(followed.current) })
  }

  #answered (turn: Turn, firstTokenMs: number): void {
    const followed = this.#followed.get(turn.call)
    if (followed?.current === undefined) return
    followed.current.firstTokenMs = firstTokenMs
    this.#tell({ type: 'first-token', key: followed.key, firstTokenMs: round(firstTokenMs) })
  }

  // Turns of calls that are not followed count in the figures of all calls.
  #turnEnded ({ call }: Turn, report: TurnReport): void {
    const followed = this.#followed.get(call)
    const turn = toFigures(report)
    if (followed !== undefined) {
      followed.current = undefined
      push(followed.last, turn, MAX_TURNS)
    }
    push(this.#recent, { at: performance.now(), outcome: turn.outcome, firstTokenMs: turn.firstTokenMs }, MAX_RECENT)
    this.#tell({ type: 'turn-end', key: followed?.key, turn })
  }

  #callEnded (call: Call, { durationMs, code, limit }: CallMessage['summary']): void {
    if (this.#others.delete(call)) return this.#tell({ type: 'call-end', live: this.#live })
    const followed = this.#followed.get(call)
    if (followed === undefined) return
    this.#followed.delete(call)
    const ended: CallState = { ...toState(call, followed), ageMs: round(durationMs), code, limit }
    this.#ended.unshift(ended)
    this.#ended.splice(MAX_ENDED)
    this.#tell({ type: 'call-end', live: this.#live, call: ended })
  }
}

function toState ({ id, provider, direction }: Call, { key, beganAt, turns, current, last }: Followed): CallState {
  return { key, id, provider: LABELS.get(provider) ?? provider, direction, ageMs: since(beganAt), turns, current: current && toLiveTurn(current), last }
}

function toLiveTurn ({ turn, askedAt, firstTokenMs }: NonNullable<Followed['current']>): LiveTurn {
  return { id: loggedId(turn.id), reason: turn.reason, ageMs: since(askedAt), firstTokenMs: round(firstTokenMs) }
}

function toFigures ({ turnId, reason, outcome, firstTokenMs, fillerMs, firstSentenceMs, durationMs, tools }: TurnReport): TurnFigures {
  return { id: loggedId(turnId), reason, outcome, firstTokenMs: round(firstTokenMs), fillerMs: round(fillerMs), firstSentenceMs: round(firstSentenceMs), durationMs: round(durationMs), tools: tools.length }
}

function push<Item> (list: Item[], item: Item, max: number): void {
  list.push(item)
  if (list.length > max) list.shift()
}

function since (at: number): number {
  return round(performance.now() - at)
}

function round<Ms extends number | undefined> (ms: Ms): Ms {
  return (ms === undefined ? ms : Math.round(ms * 10) / 10) as Ms
}
