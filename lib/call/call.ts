import { randomUUID } from 'node:crypto'
import { context } from '@opentelemetry/api'
import type { FastifyBaseLogger } from 'fastify'
import { endCall, isAction, transferCall } from '../contract/agent.js'
import type {
  AgentConfig, EndCallOptions, InterjectOptions, Provider, TerminalAction, ToolAction, TransferCallOptions, Turn, TurnReason
} from '../contract/agent.js'
import type { Claim, Cluster } from '../cluster/cluster.js'
import { ActionError, CallEndedError, UnsupportedError } from '../contract/errors.js'
import { setHandover } from '../contract/handoff.js'
import {
  lacks, type CallFacts, type Codec, type Feature, type LeavingAction, type ProviderEvent, type Transcript, type TurnId
} from '../providers/codec.js'
import { callChannel, callStartChannel, turnChannel, turnStartChannel, type CallMessage, type CallStartMessage, type TurnMessage, type TurnStartMessage } from '../telemetry/channels.js'
import type { CallCeiling, Refusal } from '../telemetry/refusals.js'
import { toLogLine, type CallRecord, type TurnReport } from '../telemetry/report.js'
import { within } from '../telemetry/operation.js'
import type { CallTelemetry, Telemetry } from '../telemetry/telemetry.js'
import type { CallHooks, HookRunner } from './hooks.js'
import { Dismissal } from './dismissal.js'
import { Farewell } from './farewell.js'
import { CallHandover, type HandedOver } from './handover.js'
import type { CallEvent, Connection, ConnectionOwner } from './connection.js'
import { LastHeard } from './last-heard.js'
import type { CallLimits } from './limits.js'
import type { CallRegistry } from './registry.js'
import type { CallFigures, Legacy } from './snapshot.js'
import { Floor, type Speaker } from './speaker.js'
import { wereSaid, type Spoken } from './spoken.js'
import { Tally } from './tally.js'
import { ToolBook } from './tool-book.js'
import type { TurnOwner, TurnSettings } from './turn-owner.js'
import { LiveTurn } from './turn.js'

// A caller is waiting while onCallStart looks things up.
const START_HOOK_TIMEOUT_MS = 2_000

/** What is known of a call when it is over. */
type CallResult = Omit<CallRecord, 'callId' | 'provider' | 'startedAt'>

// Nobody closed the connection: it broke.
const ABNORMAL = 1006

const NOT_EXPECTED = 'the call is not expected: app.admitCall() was not told of it'

const NOTHING_HEARD: Transcript = { utterances: () => [], entries: () => [] }

/** What all calls of one registration share. A plain object: its functions are called without it. */
export interface CallHost extends TurnSettings {
  readonly calls: CallRegistry<LiveCall>
  /** Where what a call would leave behind is kept; undefined where there is no other node. */
  readonly cluster: Pick<Cluster, 'claim' | 'calls'> | undefined
  readonly hooks: HookRunner
  readonly limits: CallLimits
  /** Does the app expect a call with this id, or any call? Of ids in URLs it was asked before. */
  expects (id: string): boolean
  /** The call is over: it is not expected again. */
  over (id: string): void
  readonly telemetry: Telemetry
  /** Counts a refusal. */
  refused (reason: Refusal): void
  /** How long a call waits for its provider to dial again, in ms. */
  readonly reconnectGraceMs: number
  /** Makes a connection's log that of its call, whose id is final. */
  bindLog (log: FastifyBaseLogger, bindings: object): FastifyBaseLogger
  /** Is the server closing? Then no call waits for its provider. */
  isClosing (): boolean
}

/**
 * One live call: the provider's events in, turns out. Owns its turns and timers. A connection that breaks is no end: the
 * provider may dial again, and the call goes on over the new one.
 */
export class LiveCall implements TurnOwner, ConnectionOwner, HandedOver {
  readonly provider: Provider
  readonly state: Record<string, unknown> = {}
  telemetry: CallTelemetry | undefined

  readonly #host: CallHost
  readonly #farewell = new Farewell()
  readonly #tally: Tally
  readonly #baseLog: FastifyBaseLogger
  #connection: Connection
  /** In which its first socket opened. */
  readonly #context = context.active()
  /** Made when first used, as the id may change before. */
  #ownLog: FastifyBaseLogger | undefined
  #isNamed = false
  /** Did the provider say which call it is, after the URL did not? */
  #isIntroduced = false
  readonly #isAdmitted: boolean
  #id: string
  #facts: CallFacts | undefined

