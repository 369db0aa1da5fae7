import type { FastifyBaseLogger } from 'fastify'
import { endCall, transferCall } from '../agent.js'
import type {
  AgentConfig, Call, EndCallOptions, InterjectOptions, Provider, Reply, TerminalAction, TransferCallOptions, Turn
} from '../agent.js'
import { ActionError, CallEndedError, UnsupportedError } from '../errors.js'
import type { CallFacts, Feature, Protocol, ProviderEvent, Transcript, TurnId } from '../protocols/protocol.js'
import { logFailure } from '../telemetry/failure.js'
import type { TurnReport } from '../telemetry/report.js'
import type { DeadlineSettings } from './deadlines.js'
import { runHook, type CallHooks } from './hooks.js'
import { Playback } from './playback.js'
import type { CallRegistry } from './registry.js'
import { Floor, Speaker, type Socket } from './speaker.js'
import { LiveTurn, type TurnHost } from './turn.js'

// A caller is waiting while onCallStart looks things up.
const START_HOOK_TIMEOUT_MS = 2_000

const NOTHING_HEARD: Transcript = { utterances: () => [], entries: () => [] }

/** What all calls of one registration share. */
export interface CallHost {
  readonly calls: CallRegistry<LiveCall>
  readonly hooks: CallHooks
  readonly leadingAssistant: boolean
  readonly deadlines: DeadlineSettings
  /** Calls the user's agent. */
  ask (turn: Turn): Reply
  /** What the caller hears when the agent failed. Never throws. */
  fallback (turn: Turn, error: unknown): string
  /** What the caller hears while an agent is silent. Never throws. */
  filler (turn: Turn): string
}

/**
 * One live call: the provider's events in, turns out. Owns its turns and timers; the socket is closed by the provider,
 * or by {@link LiveCall.drop} and whoever else made it.
 */
export class LiveCall implements Call {
  readonly provider: Provider
  readonly state: Record<string, unknown> = {}

  readonly #host: CallHost
  readonly #socket: Socket
  readonly #protocol: Protocol
  readonly #speaker: Speaker
  readonly #turnHost: TurnHost
  readonly #playback = new Playback()
  readonly #openedAt = performance.now()
  readonly #baseLog: FastifyBaseLogger
  #log: FastifyBaseLogger
  #id: string
  #facts: CallFacts = {}

  // opening: the begin message is still owed; gated: turns wait for onCallStart.
  #phase: 'opening' | 'gated' | 'open' | 'ended' = 'opening'
  #beginTimer: NodeJS.Timeout | undefined
  #gateTimer: NodeJS.Timeout | undefined
  #turn: LiveTurn | undefined
  #lastId: TurnId | undefined
  #leaving = false
  #turns = 0
  #controls = 0
  #malformed = 0
  readonly #lacked = new Set<Feature>()
  readonly #inPassing = new Set<string>()

  constructor (host: CallHost, id: string, protocol: Protocol, socket: Socket, log: FastifyBaseLogger) {
    this.#host = host
    this.#id = id
    this.provider = protocol.provider
    this.#protocol = protocol
    this.#socket = socket
    this.#speaker = new Speaker(socket, protocol)
    this.#baseLog = log
    this.#log = log.child({ callId: id, provider: protocol.provider })
    this.#turnHost = {
      call: this,
      speaker: this.#speaker,
      protocol,
      leadingAssistant: host.leadingAssistant,
      inPassing: this.#inPassing,
      deadlines: host.deadlines,
      ask: turn => host.ask(turn),
      fallback: (turn, error) => host.fallback(turn, error),
      filler: turn => host.filler(turn),
      saidInPassing: text => { this.#inPassing.add(text) },
      lacks: feature => this.#lacks(feature),
      turnEnded: (turn, report, afterPlayback, action) => this.#turnEnded(turn, report, afterPlayback, action)
    }
  }

