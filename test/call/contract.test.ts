/**
 * The turn contract under random interleavings: a real call and a real protocol, a provider that sends whatever it likes,
 * agents that do whatever they like, and an app that interferes. A small model of what was promised judges every frame.
 */
import assert from 'node:assert/strict'
import t from 'tap'
import FakeTimers from '@sinonjs/fake-timers'
import fc from 'fast-check'
import {
  endCall, filler, flush, pause, pressDigits, toolCall, toolResult, transferCall, uninterruptible
} from '../../lib/agent.js'
import type { Action, Call, Provider, Reply, Turn, TurnReason } from '../../lib/agent.js'
import type { CallHooks } from '../../lib/call/hooks.js'
import type { TurnAbortedError } from '../../lib/errors.js'
import { millisOutbound } from '../../lib/protocols/millis/frames.js'
import { retellOutbound } from '../../lib/protocols/retell/frames.js'
import type { CallSummary, TurnOutcome, TurnReport } from '../../lib/telemetry/report.js'
import { APOLOGY, GREETING, Line, tick } from '../helpers/call.js'
import { millis, retell, type Frame } from '../helpers/caller.js'

const WAIT_MS = 2_000
const DEADLINES = { firstTokenMs: 3_000, tokenGapMs: 2_000, turnMs: 6_000, fillerMs: 1_500 }
const FILLER = 'Hm...'
const GRACE_MS = 30_000
const DESK = '+15550100009'

// What an agent does next.
type Command =
  | { do: 'say', text: string }
  | { do: 'act', action: Action }
  /** Yields what is skipped. */
  | { do: 'nothing', piece: null | undefined | '' }
  /** Yields what cannot be spoken. */
  | { do: 'wrong', piece: unknown }
  | { do: 'throw' }
  | { do: 'finish' }

type Kind =
  | 'string' | 'silence' | 'array' | 'generator' | 'throw'
  | 'async generator' | 'stream' | 'stubborn iterator'
  | 'promise of a string' | 'promise of silence' | 'promise of a generator' | 'promise of an error'

interface Script {
  kind: Kind
  /** What it does without being told. */
  first: Command[]
  /** What it does when its turn is aborted, if it listens at all. */
  onAbort: 'ignore' | 'say' | 'throw' | 'never look'
}

type Step =
  | { do: 'introduce', resumed: boolean, id: string | number | null, session: string }
  | { do: 'request', reminder: boolean, gap: number, id: string | number }
  | { do: 'stale', back: number }
  | { do: 'update', ours: boolean }
  | { do: 'keepalive', timestamp: number }
  | { do: 'interrupt' | 'played', whose: 'last' | 'other' | 'unknown' }
  | { do: 'malformed', which: number }
  | { do: 'unknown' }
  | { do: 'agent', back: number, commands: Command[] }
  | { do: 'interject', text: string }
  | { do: 'end', say: string }
  | { do: 'transfer', say: string, showCaller: boolean }
  | { do: 'sendMetadata' | 'updateAgent' }
  | { do: 'tick' | 'microtask' }
  | { do: 'pass', ms: number }
  | { do: 'release' }
  | { do: 'break' }
  | { do: 'redial' }
  | { do: 'hang up' }

interface Scenario {
  provider: Provider
  onCallStart: 'none' | 'sync' | 'held' | 'throws' | 'ends'
  listens: boolean
  /** Are there deadlines, and a filler? */
  impatient: boolean
  scripts: Script[]
  steps: Step[]
}

const MALFORMED: Record<Provider, Array<object | string | Buffer>> = {
  retell: [
    '', '{', '[]', 'null', '{}', Buffer.from('{}'), '{"interaction_type":5}',
    '{"interaction_type":"response_required"}',
    '{"interaction_type":"response_required","response_id":"999","transcript":[]}',
    '{"interaction_type":"response_required","response_id":999.5,"transcript":[]}',
    '{"interaction_type":"reminder_required","response_id":999}',
    '{"interaction_type":"call_details"}'
  ],
  millis: [
    '', '{', '[]', 'null', '{}', Buffer.from('{}'), '{"type":5}',
    '{"type":"stream_request","data":{"stream_id":5}}',
    '{"type":"stream_request","data":{"stream_id":null,"transcript":[]}}',
    '{"type":"stream_request","data":{"stream_id":{},"transcript":[]}}',
    '{"type":"start_call","data":{"stream_id":true}}',
    '{"type":"interrupt"}',
    '{"type":"playback_finished","data":{}}',
    '{"type":"partial_transcript"}'
  ]
}

