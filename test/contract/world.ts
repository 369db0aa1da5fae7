/**
 * The turn contract under random interleavings: a real call and a real protocol, and a small model of what was promised,
 * which judges every frame.
 */
import { getEventListeners } from 'node:events'
import type FakeTimers from '@sinonjs/fake-timers'
import type { Call, Provider, Reply, Turn, TurnReason } from '../../lib/contract/agent.js'
import type { CallHooks } from '../../lib/call/hooks.js'
import type { TurnAbortedError } from '../../lib/contract/errors.js'
import type { Codec, ProviderEvent } from '../../lib/providers/codec.js'
import type { CallCeiling } from '../../lib/telemetry/refusals.js'
import type { CallSummary, TurnOutcome, TurnReport } from '../../lib/telemetry/report.js'
import { APOLOGY, GREETING, Line, newCodec, tick } from '../helpers/call.js'
import { millis, retell, type Frame } from '../helpers/caller.js'
import { messageFaults } from '../helpers/valid-messages.js'
import { DESK, expectationOf, Puppet, type Command } from './puppet.js'
import { MALFORMED, type Scenario, type Step } from './scenario.js'
import { contentOf, isValid, speechOf, terminalOf } from './wire.js'

const WAIT_MS = 2_000
const DEADLINES = { firstTokenMs: 3_000, tokenGapMs: 2_000, turnMs: 6_000, fillerMs: 1_500 }
const FILLER = 'Hm...'
const GRACE_MS = 30_000
const GOODBYE = 'Time is up.'
const PULSE_S = 5
const BURST_S = 10

/** A turn as the model knows it. */
interface Accepted {
  readonly id: string | number
  readonly reason: TurnReason
  readonly label: string | undefined
  readonly puppet: Puppet
  readonly frames: Frame[]
  turn?: Turn
  /** When its agent was called, in ms since the call began. */
  askedAt?: number
  /** A ceiling had been reached, or was by this turn: nothing but a goodbye answers it. */
  isRefused?: boolean
  /** What aborted it, as far as the model can tell. */
  abortedBy?: TurnOutcome
  report?: TurnReport
}

/** Plays a scenario, and tells all that the call did against the contract. Timers and `performance` must be the clock's. */
export async function play (scenario: Scenario, clock: FakeTimers.Clock): Promise<string[]> {
  clock.reset()
  const world = new World(scenario, clock)
  for (const step of scenario.steps) await world.run(step)
  await world.finish()
  return [...new Set(world.faults)]
}

class World {
  readonly provider: Provider
  line: Line
  readonly turns: Accepted[] = []
  /** Everything the call did against the contract. */
  readonly faults: string[] = []
  readonly #scenario: Scenario
  readonly #clock: FakeTimers.Clock
  readonly #dial: (calls?: Line['calls']) => Line
  readonly #held: Array<() => void> = []
  #controls: Array<Promise<void>> = []
  #begun = false
  #over = false
  /** When the connection broke, in ms since the call began. */
  #awaySince: number | undefined
  #redials = 0
  #passed = 0
  #lastId = -1
  #labels = 0
  #malformed = 0
  #failures = 0
  #summaries: CallSummary[] = []
  #judged = 0
  /** Frames are being written by a control call that found no live turn. */
  #outside = false
  /** A connection that must not be greeted stands: silence is written. */
  #skipping = false
  /** A new connection is being made, and what is written to it cannot be seen yet. */
  #isDialling = false
  /** A request is being accepted. */
  #accepting = false
  #terminal: 'call' | 'turn' | undefined
  /** The id that words are for: the last that was asked with. */
  #latest: string | number | undefined
  /** Older connections; a call goes on to log where it began. */
  readonly #older: Line[] = []
  /** Decodes what the connection decodes: of a frame that nothing is known of, the model takes its word. */
  #decoder: Codec
  /** Nothing is read of this connection any more. */
  #isFlooded = false
  #frames = 0
  #bytes = 0
  #tokens = 0
  /** The ceiling that was reached. */
  #reached: CallCeiling | undefined