  get id (): string { return this.#id }
  get from (): string | undefined { return this.#facts.from }
  get to (): string | undefined { return this.#facts.to }
  get direction (): 'inbound' | 'outbound' | undefined { return this.#facts.direction }
  get metadata (): Readonly<Record<string, unknown>> { return this.#facts.metadata ?? {} }
  get variables (): Readonly<Record<string, string>> { return this.#facts.variables ?? {} }
  get details (): unknown { return this.#facts.details }
  get log (): FastifyBaseLogger { return this.#log }

  /** The socket is open: sends the provider's opening frames and starts to wait for the call to introduce itself. */
  open (): void {
    this.#register()
    for (const frame of this.#protocol.opening) this.#speaker.send(frame)
    const begin = this.#protocol.begin
    if (begin !== undefined) this.#beginTimer = setTimeout(() => this.#begin(this.#greeting(begin.id)), begin.waitMs)
  }

  /** Reads one frame. Never throws, and never waits. */
  receive (data: Buffer, binary: boolean): void {
    if (this.#phase === 'ended') return
    try {
      this.#handle(this.#protocol.decode(data, binary), data.length)
    } catch (error) {
      logFailure(this.#log, error, 'frame could not be handled')
    }
  }

  /** The socket is closed: the call is over. */
  closed (code: number): void {
    if (this.#phase === 'ended') return
    const introduced = this.#phase !== 'opening'
    this.#phase = 'ended'
    clearTimeout(this.#beginTimer)
    clearTimeout(this.#gateTimer)
    this.#playback.cancel()
    this.#turn?.abort('hang-up')
    this.#host.calls.remove(this)
    const summary = {
      code,
      durationMs: performance.now() - this.#openedAt,
      turns: this.#turns,
      malformedFrames: this.#malformed
    }
    this.#log.info(summary, 'call ended')
    if (introduced) this.#later('onCallEnd', hooks => hooks.onCallEnd?.(this, summary))
  }

  /** Closes the socket in such a way that the provider tries another node where it can. */
  drop (): void {
    if (this.provider === 'retell') this.#socket.terminate()
    else this.#socket.close(1001, 'server is closing')
  }

  async interject (text: string, options: InterjectOptions = {}): Promise<void> {
    this.#assertLive()
    const interjection = this.#supported(this.#protocol.interjection, 'interject')
    if (typeof text !== 'string' || text === '') throw new ActionError('interject: text must be a string with something in it')
    if (this.#phase === 'opening') this.#begin()
    this.#turn?.finish('interjected', '')
    // The provider drops what was still on its way, be it the end of the call.
    this.#leaving = false
    this.#speaker.send(interjection.call(this.#protocol, ++this.#controls, text, options.interruptible !== true))
  }

  async end (options: EndCallOptions = {}): Promise<void> {
    this.#leave(endCall(options))
  }

  async transfer (destination: string, options: TransferCallOptions = {}): Promise<void> {
    this.#leave(transferCall(destination, options))
  }

  async sendMetadata (metadata: Record<string, unknown>): Promise<void> {
    this.#assertLive()
    this.#speaker.send(this.#supported(this.#protocol.metadata, 'metadata').call(this.#protocol, metadata))
  }

  async updateAgent (config: AgentConfig): Promise<void> {
    this.#assertLive()
    this.#speaker.send(this.#supported(this.#protocol.agentConfig, 'update-agent').call(this.#protocol, config))
  }

  // Of two sockets for one call the newer wins: the provider has given the older one up.
  #register (): void {
    const older = this.#host.calls.find(this.provider, this.#id)
    this.#host.calls.add(this)
    older?.drop()
  }

  #handle (event: ProviderEvent, bytes: number): void {
    switch (event.type) {
      case 'keepalive':
        return this.#speaker.send(event.reply)
      case 'started':
        return this.#started(event)
      case 'asked': {
        const turn = new LiveTurn(this.#turnHost, new Floor(event.id), event.reason, event.transcript)
        return this.#phase === 'opening' ? this.#begin(turn) : this.#accept(turn)
      }
      case 'update':
        return this.#updated(event.read, bytes)
      case 'interrupted':
        if (this.#turn?.id === event.id) this.#turn.abort('interrupted')
        return
      case 'played':
        return this.#playback.played(event.id)
      case 'ignored':
        return this.#ignored(event.why, event.malformed, bytes)
    }
  }

  #started (event: Extract<ProviderEvent, { type: 'started' }>): void {
    this.#facts = event.facts
    if (event.id !== undefined && event.id !== this.#id) {
      this.#host.calls.remove(this)
      this.#id = event.id
      this.#log = this.#baseLog.child({ callId: event.id, provider: this.provider })
      this.#register()
    }
    if (this.#phase !== 'opening') {
      // An earlier introduction had no id to greet with.
      if (event.greeting !== undefined && this.#turns === 0 && !this.#leaving) this.#accept(this.#greeting(event.greeting))
      return
    }
    const greeting = event.resumed ? undefined : event.greeting ?? this.#protocol.begin?.id
    this.#begin(greeting === undefined ? undefined : this.#greeting(greeting))
  }

  #greeting (id: TurnId): LiveTurn {
    return new LiveTurn(this.#turnHost, new Floor(id), 'greeting', NOTHING_HEARD)
  }

  // The call is on. Its first turn, if it has one by now, is accepted before onCallStart, which may end it, and asked after.
  #begin (first?: LiveTurn): void {
    clearTimeout(this.#beginTimer)
    this.#phase = 'gated'
    this.#log.info('call started')
    this.#payBegin(first)
    if (first !== undefined) this.#accept(first)
    this.#gate(runHook(this.#log, 'onCallStart', () => this.#host.hooks.onCallStart?.(this)))
  }

  #gate (started: void | Promise<void>): void {
    const open = (): void => {
      if (this.#phase !== 'gated') return
      this.#phase = 'open'
      clearTimeout(this.#gateTimer)
      this.#turn?.start()
    }
    if (started === undefined) return open()
    this.#gateTimer = setTimeout(() => {
      this.#log.warn('onCallStart is slow, turns no longer wait for it')
      open()
    }, START_HOOK_TIMEOUT_MS)
    started.then(open, open)
  }

  // From here on the older turn is dead: the newer one has the floor before the older one's agent, or anybody's hook, is
  // told, and the newer one's agent is called last.
  #accept (turn: LiveTurn): void {
    const older = this.#turn
    if (older?.reason === 'greeting' && older.floor.characters === 0) this.#payBegin(turn)
    this.#playback.cancel()
    this.#leaving = false
    this.#turn = turn
    this.#lastId = turn.id
    this.#turns++
    this.#speaker.give(turn.floor)
    older?.abort('superseded')
    if (this.#phase === 'open') turn.start()
  }

  // The provider waits in silence for its begin message, so where no turn speaks it, an empty one is sent.
  #payBegin (next: LiveTurn | undefined): void {
    const begin = this.#protocol.begin
    if (begin === undefined || begin.id === next?.id) return
    const floor = new Floor(begin.id)
    this.#speaker.give(floor)
    this.#speaker.complete(floor, '')
  }

  #updated (read: Extract<ProviderEvent, { type: 'update' }>['read'], bytes: number): void {
    const opening = this.#phase === 'opening'
    const listens = this.#host.hooks.onTranscript !== undefined
    if (!opening && !listens) return
    const update = read()
    if (update === undefined) return this.#ignored('broken update', true, bytes)
    // Words of ours on a call that we have not greeted: it began on another socket, so it must not be greeted again.
    if (opening && update.transcript?.some(({ role }) => role === 'agent') === true) this.#begin()
    if (listens) this.#later('onTranscript', hooks => hooks.onTranscript?.(this, update))
  }

  #ignored (why: string, malformed: boolean, bytes: number): void {
    if (malformed && ++this.#malformed === 1) return this.#log.warn({ why, bytes }, 'malformed frame ignored')
    this.#log.debug({ why, bytes }, 'frame ignored')
  }

  #turnEnded (turn: LiveTurn, report: TurnReport, afterPlayback: readonly string[], action?: TerminalAction): void {
    if (this.#turn === turn) this.#turn = undefined
    this.#afterPlayback(turn.id, report.characters, afterPlayback)
    if (action !== undefined && action.action !== 'press-digits') this.#leaving = true
    const { error, ...figures } = report
    this.#log.debug({ turnId: turn.id, ...figures }, 'turn ended')
    this.#later('onTurnEnd', hooks => hooks.onTurnEnd?.(turn, report))
  }

  #afterPlayback (id: TurnId, characters: number, frames: readonly string[]): void {
    if (frames.length > 0) this.#playback.wait(id, characters, () => frames.forEach(frame => this.#speaker.send(frame)))
  }

  // Hooks run after the frame that caused them was dealt with, so that none can act on a call between two states.
  #later (name: keyof CallHooks, hook: (hooks: CallHooks) => void | Promise<void>): void {
    if (this.#host.hooks[name] === undefined) return
    queueMicrotask(() => { runHook(this.#log, name, () => hook(this.#host.hooks)) }) // eslint-disable-line @typescript-eslint/no-floating-promises
  }

  #leave (action: Exclude<TerminalAction, { action: 'press-digits' }>): void {
    this.#assertLive()
    if (action.action === 'transfer-call' && action.showCaller) this.#supported(!this.#protocol.lacks.has('show-caller') || undefined, 'show-caller')
    if (this.#phase === 'opening') this.#begin()
    if (this.#leaving) return
    if (this.#turn !== undefined) return this.#turn.finish('ended', action.say, action)
    const frames = this.#protocol.control(++this.#controls, this.#lastId, action)
    this.#leaving = true
    for (const frame of frames.now) this.#speaker.send(frame)
    if (this.#lastId !== undefined) this.#afterPlayback(this.#lastId, action.say.length, frames.afterPlayback)
  }

  #assertLive (): void {
    if (this.#phase === 'ended') throw new CallEndedError()
  }

  #supported<T> (value: T | undefined, feature: Feature): T {
    if (value === undefined) throw new UnsupportedError(feature, this.provider)
    return value
  }

  #lacks (feature: Feature): void {
    if (this.#lacked.has(feature)) return
    this.#lacked.add(feature)
    this.#log.warn({ err: new UnsupportedError(feature, this.provider) }, 'action ignored')
  }
}