/** One agent's reply to one turn: it does what it is told to, in order. */
class Puppet {
  readonly script: Script
  readonly told: Command[] = []
  #waiting: Command[] = []
  #wake = (): void => {}
  #closed = false

  constructor (script: Script) {
    this.script = script
    this.tell(...script.first)
    const { kind } = script
    if (kind === 'array' || kind === 'generator') this.tell({ do: 'finish' })
    if (kind === 'throw' || kind === 'promise of an error') this.#only({ do: 'throw' })
    if (kind === 'silence' || kind === 'promise of silence') this.#only({ do: 'finish' })
    if (kind === 'string' || kind === 'promise of a string') this.#only({ do: 'say', text: 'All at once.' }, { do: 'finish' })
  }

  /** Replies that come all at once know from the start what they are. */
  #only (...commands: Command[]): void {
    this.told.splice(0, Infinity, ...commands)
    this.#waiting = [...commands]
    this.#closed = true
  }

  tell (...commands: Command[]): void {
    for (const command of commands) {
      if (!this.#closed) {
        this.told.push(command)
        this.#waiting.push(command)
        this.#closed = command.do === 'finish'
      }
    }
    this.#wake()
  }

  reply (turn: Turn, world: World): unknown {
    const { kind, onAbort } = this.script
    if (onAbort !== 'never look') {
      turn.signal.addEventListener('abort', () => {
        if (onAbort === 'say') this.tell({ do: 'say', text: 'too late' })
        if (onAbort === 'throw') this.tell({ do: 'throw' })
      })
    }
    switch (kind) {
      case 'string': return 'All at once.'
      case 'silence': return undefined
      case 'throw': throw new Error('told to')
      case 'promise of a string': return this.#woken().then(() => 'All at once.')
      case 'promise of silence': return this.#woken()
      case 'promise of an error': return this.#woken().then(() => { throw new Error('told to') })
      case 'promise of a generator': return this.#woken().then(() => this.#speak(turn, world))
      case 'array': return isSpeakable(this.#waiting) ? this.#waiting.filter(({ do: what }) => what !== 'finish').map(pieceOf) : this.#speakNow(turn, world)
      case 'generator': return this.#speakNow(turn, world)
      case 'async generator': return this.#speak(turn, world)
      case 'stubborn iterator': return { [Symbol.asyncIterator]: () => ({ next: () => this.#next() }) }
      case 'stream': return new ReadableStream({
        pull: async controller => {
          const { done, value } = await this.#next()
          if (done) controller.close()
          else controller.enqueue(value)
        }
      }, { highWaterMark: 0 })
    }
  }

  * #speakNow (turn: Turn, world: World): Generator<unknown> {
    for (let command = this.#waiting.shift()!; command.do !== 'finish'; command = this.#waiting.shift()!) {
      yield * speakOn(pieceOf(command))
      world.spoke(turn, command)
    }
  }

  async * #speak (turn: Turn, world: World): AsyncGenerator<unknown> {
    for (let command = await this.#command(); command.do !== 'finish'; command = await this.#command()) {
      yield * speakOn(pieceOf(command))
      world.spoke(turn, command)
    }
  }

  async #next (): Promise<{ done: boolean, value: unknown }> {
    const command = await this.#command()
    return command.do === 'finish' ? { done: true, value: undefined } : { done: false, value: pieceOf(command) }
  }

  async #command (): Promise<Command> {
    while (this.#waiting.length === 0) await this.#woken()
    return this.#waiting.shift()!
  }

  #woken (): Promise<void> {
    return new Promise(resolve => { this.#wake = resolve })
  }
}

// Where it is closed behind the piece it does not stop talking.
function * speakOn (piece: unknown): Generator<unknown> {
  let isClosed = true
  try {
    yield piece
    isClosed = false
  } finally {
    if (isClosed) yield 'closed, and talking on'
  }
}

function pieceOf (command: Command): unknown {
  switch (command.do) {
    case 'say': return command.text
    case 'act': return command.action
    case 'nothing':
    case 'wrong': return command.piece
    case 'throw': throw new Error('told to')
    case 'finish': return undefined
  }
}

const isSpeakable = (commands: Command[]): boolean => commands.every(command => command.do !== 'throw')

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
  /** What aborted it, as far as the model can tell. */
  abortedBy?: TurnOutcome
  report?: TurnReport
}

/** A frame of speech, whoever it is for. */
interface Speech { id: string | number, content: string, last: boolean }