  constructor (scenario: Scenario, clock: FakeTimers.Clock) {
    this.#scenario = scenario
    this.#clock = clock
    this.#decoder = newCodec(scenario.provider)
    this.provider = scenario.provider
    const hooks: CallHooks = {
      ...(scenario.onCallStart !== 'none' && { onCallStart: call => this.#started(call) }),
      ...(scenario.listens && { onTranscript: () => {} }),
      onTurnEnd: (turn, report) => this.#ended(turn, report),
      onCallEnd: (_call, summary) => {
        this.#summaries.push(summary)
        this.#expect(this.turns.every(({ report }) => report !== undefined), 'T12: the call ended before its turns')
      }
    }
    this.#dial = calls => new Line(scenario.provider, turn => this.#ask(turn), {
      // Millis tells by start_call which call it is.
      id: scenario.provider === 'retell' ? 'call_1' : `made-up ${this.#redials}`,
      hooks,
      waitMs: WAIT_MS,
      reconnectGraceMs: GRACE_MS,
      limits: { ...scenario.limits, goodbye: () => GOODBYE },
      ...(calls !== undefined && { calls }),
      ...(scenario.impatient && { deadlines: DEADLINES, filler: FILLER })
    })
    this.line = this.#dial()
    this.#judge()
  }

  /** Nothing that is sent arrives. */
  get #deaf (): boolean { return this.#over || this.#awaySince !== undefined }