  // opening: the begin message is still owed; claiming: other nodes are asked for the call; gated: turns wait for onCallStart.
  #phase: 'opening' | 'claiming' | 'gated' | 'open' | 'ended' = 'opening'
  #handover: CallHandover | undefined
  /** Set while other nodes are asked: what is to be said then. */
  #first: LiveTurn | undefined
  #isForeign = false
  /** Was it asked anything before it was known whether another node had it? */
  #wasAsked = false
  /** Was the caller greeted, be it on another node? */
  #isGreeted = false
  /** It was told to go to another node. */
  #isLeft = false
  #beginTimer: NodeJS.Timeout | undefined
  #gateTimer: NodeJS.Timeout | undefined
  /** Set while the provider is not connected. */
  #awaited: NodeJS.Timeout | undefined
  #turn: LiveTurn | undefined
  #lastId: TurnId | undefined
  /** The greeting was cut off by a broken connection before its first word. */
  #owesGreeting = false
  #dropsAfterTurn = false
  /** Set once a ceiling was reached. */
  #dismissal: Dismissal | undefined
  #lacked: Set<Feature> | undefined
  /** Kept where somebody is told of it when the call is over. */
  readonly #heard: LastHeard | undefined
  readonly #book = new ToolBook()

  constructor (host: CallHost, id: string | undefined, connection: Connection, log: FastifyBaseLogger, claim?: Claim) {
    this.#host = host
    this.#isAdmitted = id !== undefined
    this.#id = id ?? randomUUID()
    this.provider = connection.codec.provider
    this.#connection = connection
    this.#baseLog = log
    this.#tally = new Tally(host.limits)
    if (host.hooks.has('onCallEnd')) this.#heard = new LastHeard()
    if (claim !== undefined) this.#take(claim)
  }