class World {
  readonly provider: Provider
  line: Line
  readonly turns: Accepted[] = []
  /** Everything the call did against the contract. */
  readonly faults: string[] = []
  readonly #scenario: Scenario
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
  /** A request is being accepted. */
  #accepting = false
  #terminal: 'call' | 'turn' | undefined
  /** The id that words are for: the last that was asked with. */
  #latest: string | number | undefined
  /** Older connections; a call goes on to log where it began. */
  readonly #older: Line[] = []

  constructor (scenario: Scenario) {
    this.#scenario = scenario
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
    if (command.do !== 'say' || command.text === '' || accepted === undefined || !this.#isLive(accepted)) return
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
        if (step.ours && !this.#deaf) this.#begin()
        return this.#receive(step.ours ? retell.update('Hello', 'Hi') : retell.update('Hi'))
      }
      case 'keepalive': {
        if (this.provider === 'millis') return
        this.#receive(retell.ping(step.timestamp))
        this.#expect(this.#deaf || this.line.frames.at(-1)?.['timestamp'] === step.timestamp, 'T6: a keepalive was not answered at once')
        return
      }
      case 'interrupt': {
        const id = this.#idOf(step.whose)
        const current = this.#current
        if (this.provider === 'retell' || id === undefined) return
        if (!this.#deaf && current?.id === id && this.#isLive()) current.abortedBy = 'interrupted'
        return this.#receive(millis.interrupt(id))
      }
      case 'played': {
        const id = this.#idOf(step.whose)
        return this.provider === 'retell' || id === undefined ? undefined : this.#receive(millis.played(id))
      }
      case 'malformed': {
        const frames = MALFORMED[this.provider]
        if (!this.#deaf) this.#malformed++
        return this.#receive(frames[step.which % frames.length]!)
      }
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
        clock.tick(step.ms)
        this.#passed += step.ms
        // The server hung up, and the provider's socket closes.
        if (this.line.closes.length > 0) this.#perform({ do: 'hang up' })
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

  #receive (frame: object | string | Buffer): void {
    this.line.receive(frame)
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
    if (this.provider === 'retell') {
      if (!this.#deaf) this.#begin(resumed ? undefined : 0)
      return this.#receive(retell.details(resumed ? { call_status: 'ongoing' } : {}))
    }
    if (!this.#deaf) {
      // One without an id leaves the greeting to the next, unless the call has gone on, or has been ended, by then.
      if (!this.#begun) this.#begin(id ?? undefined)
      else if (id !== null && this.turns.length === 0 && this.#terminal === undefined) this.#accept(id, 'greeting', undefined)
    }
    this.#receive(millis.start(id, session))
  }

  // The call begins with whatever comes first; a greeting is a turn.
  #begin (greeting?: string | number): void {
    if (this.#begun) return
    this.#begun = true
    this.#accepting = true
    if (greeting !== undefined) this.#accept(greeting, 'greeting', undefined)
  }

  #request (id: string | number, reason: TurnReason): void {
    const label = `request ${++this.#labels}`
    if (!this.#deaf) {
      this.#begin()
      if (this.provider === 'retell') this.#lastId = id as number
      this.#accept(id, reason, label)
    }
    if (this.provider === 'millis') this.#receive(millis.request(id, label))
    else this.#receive(reason === 'reminder' ? retell.reminder(id, label) : retell.request(id, label))
  }

  #accept (id: string | number, reason: TurnReason, label: string | undefined): void {
    if (this.#isLive()) this.#current!.abortedBy = 'superseded'
    this.#accepting = true
    this.#terminal = undefined
    this.#latest = id
    const { scripts } = this.#scenario
    this.turns.push({ id, reason, label, puppet: new Puppet(scripts[this.turns.length % scripts.length]!), frames: [] })
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

  #redial (): void {
    this.#judge()
    const current = this.#current
    const owesGreeting = current?.reason === 'greeting' && current.report?.outcome === 'disconnected' && current.report.characters === 0
    this.#awaySince = undefined
    this.#redials++
    this.#lastId = -1
    this.#judged = 0
    this.#terminal = undefined
    this.#latest = 0
    if (owesGreeting) this.#accept(0, 'greeting', undefined)
    this.#skipping = !owesGreeting
    const session = this.line.call.id
    this.#older.push(this.line)
    this.line = this.#dial(this.line.calls)
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
        if (current?.reason === 'greeting') current.frames.push(frame)
        const greeting = this.turns.findLast(({ reason }) => reason === 'greeting')
        if (greeting !== undefined && greeting !== current) greeting.frames.push(frame)
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

  // The empty begin message that is sent where no greeting was spoken.
  #isBegin (frame: Frame): boolean {
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
      clock.tick(GRACE_MS)
      await tick()
    }
    const frames = this.line.frames.length
    // Whatever is still to come must change nothing: agents that wake, timers, promises, frames.
    for (const { puppet } of this.turns) puppet.tell({ do: 'say', text: 'after the call' }, { do: 'finish' })
    this.#perform({ do: 'release' })
    clock.tick(600_000)
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
    }
    this.#expect(this.line.calls.size === 0, 'the call is still registered')
    if (this.provider === 'retell' && this.#begun) {
      const [first] = this.line.frames.filter(frame => frame['response_type'] === 'response' || frame['response_type'] === 'agent_interrupt')
      const isCutOff = this.turns.every(({ abortedBy }) => abortedBy === 'hang-up' || abortedBy === 'disconnected')
      this.#expect(first === undefined ? isCutOff : first['response_id'] === 0, 'the begin message is not the first response')
    }
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
        const paid = this.provider === 'retell' && turn.reason === 'greeting' && report.outcome === 'superseded' && report.characters === 0
        this.#expect(completions === (paid ? 1 : 0), `T3: ${which} was ${report.outcome} and has ${completions} completions`)
        this.#expect(text.startsWith(said), `T5: ${which} said ${JSON.stringify(said)}`)
      }
    }
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
const GOODBYES = ['', 'Bye.', 'Closed today.']

/** What a turn comes to when it is left in peace. */
function expectationOf (told: Command[], provider: Provider): { text: string, last: string, outcome: TurnOutcome | undefined } {
  let text = ''
  // Would a word run into the one before? A filler is set apart.
  let open = false
  // And is it a part of its own?
  let parted = false
  const lead = (words: string): string => {
    if (!parted || words === '') return ''
    parted = false
    return open && /^\S/.test(words) ? ' ' : ''
  }
  for (const command of told) {
    if (command.do === 'say') {
      text += lead(command.text) + command.text
      if (command.text !== '') open = /\S$/.test(command.text)
    }
    if (command.do === 'finish') return { text, last: '', outcome: 'completed' }
    if (command.do === 'throw' || command.do === 'wrong') return { text, last: '', outcome: 'error' }
    if (command.do !== 'act') continue
    const { action } = command
    switch (action.action) {
      case 'filler': {
        const before = open && /^\S/.test(action.text) ? ' ' : ''
        const trail = /\s$/.test(action.text) ? '' : ' '
        text += before + action.text + trail
        open = parted = false
        break
      }
      case 'tool-call':
        parted = true
        break
      case 'uninterruptible':
        text += lead(action.text) + action.text
        open = /\S$/.test(action.text)
        break
      case 'pause':
        if (provider === 'retell') text += ' - '
        break
      case 'press-digits':
        if (provider === 'retell') return { text, last: '', outcome: 'completed' }
        break
      case 'end-call':
      case 'transfer-call':
        return { text, last: action.say, outcome: 'completed' }
    }
  }
  return { text, last: '', outcome: undefined }
}

function prefixesOf (text: string): string[] {
  return Array.from({ length: text.length + 1 }, (_, end) => text.slice(0, end))
}

// Last words may be set apart by a space.
function isJoin (said: string, words: string, last: string): boolean {
  return said === words + last || (last !== '' && said === `${words} ${last}`)
}

function speechOf (frame: Frame): Speech | undefined {
  if (frame['response_type'] === 'response') return { id: frame['response_id'], content: frame['content'], last: frame['content_complete'] }
  if (frame['type'] === 'stream_response') return { id: frame['data'].stream_id, content: frame['data'].content, last: frame['data'].end_of_stream }
  return undefined
}

function contentOf (frames: Frame[]): string {
  return frames.map(frame => speechOf(frame)!.content).join('')
}

/** Digits end a turn, the others the call. */
function terminalOf (frame: Frame): 'call' | 'turn' | undefined {
  if (frame['digit_to_press'] !== undefined) return 'turn'
  if (frame['end_call'] !== undefined || frame['transfer_number'] !== undefined) return 'call'
  return frame['type'] === 'end_call' || frame['type'] === 'transfer_call' ? 'call' : undefined
}

function isValid (provider: Provider, frame: Frame): boolean {
  if (provider === 'retell') return retellOutbound[frame['response_type'] as keyof typeof retellOutbound]?.Check(frame) ?? false
  // The two whose names are not proven have no schema.
  if (frame['type'] === 'end_call' || frame['type'] === 'transfer_call') return typeof frame['data'] === 'object'
  return frame['type'] === 'stream_response' && millisOutbound.stream_response.Check(frame)
}

// Arbitraries

const word = fc.constantFrom('One', ' two', ' three.', 'Four ', '5', ' ', 'six, ', '\n', 'sé\ud83d', '\ude00v')
const action = fc.constantFrom<Action>(
  endCall(), endCall({ say: 'Bye.' }), transferCall(DESK), transferCall(DESK, { say: 'Hold on.', showCaller: true }), pressDigits('1#'),
  pause(500), flush(), filler('Hm, '), filler('Well...'), uninterruptible('Recorded. '), toolCall('tc_1', 'look', {}), toolResult('tc_1', 'found')
)
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant('say' as const), text: word }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('act' as const), action }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('nothing' as const), piece: fc.constantFrom(null, undefined, '' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wrong' as const), piece: fc.constantFrom<unknown>(42, {}, ['a'], Buffer.from('a'), true) }) },
  { weight: 1, arbitrary: fc.constant<Command>({ do: 'throw' }) },
  { weight: 4, arbitrary: fc.constant<Command>({ do: 'finish' }) }
)
const script: fc.Arbitrary<Script> = fc.record({
  kind: fc.oneof(
    { weight: 4, arbitrary: fc.constant<Kind>('async generator') },
    {
      weight: 6,
      arbitrary: fc.constantFrom<Kind>('string', 'silence', 'array', 'generator', 'throw', 'stream', 'stubborn iterator',
        'promise of a string', 'promise of silence', 'promise of a generator', 'promise of an error')
    }
  ),
  first: fc.array(command, { maxLength: 4 }),
  onAbort: fc.constantFrom('ignore', 'say', 'throw', 'never look')
})

const id = fc.constantFrom<string | number>(0, '', '0', 1, '1', -1, 2.5, 'stream')
const say = fc.constantFrom('', 'Bye.')
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('introduce' as const), resumed: fc.boolean(), id: fc.option(id), session: fc.constantFrom('ses_1', 'ses_2', '') }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('request' as const), reminder: fc.boolean(), gap: fc.integer({ min: 1, max: 3 }), id }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('stale' as const), back: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('update' as const), ours: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('keepalive' as const), timestamp: fc.nat() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('interrupt' as const, 'played' as const), whose: fc.constantFrom('last', 'other', 'unknown') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('malformed' as const), which: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'unknown' }) },
  { weight: 16, arbitrary: fc.record({ do: fc.constant('agent' as const), back: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(2) }), commands: fc.array(command, { maxLength: 4 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('interject' as const), text: fc.constantFrom('Paid!', 'Paid!', '') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('end' as const), say }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('transfer' as const), say, showCaller: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ do: 'sendMetadata' }, { do: 'updateAgent' }) },
  { weight: 12, arbitrary: fc.constantFrom<Step>({ do: 'tick' }, { do: 'tick' }, { do: 'microtask' }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(1, 1_000, 2_000, 5_000) }) },
  { weight: 2, arbitrary: fc.constant<Step>({ do: 'release' }) },
  { weight: 2, arbitrary: fc.constantFrom<Step>({ do: 'break' }, { do: 'redial' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'hang up' }) }
)

const clock = FakeTimers.install({ toFake: ['setTimeout', 'clearTimeout'] })
t.teardown(() => clock.uninstall())

for (const provider of ['retell', 'millis'] as const) {
  t.test(`whatever happens, a ${provider} call keeps the turn contract`, async t => {
    const scenario = fc.record({
      provider: fc.constant(provider),
      onCallStart: fc.constantFrom('none' as const, 'sync' as const, 'held' as const, 'throws' as const, 'ends' as const),
      listens: fc.boolean(),
      impatient: fc.boolean(),
      scripts: fc.array(script, { minLength: 1, maxLength: 4 }),
      steps: fc.array(step, { maxLength: 40 })
    })
    await fc.assert(fc.asyncProperty(scenario, async scenario => {
      clock.reset()
      const world = new World(scenario)
      for (const step of scenario.steps) await world.run(step)
      await world.finish()
      assert.deepEqual([...new Set(world.faults)], [])
    }), { numRuns: 1_000 })
    t.pass('it did')
  })
}