  #expect (fulfilled: boolean, promise: string): void {
    if (!fulfilled) this.faults.push(promise)
  }

  get #current (): Accepted | undefined { return this.turns.at(-1) }

  #isLive (turn = this.#current): turn is Accepted {
    this.#judge()
    return turn !== undefined && turn.abortedBy === undefined && !turn.frames.some(frame => speechOf(frame)?.last)
  }

  // What the call asks of the app

  #ask (turn: Turn): Reply {
    const current = this.#current
    this.#expect(current !== undefined && current.turn === undefined, 'T1: an agent was called for a turn that is not the newest')
    this.#expect(turn.id === current!.id && typeof turn.id === typeof current!.id, 'T4: a turn has an id that nobody gave it')
    this.#expect(turn.reason === current!.reason, 'a turn has the wrong reason')
    this.#expect(turn.transcript.at(-1)?.content === current!.label, 'a turn has the transcript of another')
    const [fault] = messageFaults(turn.messages)
    this.#expect(fault === undefined, `a model would reject the messages: ${fault}`)
    for (const older of this.turns.slice(0, -1)) {
      this.#expect(older.turn === undefined || !this.#isLive(older), 'T1: two turns are live')
      this.#expect(older.abortedBy === undefined || older.turn === undefined || older.turn.signal.aborted, 'T2: an agent was called before the older turn was aborted')
    }
    current!.turn = turn
    current!.askedAt = this.#passed
    return current!.puppet.reply(turn, this) as Reply
  }

  #started (call: Call): void | Promise<void> {
    this.#expect(!this.#begun || this.turns.length <= 1, 'onCallStart ran twice')
    switch (this.#scenario.onCallStart) {
      case 'none':
      case 'sync': return
      case 'throws': throw new Error('told to')
      case 'held': return new Promise(resolve => { this.#held.push(resolve) })
      case 'ends': return this.#leave(() => call.end({ say: 'Closed today.' }))
    }
  }

  #ended (turn: Turn, report: TurnReport): void {
    // A turn whose agent was never called is known by its place.
    const accepted = this.turns.find(accepted => accepted.turn === turn) ??
      this.turns.find(accepted => accepted.turn === undefined && accepted.report === undefined && accepted.id === turn.id)
    this.#expect(accepted !== undefined, 'T12: a turn ended that never began')
    this.#expect(accepted?.report === undefined, 'T12: a turn ended twice')
    this.#expect(this.#summaries.length === 0, 'T12: a turn ended after its call')
    if (accepted === undefined) return
    accepted.turn ??= turn
    accepted.report = report
    if (report.outcome === 'error') this.#failures++
    const { signal } = turn
    const aborted = report.outcome !== 'completed' && report.outcome !== 'error'
    this.#expect(signal.aborted === aborted, `T7: a turn that was ${report.outcome} has the wrong signal`)
    if (aborted) this.#expect((signal.reason as TurnAbortedError).reason === report.outcome, 'T7: the signal says another reason')
  }

  /** A generator goes on behind a word of a live turn: the first must be out by now, any other before the event loop goes on. */
  spoke (turn: Turn, command: Command): void {
    const accepted = this.turns.find(accepted => accepted.turn === turn)
    if (this.#isDialling || command.do !== 'say' || command.text === '' || accepted === undefined || !this.#isLive(accepted)) return
    this.#expect(contentOf(accepted.frames) !== '', 'T5: the first word did not leave at once')
    setImmediate(() => {
      this.#expect(!this.#isLive(accepted) || contentOf(accepted.frames).includes(command.text), 'T5: a word did not leave before the event loop went on')
    })
  }

  // What happens

  async run (step: Step): Promise<void> {
    this.#perform(step)
    this.#judge()
    this.#accepting = false
    if (step.do === 'tick' || step.do === 'break') await tick()
    if (step.do === 'microtask') await Promise.resolve()
    this.#judge()
  }

  #perform (step: Step): void {
    switch (step.do) {
      case 'introduce': return this.#introduce(step)
      case 'request': {
        const id = this.provider === 'retell' ? this.#newId(step.gap) : step.id
        return this.#request(id, this.provider === 'retell' && step.reminder ? 'reminder' : 'response')
      }
      case 'stale': {
        if (this.provider === 'retell') {
          if (this.#lastId >= 0) this.#receive(retell.request(this.#lastId - step.back, 'stale'))
          return
        }
        const older = this.turns.at(-1 - step.back)
        return older === undefined ? undefined : this.#request(older.id, 'response')
      }
      case 'update': {
        if (this.provider === 'millis') return this.#receive({ type: 'partial_transcript', data: { transcript: 'Hi' } })
        return this.#receive(step.ours ? retell.update('Hello', 'Hi') : retell.update('Hi'), () => { if (step.ours) this.#begin() })
      }
      case 'keepalive': {
        if (this.provider === 'millis') return
        this.#receive(retell.ping(step.timestamp))
        this.#expect(this.#deaf || this.#isFlooded || this.line.frames.at(-1)?.['timestamp'] === step.timestamp, 'T6: a keepalive was not answered at once')
        return
      }
      case 'interrupt': {
        const id = this.#idOf(step.whose)
        return this.provider === 'retell' || id === undefined ? undefined : this.#receive(millis.interrupt(id), () => this.#interrupted(id))
      }
      case 'played': {
        const id = this.#idOf(step.whose)
        return this.provider === 'retell' || id === undefined ? undefined : this.#receive(millis.played(id))
      }
      case 'malformed': {
        const frames = MALFORMED[this.provider]
        return this.#receive(frames[step.which % frames.length]!, () => { this.#malformed++ })
      }
      case 'frame':
        return this.#receive(step.binary ? Buffer.from(step.text) : step.text, event => this.#happened(event))
      case 'unknown':
        return this.#receive({ interaction_type: 'news', type: 'news' })
      case 'agent':
        return this.turns.at(-1 - step.back)?.puppet.tell(...step.commands)
      case 'interject': {
        const works = this.provider === 'retell' && step.text !== '' && !this.#deaf
        if (works) {
          this.#begin()
          if (this.#isLive()) this.#current!.abortedBy = 'interjected'
        }
        return this.#control(() => this.line.call.interject(step.text), this.#deaf ? 'CALL_ENDED' : this.provider === 'millis' ? 'UNSUPPORTED' : works ? undefined : 'ACTION')
      }
      case 'end': {
        if (this.#deaf) return this.#control(() => this.line.call.end(step), 'CALL_ENDED')
        this.#begin()
        return this.#leave(() => this.line.call.end({ say: step.say }))
      }
      case 'transfer': {
        const { say, showCaller } = step
        const transfer = (): Promise<void> => this.line.call.transfer(DESK, { say, showCaller })
        if (this.#deaf) return this.#control(transfer, 'CALL_ENDED')
        if (showCaller && this.provider === 'millis') return this.#control(transfer, 'UNSUPPORTED')
        this.#begin()
        if (showCaller && !this.#isLive()) {
          // Retell shows the caller inside a turn only; where the call is being left already it does not matter.
          this.#controls.push(transfer().catch(error => this.#expect(error.code === 'VOICE_AGENT_ERR_UNSUPPORTED', `transfer rejected: ${error}`)))
          return
        }
        return this.#leave(transfer)
      }
      case 'sendMetadata':
        return this.#control(() => this.line.call.sendMetadata({ a: 1 }), this.#deaf ? 'CALL_ENDED' : this.provider === 'millis' ? 'UNSUPPORTED' : undefined)
      case 'updateAgent':
        return this.#control(() => this.line.call.updateAgent({ responsiveness: 1 }), this.#deaf ? 'CALL_ENDED' : this.provider === 'millis' ? 'UNSUPPORTED' : undefined)
      case 'pass': {
        const before = this.#passed
        if (this.provider === 'retell' && !this.#deaf && before < WAIT_MS && before + step.ms >= WAIT_MS) this.#begin(0)
        this.#clock.tick(step.ms)
        this.#passed += step.ms
        // The server hung up, and the provider's socket closes.
        if (this.line.closes.some(close => typeof close === 'object')) {
          this.#perform({ do: 'hang up' })
          // Also where nobody was connected any more.
          this.#over = true
        }
        if (this.#awaySince !== undefined && this.#passed - this.#awaySince >= GRACE_MS) this.#over = true
        return
      }
      case 'release':
        return this.#held.splice(0).forEach(release => release())
      case 'break':
        if (!this.#deaf) this.#break()
        return
      case 'redial':
        if (this.#awaySince !== undefined && !this.#over) this.#redial()
        return
      case 'overtake':
        if (!this.#deaf && this.#begun) this.#overtake()
        return
      case 'spend': {
        this.#tokens += step.tokens
        return this.#exceed(() => this.line.call.countTokens(step.tokens), this.#tokens > this.#ceiling('maxTokensPerCall') ? 'maxTokensPerCall' : undefined)
      }
      case 'pulse': {
        if (this.#deaf) return
        this.#frames = Math.max(0, this.#frames - PULSE_S * this.#ceiling('maxFramesPerSecond'))
        return this.#exceed(() => this.line.call.pulse(), this.#passed > this.#ceiling('maxCallDurationMs') ? 'maxCallDurationMs' : undefined)
      }
      case 'hang up': {
        if (this.#deaf) return
        if (this.#isLive()) this.#current!.abortedBy = 'hang-up'
        this.#over = true
        return this.line.hangUp(1000)
      }
      case 'tick':
      case 'microtask':
    }
  }

  /** Has the call receive a frame. `effect` is what the model makes of it, where it is read. */
  #receive (frame: object | string | Buffer, effect: (event: ProviderEvent) => void = () => {}): void {
    const data = Buffer.isBuffer(frame) ? frame : Buffer.from(typeof frame === 'string' ? frame : JSON.stringify(frame))
    if (this.#deaf || this.#isFlooded) return this.line.receive(frame)
    const flood = this.#floodOf(data.length)
    if (flood !== undefined) {
      this.#isFlooded = true
      return this.#exceed(() => this.line.receive(frame), flood)
    }
    effect(this.#decoder.decode(data, Buffer.isBuffer(frame)))
    this.line.receive(frame)
  }

  #ceiling (limit: CallCeiling): number {
    return this.#scenario.limits[limit] ?? Infinity
  }

  #floodOf (bytes: number): CallCeiling | undefined {
    this.#bytes += bytes
    if (this.#bytes > this.#ceiling('maxBytesPerCall')) return 'maxBytesPerCall'
    return ++this.#frames > BURST_S * this.#ceiling('maxFramesPerSecond') ? 'maxFramesPerSecond' : undefined
  }

  // Does what may go past a ceiling outside a request.
  #exceed (act: () => void, limit: CallCeiling | undefined): void {
    if (limit !== undefined && this.#reached === undefined && !this.#over) {
      if (this.#begun) {
        this.#reached = limit
        if (this.#isLive()) this.#current!.abortedBy = 'ended'
        else this.#outside = true
      } else {
        // Who floods ahead of the call is closed on.
        this.#over = true
      }
    }
    act()
    this.#judge()
    this.#outside = false
  }

  // What a frame of which nothing was known turned out to be.
  #happened (event: ProviderEvent): void {
    switch (event.type) {
      case 'started':
        return this.#introduced(event.resumed, event.greeting)
      case 'asked':
        return this.#asked(event.id, event.reason, event.transcript.utterances().at(-1)?.content)
      case 'update': {
        if (this.#begun && !this.#scenario.listens) return
        const update = event.read()
        if (update === undefined) this.#malformed++
        else if (update.transcript?.some(({ role }) => role === 'agent')) this.#begin()
        return
      }
      case 'interrupted':
        return this.#interrupted(event.id)
      case 'ignored':
        if (event.malformed) this.#malformed++
        break
      case 'keepalive':
      case 'played':
    }
  }

  #newId (gap: number): number {
    return Math.max(this.#lastId, 0) + gap
  }

  #idOf (whose: 'last' | 'other' | 'unknown'): string | number | undefined {
    if (whose === 'unknown') return 'nobody'
    const id = this.#current?.id
    if (whose === 'last' || id === undefined) return id
    return this.turns.at(-2)?.id ?? (typeof id === 'string' ? 0 : String(id))
  }

  #introduce ({ resumed, id, session }: Extract<Step, { do: 'introduce' }>): void {
    const isRetell = this.provider === 'retell'
    const frame = isRetell ? retell.details(resumed ? { call_status: 'ongoing' } : {}) : millis.start(id, session)
    this.#receive(frame, () => this.#introduced(isRetell && resumed, isRetell ? undefined : id ?? undefined))
  }

  #introduced (resumed: boolean, greeting: string | number | undefined): void {
    if (this.provider === 'retell') return this.#begin(resumed ? undefined : 0)
    // One without an id leaves the greeting to the next, unless the call has gone on, or has been ended, by then.
    if (!this.#begun) this.#begin(greeting)
    else if (greeting !== undefined && this.turns.length === 0 && this.#terminal === undefined) this.#accept(greeting, 'greeting', undefined)
  }

  #interrupted (id: string | number): void {
    if (this.#current?.id === id && this.#isLive()) this.#current.abortedBy = 'interrupted'
  }

  // The call begins with whatever comes first; a greeting is a turn.
  #begin (greeting?: string | number): void {
    if (this.#begun) return
    this.#begun = true
    this.#accepting = true
    if (greeting !== undefined) this.#accept(greeting, 'greeting', undefined)
  }

  #request (id: string | number, reason: TurnReason): void {
    // Retell's ids have an end.
    if (this.provider === 'retell' && !Number.isSafeInteger(id)) return
    const label = `request ${++this.#labels}`
    const frame = this.provider === 'millis' ? millis.request(id, label) : reason === 'reminder' ? retell.reminder(id, label) : retell.request(id, label)
    this.#receive(frame, () => this.#asked(id, reason, label))
  }

  #asked (id: string | number, reason: TurnReason, label: string | undefined): void {
    this.#begin()
    if (this.provider === 'retell') this.#lastId = id as number
    this.#accept(id, reason, label)
  }

  #accept (id: string | number, reason: TurnReason, label: string | undefined): void {
    if (this.#isLive()) this.#current!.abortedBy = 'superseded'
    this.#accepting = true
    this.#terminal = undefined
    this.#latest = id
    const { scripts } = this.#scenario
    const turn: Accepted = { id, reason, label, puppet: new Puppet(scripts[this.turns.length % scripts.length]!), frames: [] }
    if (this.turns.push(turn) > this.#ceiling('maxTurnsPerCall')) this.#reached ??= 'maxTurnsPerCall'
    if (this.#reached === undefined) return
    turn.isRefused = true
    turn.abortedBy = 'ended'
  }

  #break (): void {
    const live = this.#isLive() ? this.#current : undefined
    this.line.hangUp(1006)
    // A call that never began, or is being left, has nothing to come back for.
    if (this.line.calls.size === 0) this.#over = true
    else this.#awaySince = this.#passed
    if (live !== undefined) live.abortedBy = this.#over ? 'hang-up' : 'disconnected'
    this.#expect(this.#over || this.#begun, 'a call that never began waits')
  }

  #overtake (): void {
    if (this.#isLive()) this.#current!.abortedBy = 'disconnected'
    const older = this.line
    this.#redial()
    older.hangUp(1006)
  }

  #redial (): void {
    this.#judge()
    const current = this.#current
    // Pauses are no words, and who is to hear a goodbye is not greeted.
    const owesGreeting = this.#reached === undefined && current?.reason === 'greeting' && current.abortedBy === 'disconnected' && contentOf(current.frames).replaceAll(' - ', '') === ''
    this.#awaySince = undefined
    this.#redials++
    this.#lastId = -1
    this.#terminal = undefined
    this.#latest = 0
    if (owesGreeting) this.#accept(0, 'greeting', undefined)
    this.#skipping = !owesGreeting
    const session = this.line.call.id
    this.#older.push(this.line)
    this.#decoder = newCodec(this.provider)
    this.#isFlooded = false
    this.#isDialling = true
    this.line = this.#dial(this.line.calls)
    this.#isDialling = false
    this.#judged = 0
    if (this.provider === 'millis') this.line.receive(millis.start(0, session))
    this.#judge()
    this.#skipping = false
  }

  // Ends the live turn, or acts from outside; does nothing where the call is being left already.
  #leave (act: () => Promise<void>): void {
    if (this.#isLive()) this.#current!.abortedBy = 'ended'
    else this.#outside = true
    this.#control(act, undefined)
  }

  #control (act: () => Promise<void>, code: string | undefined): void {
    const expected = code === undefined ? undefined : `VOICE_AGENT_ERR_${code}`
    this.#controls.push(act().then(
      () => this.#expect(expected === undefined, `a control call resolved, not ${code}`),
      error => this.#expect(error.code === expected, `a control call rejected: ${error}`)
    ))
    this.#judge()
    this.#outside = false
  }

  // What the call wrote

  #judge (): void {
    const { frames } = this.line
    while (this.#judged < frames.length) this.#judgeFrame(frames[this.#judged]!, this.#judged++)
  }

  #judgeFrame (frame: Frame, index: number): void {
    this.#expect(isValid(this.provider, frame), `a frame breaks the protocol: ${JSON.stringify(frame)}`)
    if (this.provider === 'retell') this.#expect((frame['response_type'] === 'config') === (index === 0), 'config is not the first frame')
    const speech = speechOf(frame)
    const terminal = terminalOf(frame)
    const current = this.#current
    if (this.#skipping && speech !== undefined) {
      this.#expect(speech.id === 0 && speech.content === '' && speech.last, 'words for a call that goes on')
    } else if (speech !== undefined) {
      this.#expect(this.#terminal === undefined, 'T10: words follow a terminal action')
      if (this.#isBegin(frame)) {
        this.turns.findLast(({ id }) => id === 0)?.frames.push(frame)
      } else {
        this.#expect(speech.id === this.#latest, `T2, T4: words for ${JSON.stringify(speech.id)}, not ${JSON.stringify(this.#latest)}`)
        if (!this.#outside) current?.frames.push(frame)
      }
    } else if (terminal !== undefined) {
      this.#expect(this.#terminal !== 'call', 'T10: two terminal actions')
      if (this.provider === 'millis') this.#expect(frame['data'].stream_id === this.#latest, 'T4: an action for another turn')
    } else if (frame['response_type'] === 'agent_interrupt') {
      // The provider drops what was on its way, be it the end of the call.
      this.#terminal = undefined
    }
    if (terminal !== undefined) this.#terminal = terminal
  }

  // The empty begin message that is sent where no greeting was spoken, and no request came with its id.
  #isBegin (frame: Frame): boolean {
    if (this.#current?.id === 0 && this.#current.reason !== 'greeting') return false
    return this.provider === 'retell' && this.#accepting && frame['response_id'] === 0 && frame['content'] === '' && frame['content_complete']
  }

  // How it ended

  async finish (): Promise<void> {
    this.#judge()
    if (this.#scenario.impatient && !this.#deaf) {
      // Once for an onCallStart that does not end, the rest for the agent.
      for (let passes = 0; passes < 3; passes++) {
        await this.run({ do: 'pass', ms: 5_000 })
        await this.run({ do: 'tick' })
      }
      this.#expect(!this.#isLive(), 'T8: a turn is live for ever')
    }
    await this.run({ do: 'hang up' })
    if (!this.#over) {
      this.#over = true
      this.#clock.tick(GRACE_MS)
      await tick()
    }
    const frames = this.line.frames.length
    this.#expect(this.#clock.countTimers() === 0, 'T7: a timer outlives its call')
    // Whatever is still to come must change nothing: agents that wake, timers, promises, frames.
    for (const { puppet } of this.turns) puppet.tell({ do: 'say', text: 'after the call' }, { do: 'finish' })
    this.#perform({ do: 'release' })
    this.#clock.tick(600_000)
    this.line.receive(retell.ping(1), retell.request(1_000, 'Hi'), millis.request(1_000, 'Hi'))
    this.line.hangUp(1005)
    await Promise.all(this.#controls)
    await tick()
    await tick()
    this.#expect(this.line.frames.length === frames, 'a frame was written after the hang-up')
    this.#judgeCall()
    for (const turn of this.turns) this.#judgeTurn(turn)
    this.#judgeLog()
  }

  #judgeCall (): void {
    const [summary] = this.#summaries
    this.#expect(this.#summaries.length === (this.#begun ? 1 : 0), 'T12: onCallEnd did not run once')
    if (summary !== undefined) {
      this.#expect(summary.turns === this.turns.length && summary.malformedFrames === this.#malformed && summary.reconnects === this.#redials, 'the summary is wrong')
      this.#expect(summary.limit === this.#reached, 'the summary names another ceiling')
    }
    this.#expect(this.line.calls.size === 0, 'the call is still registered')
    if (this.provider === 'retell' && this.#begun) {
      const [first] = this.line.frames.filter(frame => frame['response_type'] === 'response' || frame['response_type'] === 'agent_interrupt')
      const isCutOff = this.turns.every(turn => turn.abortedBy === 'hang-up' || turn.abortedBy === 'disconnected' || this.#isTakenOver(turn))
      this.#expect(first === undefined ? isCutOff : first['response_id'] === 0, 'the begin message is not the first response')
    }
  }

  // The next turn has the same id, and what is owed to that passes on to it.
  #isTakenOver (turn: Accepted): boolean {
    return this.turns[this.turns.indexOf(turn) + 1]?.id === turn.id
  }

  #judgeTurn (turn: Accepted): void {
    const { report, abortedBy, puppet, frames } = turn
    const which = `turn ${JSON.stringify(turn.id)}`
    if (report === undefined) return this.#expect(false, `T12: ${which} never ended`)
    const { text, last, outcome } = expectationOf(puppet.told, this.provider)
    const completions = frames.filter(frame => speechOf(frame)?.last).length
    const content = contentOf(frames)
    // Only pauses may come before it.
    const filled = this.#scenario.impatient && /^[ -]*Hm\.\.\. /.test(content)
    const said = filled ? content.replace(`${FILLER} `, '') : content
    if (filled) this.#expect(turn.reason === 'response' && this.#passed - turn.askedAt! >= DEADLINES.fillerMs, `T8: ${which} has a filler too early`)
    this.#expect(report.outcome === (abortedBy ?? outcome) || (report.outcome === 'deadline' && abortedBy === undefined), `${which} was ${report.outcome}, not ${abortedBy ?? outcome}`)
    switch (report.outcome) {
      case 'completed':
      case 'error':
        this.#expect(completions === 1, `T3: ${which} has ${completions} completions`)
        this.#expect(isJoin(said, text, report.outcome === 'error' ? this.#fallback(turn) : last), `T5: ${which} said ${JSON.stringify(said)}`)
        break
      case 'deadline':
        this.#expect(this.#scenario.impatient && this.#passed - turn.askedAt! >= DEADLINES.tokenGapMs, `T8: ${which} was given up too early`)
        this.#expect(completions === 1, `T3: ${which} has ${completions} completions`)
        this.#expect(prefixesOf(text).some(words => isJoin(said, words, this.#fallback(turn))), `T5: ${which} said ${JSON.stringify(said)}`)
        break
      case 'interjected':
      case 'ended':
        this.#expect(completions === 1, `T3: ${which} has ${completions} completions`)
        this.#expect(prefixesOf(text).some(words => GOODBYES.some(say => isJoin(said, words, say))), `T5: ${which} said ${JSON.stringify(said)}`)
        break
      case 'superseded':
      case 'interrupted':
      case 'disconnected':
      case 'hang-up': {
        const paid = this.provider === 'retell' && turn.id === 0 && report.outcome === 'superseded' && report.characters === 0 && !this.#isTakenOver(turn)
        this.#expect(completions === (paid ? 1 : 0), `T3: ${which} was ${report.outcome} and has ${completions} completions`)
        this.#expect(text.startsWith(said), `T5: ${which} said ${JSON.stringify(said)}`)
      }
    }
    if (turn.isRefused) this.#expect(content === GOODBYE, `${which} came after a ceiling and heard ${JSON.stringify(content)}`)
    if (turn.turn !== undefined) this.#expect(getEventListeners(turn.turn.signal, 'abort').length <= 1, `T7: somebody listens to ${which} for ever`)
    this.#expect(frames.filter(frame => terminalOf(frame) !== undefined).length <= 1, `T10: ${which} has two terminal actions`)
    const { firstFrameMs, fillerMs, firstSentenceMs, lastFrameMs, durationMs } = report
    const first = Math.min(firstFrameMs ?? Infinity, fillerMs ?? Infinity)
    this.#expect(first === Infinity ? report.characters === 0 : first <= lastFrameMs! && lastFrameMs! <= durationMs, `${which} has odd times`)
    this.#expect(firstSentenceMs === undefined || firstSentenceMs >= firstFrameMs!, `${which} has a sentence ahead of its first word`)
    this.#expect(report.frames === 0 ? lastFrameMs === undefined : lastFrameMs! >= 0, `${which} has odd frames`)
  }

  #fallback (turn: Accepted): string {
    return turn.reason === 'greeting' ? GREETING : APOLOGY
  }

  #judgeLog (): void {
    const failures = new Map<string, number>()
    const logs = [...this.#older, this.line].flatMap(({ logs }) => logs)
    for (const { level, msg } of logs) if (level >= 50) failures.set(msg, (failures.get(msg) ?? 0) + 1)
    this.#expect((failures.get('agent failed') ?? 0) === this.#failures, 'failures of agents are not logged once each')
    failures.delete('agent failed')
    if (this.#scenario.onCallStart === 'throws') failures.delete('onCallStart failed')
    this.#expect(failures.size === 0, `logged: ${[...failures.keys()].join()}`)
    this.#expect(logs.filter(({ msg }) => msg === 'malformed frame ignored').length === Math.min(1, this.#malformed), 'T11: malformed frames are not told of once')
  }
}

// What may be said last by the app.
const GOODBYES = ['', 'Bye.', 'Closed today.', GOODBYE]

function prefixesOf (text: string): string[] {
  return Array.from({ length: text.length + 1 }, (_, end) => text.slice(0, end))
}

// Last words may be set apart by a space.
function isJoin (said: string, words: string, last: string): boolean {
  return said === words + last || (last !== '' && said === `${words} ${last}`)
}