  get id (): string { return this.#id }
  get from (): string | undefined { return this.#facts?.from }
  get to (): string | undefined { return this.#facts?.to }
  get direction (): 'inbound' | 'outbound' | undefined { return this.#facts?.direction }
  get metadata (): Readonly<Record<string, unknown>> { return (this.#known.metadata ??= {}) }
  get variables (): Readonly<Record<string, string>> { return (this.#known.variables ??= {}) }
  get details (): unknown { return this.#facts?.details }
  get startedAt (): number { return this.#tally.startedAt }
  get completedTurns (): number { return this.#tally.completedTurns }
  get settings (): TurnSettings { return this.#host }
  get spoken (): readonly Spoken[] { return this.#book.spoken }
  get hasBegun (): boolean { return this.#phase !== 'opening' && this.#phase !== 'claiming' }
  get facts (): CallFacts | undefined { return this.#facts }
  get unfinished (): Spoken | undefined { return this.#turn === undefined || this.#turn.floor.tools.length === 0 ? undefined : this.#turn.floor }
  get isForeign (): boolean { return this.#isForeign }
  get node (): string { return this.#host.cluster!.calls.node }

  get figures (): CallFigures {
    return {
      ...this.#tally.figures,
      isGreeted: this.#isGreeted,
      ...(this.#lastId !== undefined && { lastId: this.#lastId }),
      leaving: this.#leaving
    }
  }

  get log (): FastifyBaseLogger {
    if (this.#ownLog !== undefined) return this.#ownLog
    const bindings = { callId: this.#id, provider: this.provider }
    return (this.#ownLog = this.#isNamed ? this.#host.bindLog(this.#baseLog, bindings) : this.#baseLog.child(bindings))
  }

  get #known (): CallFacts {
    return (this.#facts ??= { from: undefined, to: undefined, direction: undefined, metadata: undefined, variables: undefined, details: undefined })
  }

  get #codec (): Codec { return this.#connection.codec }
  get #speaker (): Speaker { return this.#connection.speaker }
  get #leaving (): LeavingAction | undefined { return this.#farewell.action }

  /** The provider's first connection stands: sends its opening frames and waits for the call to introduce itself. */
  open (): void {
    this.#host.calls.add(this)
    this.#connect(this.#connection)
    const begin = this.#codec.begin
    if (begin === undefined) return
    // What the provider told another node it need not tell again.
    if (this.#isForeign) this.#begin(this.#greeting(begin.id))
    else this.#beginTimer = setTimeout(() => this.#begin(this.#greeting(begin.id)), begin.waitMs)
  }

  /**
   * The provider dialled again, whether or not the older connection is known to be broken: the newer one wins. Nobody is
   * greeted twice; what was being said is lost, and is answered when the provider asks again.
   * @param greeting the turn id to greet with, where it came with the connection
   */
  resume (connection: Connection, greeting = connection.codec.begin?.id): void {
    const older = this.#connection
    this.#stopAwaiting()
    this.#suspend()
    this.#lastId = greeting
    this.#tally.redialled()
    this.#connect(connection)
    older.drop()
    this.log.info({ reconnects: this.#tally.reconnects }, 'call resumed')
    if (this.#phase === 'opening') return
    if (this.#phase === 'claiming') return this.#waitAgain(greeting)
    const leaving = this.#leaving
    if (greeting !== undefined && this.#owesGreeting && leaving === undefined) return this.#accept(this.#greeting(greeting))
    if (greeting !== undefined) this.#skip(greeting)
    if (leaving !== undefined) this.#leaveAgain(leaving)
  }

  // What waited for the other nodes was asked for over the older connection.
  #waitAgain (greeting: TurnId | undefined): void {
    const wasAsked = this.#first !== undefined && this.#first.reason !== 'greeting'
    this.#first = undefined
    if (greeting === undefined) return
    if (wasAsked) this.#skip(greeting)
    else this.#first = this.#greeting(greeting)
  }

  // The goodbye was said, and what was to follow it is lost. Outside a turn nobody can be shown as the caller.
  #leaveAgain (leaving: LeavingAction): void {
    this.#control({ ...leaving, say: '', ...(leaving.action === 'transfer-call' && { showCaller: false }) })
  }

  // From now on what another node would need is kept, and what one left is known.
  #take (claim: Claim): void {
    const handover = new CallHandover(this, claim)
    this.#handover = handover
    setHandover(this, handover)
    if (claim.status === 'resumed') this.inherit(handover.legacy())
  }

  /**
   * The provider dials again, for which this node may have claimed the call anew. Where another node went on with it
   * meanwhile, what is known here is out of date: it is over here.
   * @returns whether it goes on here
   */
  claimed (claim: Claim | undefined): boolean {
    const isOutdated = claim?.status === 'resumed' && claim.previousNode !== this.node && this.#handover?.isUnknown !== true
    if (isOutdated) this.moved()
    else if (claim !== undefined) this.#handover?.renew(claim)
    // It may have been elsewhere, which its words will show.
    if (claim?.status === 'unanswered') this.#wasAsked = false
    return !isOutdated
  }

  inherit ({ figures, facts, state, spoken }: Legacy): void {
    if (figures === undefined) return
    const { leaving } = figures
    const hadTurns = this.#tally.turns > 0
    this.#isForeign = true
    this.#isGreeted ||= figures.isGreeted
    this.#facts ??= facts
    // What was set here is newer.
    Object.assign(this.state, { ...state, ...this.state })
    this.#book.inherit(spoken)
    this.#tally.inherit(figures)
    this.#lastId ??= figures.lastId
    if (leaving === undefined || this.#leaving !== undefined || hadTurns) return
    if (!this.hasBegun || this.#awaited !== undefined) this.#farewell.plan(leaving)
    else this.#leaveAgain(leaving)
  }

  returned (id: string, content: string): void {
    this.#book.returned({ id, content })
  }

  /** Another node has the call, which is no end: here it says nothing more. */
  moved (): void {
    if (this.#phase === 'ended') return
    this.#handedOver(ABNORMAL)
    this.#connection.drop()
  }

  /** The connection is closed. Where the provider broke off it may dial again; any other close is the end. */
  disconnected (connection: Connection, code: number): void {
    if (connection !== this.#connection || this.#phase === 'ended') return
    const { reconnectGraceMs, isClosing } = this.#host
    const isLost = code === ABNORMAL && this.hasBegun
    if (this.#handover !== undefined && this.hasBegun && (this.#isLeft || (isLost && isClosing()))) return this.#leftBehind(code)
    if (!isLost || reconnectGraceMs === 0 || isClosing()) return this.#ended(code)
    this.log.info('provider lost, the call waits for it to dial again')
    this.#host.calls.countWaiting(this.provider, 1)
    this.#awaited = setTimeout(() => this.#ended(code), reconnectGraceMs)
    this.#suspend()
  }

  /** The server is closing: if the provider is to dial again, it will reach another node. */
  stopWaiting (): void {
    if (this.#awaited === undefined) return
    if (this.#handover === undefined) this.#ended(ABNORMAL)
    else this.#leftBehind(ABNORMAL)
  }

  /** Leaves the call to another node: at once where the provider dials again, else after the live turn. One that is being ended is let end. */
  leave (): void {
    const isBusy = this.#leaving !== undefined || (this.#turn !== undefined && this.#codec.redialCode !== undefined)
    if (isBusy) this.#dropsAfterTurn = true
    else this.drop()
  }

  /** Leaves the call to another node, at once; one that is being ended is over. */
  drop (): void {
    const isEnding = this.#leaving?.action === 'end-call'
    this.#farewell.hurry()
    this.#isLeft = !isEnding
    if (isEnding) this.#connection.hangUp()
    else this.#connection.drop()
  }

  // Another node goes on with it, once the provider dials again.
  #leftBehind (code: number): void {
    this.#handedOver(code)
    this.#handover?.leave()
  }

  #handedOver (code: number): void {
    const introduced = this.hasBegun
    const figures = this.#stop(code)
    this.#within(() => {
      this.log.info(figures, 'call handed over')
      if (introduced) this.#tell({ ...figures, handedOver: true })
    })
  }

  #ended (code: number): void {
    const introduced = this.hasBegun
    const figures = this.#stop(code)
    if (introduced) this.#host.over(this.#id)
    if (introduced) this.#handover?.end()
    else this.#handover?.forgo()
    this.#within(() => {
      this.log.info(figures, 'call ended')
      if (introduced) this.#record(figures)
    })
  }

  // It is over here.
  #stop (code: number): CallResult {
    this.#phase = 'ended'
    clearTimeout(this.#beginTimer)
    clearTimeout(this.#gateTimer)
    this.#stopAwaiting()
    this.#dismissal?.end()
    this.#farewell.cancel()
    this.#turn?.abort('hang-up')
    this.#host.calls.remove(this)
    return { code, ...this.#tally.result, ...(this.#dismissal !== undefined && { limit: this.#dismissal.limit }) }
  }

  #tell (result: CallResult): CallRecord {
    const record: CallRecord = { callId: this.#id, provider: this.provider, startedAt: this.startedAt, ...result }
    this.telemetry?.end(record)
    if (callChannel.hasSubscribers) callChannel.publish({ call: this, summary: record } satisfies CallMessage)
    return record
  }

  #record (result: CallResult): void {
    const record = this.#tell(result)
    const summary = this.#heard?.summary(record)
    if (summary !== undefined) this.#later('onCallEnd', hooks => hooks.onCallEnd?.(this, summary))
  }

  // What the app does for the call belongs to it, whoever has it done.
  #within (work: () => void): void {
    within(this.telemetry, work)
  }

  async interject (text: string, options: InterjectOptions = {}): Promise<void> {
    this.#assertLive()
    const interjection = this.#supported(this.#codec.interjection, 'interject')
    if (typeof text !== 'string' || text === '') throw new ActionError('interject: text must be a string with something in it')
    if (this.#phase === 'opening') this.#begin()
    this.#turn?.finish('interjected', '')
    // The provider drops what was still on its way, be it the end of the call.
    this.#farewell.revoke()
    this.#said(text)
    this.#speaker.send(interjection.call(this.#codec, this.#tally.controlled(), text, options.interruptible !== true))
  }

  async end (options: EndCallOptions = {}): Promise<void> {
    this.#leave(endCall(options))
  }

  async transfer (destination: string, options: TransferCallOptions = {}): Promise<void> {
    this.#leave(transferCall(destination, options))
  }

  async sendMetadata (metadata: Record<string, unknown>): Promise<void> {
    this.#assertLive()
    this.#speaker.send(this.#supported(this.#codec.metadata, 'metadata').call(this.#codec, metadata))
  }

  async updateAgent (config: AgentConfig): Promise<void> {
    this.#assertLive()
    this.#speaker.send(this.#supported(this.#codec.agentConfig, 'update-agent').call(this.#codec, config))
  }

  record (entry: ToolAction, by?: Turn): boolean {
    if (!isAction(entry) || (entry.action !== 'tool-call' && entry.action !== 'tool-result')) {
      throw new ActionError('record: entry must be made by toolCall or toolResult')
    }
    const turn = this.#turn
    if (entry.action === 'tool-call' && (turn === undefined || (by !== undefined && by.id !== turn.id))) {
      throw new ActionError('record: no turn is live that could call a tool')
    }
    const isNews = entry.action === 'tool-call' ? this.#book.called(entry, turn!.floor) : this.#book.returned(entry)
    if (isNews) this.#keep(entry, turn)
    if (isNews && this.#codec.toolRecord !== undefined) this.#speaker.send(this.#codec.toolRecord(entry))
    if (isNews) turn?.recorded(entry)
    else if (entry.action === 'tool-call') turn!.part()
    return isNews
  }

  // A turn that calls a tool is kept as it is by then, as its node may die while the tool runs.
  #keep (entry: ToolAction, turn: LiveTurn | undefined): void {
    if (entry.action === 'tool-result') this.#handover?.returned(entry.id, entry.content)
    else this.#keepLive(turn!)
  }

  // The provider's transcript does not tell a filler from an answer. Another node that continues the call needs this record to do so.
  saidInPassing (turn: LiveTurn): void {
    this.#keepLive(turn)
  }

  #keepLive (turn: LiveTurn): void {
    if (this.#handover === undefined) return
    turn.place()
    this.#handover.changed(this.#book.spoken.length, turn.floor)
  }

  countTokens (tokens: number): void {
    if (!Number.isFinite(tokens) || tokens < 0) throw new ActionError('countTokens: tokens is a number, 0 or more')
    this.#judge(this.#tally.spent(tokens))
  }

  waitUntil (work: Promise<unknown>): void {
    this.#host.hooks.waitFor(this.log, work)
  }

  #connect (connection: Connection): void {
    this.#connection = connection
    connection.owner = this
    for (const frame of connection.codec.opening) connection.speaker.send(frame)
  }

  // What was being said or waited for goes no further.
  #suspend (): void {
    this.#farewell.cancel()
    this.#turn?.abort('disconnected')
  }

  received (bytes: number): boolean {
    const isFlood = this.#judge(this.#tally.received(bytes))
    if (isFlood) this.#connection.deafen()
    return !isFlood
  }

  pulse (): void {
    this.#judge(this.#tally.pulse())
  }

  // Ends the call where a ceiling is reached, once. Returns whether one is.
  #judge (reached: CallCeiling | undefined): boolean {
    if (reached === undefined) return false
    if (this.#dismissal === undefined && this.#phase !== 'ended') this.#within(() => this.#reach(reached))
    return true
  }

  #reach (limit: CallCeiling): void {
    this.#host.refused(limit)
    // Nobody is there to whom anything could be said.
    if (!this.hasBegun) return this.#connection.reject(`the call exceeds ${limit}`)
    this.#dismissal = new Dismissal(limit)
    this.log.warn({ limit }, 'the call is ended, as it reached a ceiling')
    this.#dismiss(this.#dismissal)
  }

  // Again to who talks on. A call that is being left anyway, or whose provider is away, needs no more words.
  #dismiss (dismissal: Dismissal): void {
    if (this.#leaving?.action === 'transfer-call') return
    dismissal.begin(() => this.#connection.hangUp())
    if (this.#awaited !== undefined) this.#farewell.plan(endCall())
    else if (this.#leaving === undefined) this.#leave(dismissal.goodbye(() => this.#host.limits.goodbye(this, dismissal.limit)))
  }

  #stopAwaiting (): void {
    if (this.#awaited === undefined) return
    clearTimeout(this.#awaited)
    this.#awaited = undefined
    this.#host.calls.countWaiting(this.provider, -1)
  }

  /** Deals with one event of the provider's. */
  handle (event: CallEvent, bytes: number): void {
    switch (event.type) {
      case 'started':
        return this.#started(event)
      case 'asked': {
        if (!this.#isExpected(this.#id)) return
        const turn = this.#newTurn(event.id, event.reason, event.transcript)
        if (this.#phase === 'claiming') {
          this.#first = turn
          return
        }
        this.#recognise(turn)
        return this.#phase === 'opening' ? this.#begin(turn) : this.#accept(turn)
      }
      case 'update':
        return this.#updated(event.read, bytes)
      case 'interrupted':
        if (this.#turn?.id === event.id) this.#turn.abort('interrupted')
        return
      case 'played':
        return this.#farewell.played(event.id)
      case 'ignored':
        return this.#ignored(event.why, event.malformed, bytes)
    }
  }

  #started (event: Extract<ProviderEvent, { type: 'started' }>): void {
    const known = event.id === undefined ? this : this.#host.calls.find(this.provider, event.id) ?? this
    if (event.id !== undefined && event.id !== this.#id && !this.#isIntroduced) {
      if (this.#host.calls.redials.isExceeded(this.provider, event.id)) return this.#refuse('redials', 'the call is dialled again too often')
      if (known !== this) this.#host.calls.redials.count(this.provider, event.id)
    }
    if (known !== this && !this.hasBegun) return this.#handOver(known, event)
    if (event.id !== undefined && event.id !== this.#id && this.#isIntroduced) {
      // Whoever has said which call it is ends nobody else's, and gets no other in the place of one that was expected.
      if (known !== this || !this.#host.expects(event.id)) return this.#ignored('it is another call', false, 0)
      this.#host.over(this.#id)
    }
    this.#isIntroduced ||= event.id !== undefined
    if (!this.#isExpected(event.id ?? this.#id)) return
    if (known !== this) {
      // Of two calls that both went on, the newer one is where the caller is.
      known.#ended(ABNORMAL)
      known.drop()
    }
    this.#facts = event.facts
    // A call that is on here was dialled again here.
    this.#isForeign ||= event.resumed && !this.hasBegun && this.#handover?.wasUnknown === true
    if (event.id !== undefined && event.id !== this.#id) this.#rename(event.id)
    this.#isNamed = true
    if (this.hasBegun) {
      // An earlier introduction had no id to greet with.
      if (event.greeting !== undefined && this.#tally.turns === 0 && this.#leaving === undefined) this.#accept(this.#greeting(event.greeting))
      return
    }
    const greeting = event.resumed ? undefined : event.greeting ?? this.#codec.begin?.id
    this.#begin(greeting === undefined ? undefined : this.#greeting(greeting))
  }

  // Words of ours that nobody said here: another node did. Judged by the first request, as turns that were cut off may be
  // told in one later on.
  #recognise ({ transcript }: LiveTurn): void {
    if (this.#handover?.wasUnknown !== true || this.#wasAsked) return
    this.#wasAsked = true
    const turns = this.#turn === undefined ? this.spoken : [...this.spoken, this.#turn.floor]
    this.#isForeign ||= !wereSaid(transcript.filter(({ role }) => role === 'agent').map(({ content }) => content), turns)
  }

  #isExpected (id: string): boolean {
    // Of other nodes' it is not known yet.
    if (this.hasBegun || this.#isAdmitted || this.#host.cluster !== undefined || this.#host.expects(id)) return true
    this.#refuse('call', NOT_EXPECTED)
    return false
  }

  #refuse (reason: Refusal, why: string): void {
    this.#host.refused(reason)
    this.#connection.reject(why)
  }

  // The connection belongs to a call that is known, so this one never was.
  #handOver (known: LiveCall, event: Extract<ProviderEvent, { type: 'started' }>): void {
    this.#phase = 'ended'
    clearTimeout(this.#beginTimer)
    this.#host.calls.remove(this)
    known.#facts = event.facts
    known.resume(this.#connection, event.greeting)
    // Its newest socket is what other nodes are to go by.
    if (known.#handover !== undefined) known.#claim()
  }

  #rename (id: string): void {
    this.#host.calls.rename(this, () => { this.#id = id })
    this.#ownLog = undefined
    // They were asked for another one.
    if (this.#phase === 'claiming' || this.#handover !== undefined) this.#claim()
  }

  #newTurn (id: TurnId, reason: TurnReason, heard: Transcript): LiveTurn {
    return new LiveTurn(this, this.#connection, new Floor(id), reason, heard)
  }

  #greeting (id: TurnId): LiveTurn {
    return this.#newTurn(id, 'greeting', NOTHING_HEARD)
  }

  // The call is on. Its first turn, if it has one by now, is accepted before onCallStart, which may end it, and asked after.
  #begin (first?: LiveTurn): void {
    if (this.#phase === 'claiming') {
      this.#first ??= first
      return
    }
    clearTimeout(this.#beginTimer)
    this.#beginTimer = undefined
    if (this.#host.cluster === undefined || this.#handover !== undefined) return this.#enter(first)
    // Its URL did not say which call it is.
    this.#phase = 'claiming'
    this.#first = first
    this.#lastId = first?.id
    this.#claim()
  }

  #claim (): void {
    const id = this.#id
    // Never rejects.
    void this.#host.cluster!.claim({ provider: this.provider, id }).then(claim => this.#answered(id, claim)) // eslint-disable-line no-void
  }

  #answered (id: string, claim: Claim): void {
    if (id !== this.#id || this.#phase === 'ended') return claim.lease.leave()
    if (this.#phase !== 'claiming') return this.#handover!.replace(claim)
    this.#phase = 'opening'
    if (!claim.isAdmitted && !this.#host.expects(this.#id)) {
      claim.lease.leave()
      return this.#refuse('call', NOT_EXPECTED)
    }
    if (claim.status === 'resumed') this.#host.calls.redials.count(this.provider, this.#id)
    const isLeaving = this.#leaving !== undefined
    this.#take(claim)
    const first = this.#first
    this.#first = undefined
    if (first !== undefined && first.reason !== 'greeting') this.#recognise(first)
    this.#enter(first, !isLeaving)
  }

  /** @param inherits whether, if it is being left, another node was leaving it */
  #enter (first: LiveTurn | undefined, inherits = true): void {
    // Who was greeted, or is not to be any more, is not greeted.
    const isSilent = first?.reason === 'greeting' && (this.#isGreeted || this.#leaving !== undefined)
    if (isSilent && first.id !== this.#codec.begin?.id) this.#skip(first.id)
    this.#phase = 'gated'
    this.telemetry = this.#host.telemetry.startCall(this, this.#tally.since, this.#context)
    this.#within(() => this.#run(isSilent ? undefined : first, inherits ? this.#leaving : undefined))
  }

  #run (first: LiveTurn | undefined, leaving: LeavingAction | undefined): void {
    if (this.#isForeign) this.log.info({ reconnects: this.#tally.reconnects }, 'call taken over')
    else this.log.info('call started')
    if (callStartChannel.hasSubscribers) callStartChannel.publish({ call: this } satisfies CallStartMessage)
    this.#payBegin(first)
    if (first !== undefined) this.#accept(first)
    else if (leaving !== undefined) this.#leaveAgain(leaving)
    this.#handover?.changed()
    const name = this.#isForeign ? 'onCallResume' : 'onCallStart'
    this.#gate(name, this.#host.hooks.run(this.log, name, hooks => hooks[name]?.(this)))
  }

  #gate (name: string, started: void | Promise<void>): void {
    const open = (): void => {
      if (this.#phase !== 'gated') return
      this.#phase = 'open'
      clearTimeout(this.#gateTimer)
      this.#handover?.changed()
      this.#turn?.start()
    }
    if (started === undefined) return open()
    this.#gateTimer = setTimeout(() => {
      this.log.warn(`${name} is slow, turns no longer wait for it`)
      open()
    }, START_HOOK_TIMEOUT_MS)
    started.then(open, open)
  }

  // From here on the older turn is dead: the newer one has the floor before the older one's agent, or anybody's hook, is
  // told, and the newer one's agent is called last.
  #accept (turn: LiveTurn): void {
    const older = this.#turn
    // Whatever asked with its id.
    if (older !== undefined && older.id === this.#codec.begin?.id && older.floor.characters === 0) this.#payBegin(turn)
    const wasLeaving = this.#farewell.revoke()
    this.#owesGreeting = false
    this.#turn = turn
    this.#lastId = turn.id
    this.#speaker.give(turn.floor)
    older?.abort('superseded')
    // Another node would leave it.
    if (wasLeaving) this.#handover?.changed()
    if (turnStartChannel.hasSubscribers) turnStartChannel.publish({ turn } satisfies TurnStartMessage)
    this.#judge(this.#tally.asked())
    if (this.#dismissal !== undefined) this.#dismiss(this.#dismissal)
    if (this.#phase === 'open') turn.start()
  }

  // The provider waits in silence for its begin message, so where no turn speaks it, an empty one is sent.
  #payBegin (next: LiveTurn | undefined): void {
    const begin = this.#codec.begin
    if (begin !== undefined && begin.id !== next?.id) this.#skip(begin.id)
  }

  // Answers with silence.
  #skip (id: TurnId): void {
    const floor = new Floor(id)
    this.#speaker.give(floor)
    this.#speaker.complete(floor, '')
  }

  #updated (read: Extract<ProviderEvent, { type: 'update' }>['read'], bytes: number): void {
    const opening = this.#phase === 'opening'
    const listens = this.#host.hooks.has('onTranscript')
    if (!opening && !listens) return
    const update = read()
    if (update === undefined) return this.#ignored('broken update', true, bytes)
    // Words of ours on a call that we have not greeted: it began on another socket, so it must not be greeted again.
    if (opening && update.transcript?.some(({ role }) => role === 'agent') === true) {
      this.#isForeign ||= this.#handover?.wasUnknown === true
      this.#begin()
    }
    const { transcript } = update
    if (transcript !== undefined) this.#heard?.updated(transcript)
    if (listens && this.hasBegun) this.#within(() => this.#later('onTranscript', hooks => hooks.onTranscript?.(this, update)))
  }

  #ignored (why: string, malformed: boolean, bytes: number): void {
    if (malformed && this.#tally.malformed() === 1) return this.log.warn({ why, bytes }, 'malformed frame ignored')
    this.log.debug({ why, bytes }, 'frame ignored')
  }

  turnBegun (turn: LiveTurn): void {
    if (turn.reason !== 'greeting' || this.#isGreeted) return
    // Ahead of the words: another node that greets once more is worse than one that does not.
    this.#isGreeted = true
    this.#handover?.save({})
  }

  turnEnded (turn: LiveTurn, report: TurnReport, afterPlayback: readonly string[], action?: TerminalAction): void {
    if (this.#turn === turn) this.#turn = undefined
    const index = this.#book.spoken.length
    this.#book.add(turn.floor)
    if (report.outcome === 'completed') this.#tally.completed()
    if (report.outcome === 'disconnected') this.#owesGreeting = turn.reason === 'greeting' && report.characters === 0
    if (action !== undefined && action.action !== 'press-digits') this.#farewell.begin(action, this.#connection, turn.id, report.characters, afterPlayback)
    this.#isGreeted ||= report.characters > 0
    // The caller has heard of it by now, or is about to.
    this.#handover?.changed(index, this.#book.spoken[index])
    this.#handover?.flush()
    this.#heard?.turnEnded(turn)
    this.log.info(toLogLine(report), 'turn ended')
    if (turnChannel.hasSubscribers) turnChannel.publish({ turn, report } satisfies TurnMessage)
    this.#later('onTurnEnd', hooks => hooks.onTurnEnd?.(turn, report))
    if (this.#dropsAfterTurn && this.#turn === undefined && this.#leaving === undefined) this.drop()
  }

  // Hooks run after the frame that caused them was dealt with, so that none can act on a call between two states.
  #later (name: keyof CallHooks, hook: (hooks: CallHooks) => void | Promise<void>): void {
    if (!this.#host.hooks.has(name)) return
    queueMicrotask(() => { this.#host.hooks.run(this.log, name, hook) }) // eslint-disable-line @typescript-eslint/no-floating-promises
  }

  #leave (action: LeavingAction): void {
    this.#assertLive()
    if (action.action === 'transfer-call' && action.showCaller) this.#supported(!lacks(this.#codec, 'show-caller') || undefined, 'show-caller')
    if (this.#phase === 'opening') this.#begin()
    if (this.#leaving !== undefined) return
    if (this.#turn !== undefined) this.#turn.finish('ended', action.say, action)
    else this.#control(action)
  }

  // Outside a turn.
  #said (text: string): void {
    const index = this.#book.spoken.length
    this.#book.said(text)
    this.#handover?.changed(index, this.#book.spoken[index])
  }

  #control (action: LeavingAction): void {
    const frames = this.#codec.control(this.#tally.controlled(), this.#lastId, action)
    for (const frame of frames.now) this.#speaker.send(frame)
    this.#farewell.begin(action, this.#connection, this.#lastId, action.say.length, frames.afterPlayback)
    this.#said(action.say)
  }

  #assertLive (): void {
    if (this.#phase === 'ended' || this.#awaited !== undefined) throw new CallEndedError()
  }

  #supported<T> (value: T | undefined, feature: Feature): T {
    if (value === undefined) throw new UnsupportedError(feature, this.provider)
    return value
  }

  lacks (feature: Feature): void {
    this.#lacked ??= new Set()
    if (this.#lacked.has(feature)) return
    this.#lacked.add(feature)
    this.log.warn({ err: new UnsupportedError(feature, this.provider) }, 'action ignored')
  }
}
