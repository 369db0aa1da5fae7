import { setMaxListeners } from 'node:events'
import type { FastifyBaseLogger } from 'fastify'
import { isAction } from '../contract/agent.js'
import type { Action, ChatMessage, TerminalAction, ToolAction, Turn, TurnReason, Utterance } from '../contract/agent.js'
import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import { DeadlineError, TurnAbortedError, type AbortReason, type Deadline } from '../contract/errors.js'
import { lacks, type Entry, type Feature, type Transcript } from '../providers/codec.js'
import { answerFactsOf, collectAnswerFacts } from '../telemetry/answer-facts.js'
import { firstTokenChannel, type FirstTokenMessage } from '../telemetry/channels.js'
import { logDetail, logFailure } from '../telemetry/failure.js'
import { loggedId, type TurnOutcome, type TurnReport } from '../telemetry/report.js'
import { within } from '../telemetry/operation.js'
import type { TurnTelemetry } from '../telemetry/telemetry.js'
import { isThenable, openReply, type Source } from '../speech/reply.js'
import { unspeakable } from '../speech/unspeakable.js'
import type { Connection } from './connection.js'
import { Deadlines } from './deadlines.js'
import { placeBehind, toMessages } from './messages.js'
import { Floor } from './speaker.js'
import type { TurnOwner } from './turn-owner.js'
import { isNoticed, warnOfSilence, warnOfUnspoken, type EmptyReply } from './turn-silence.js'
import { TurnTools } from './turn-tools.js'

// An agent whose tokens are all ready never lets the event loop turn; after so many of them it must.
const PIECES_PER_LOOP_TURN = 256
const CHARACTERS_PER_LOOP_TURN = 64 * 1024

/**
 * One turn: runs the agent, speaks what it yields, and owns its AbortSignal. It is over exactly once: completed,
 * failed (which completes it too) or aborted. From then on nothing the agent does has an effect.
 */
export class LiveTurn implements Turn {
  readonly floor: Floor
  readonly reason: TurnReason

  readonly #call: TurnOwner
  readonly #connection: Connection
  readonly #heard: Transcript
  readonly #askedAt = performance.now()
  #calledAt: number | undefined
  #firstTokenAt: number | undefined
  #tokens = 0
  #usage: { model: string, inputTokens: number, outputTokens: number } | undefined
  #unspokenCharacters = 0
  #transcript: readonly Utterance[] | undefined
  #heardEntries: readonly Entry[] | undefined
  #messages: ChatMessage[] | undefined
  #log: FastifyBaseLogger | undefined
  #controller: AbortController | undefined
  #abortedBy: TurnAbortedError | undefined
  #deadlines: Deadlines | undefined
  #source: Source | undefined
  #telemetry: TurnTelemetry | undefined
  readonly #tools = new TurnTools()
  /** Has the agent said and done nothing that the caller could notice? */
  #isSilent = true
  #over = false

  /** @param connection the one it speaks over; whoever replaces that aborts it */
  constructor (call: TurnOwner, connection: Connection, floor: Floor, reason: TurnReason, heard: Transcript) {
    this.#call = call
    this.#connection = connection
    this.floor = floor
    this.reason = reason
    this.#heard = heard
  }

  get id (): string | number {
    return this.floor.id
  }

  get call (): TurnOwner {
    return this.#call
  }

  get transcript (): readonly Utterance[] {
    return (this.#transcript ??= this.#heard.utterances())
  }

  get messages (): ChatMessage[] {
    if (this.#messages !== undefined) return this.#messages
    const { leadingAssistant, afterTool } = this.#call.settings
    return (this.#messages = toMessages(this.#entries, this.reason, { leadingAssistant, afterTool, spoken: this.#call.spoken }))
  }

  get #entries (): readonly Entry[] {
    return (this.#heardEntries ??= this.#heard.entries())
  }

  // Made when first asked for: many agents never look at it.
  get signal (): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      setMaxListeners(0, this.#controller.signal) // each tool that runs has two
      if (this.#abortedBy !== undefined) this.#controller.abort(this.#abortedBy)
    }
    return this.#controller.signal
  }

  get log (): FastifyBaseLogger {
    return (this.#log ??= this.#call.log.child({ turnId: loggedId(this.id) }))
  }

  /** Calls the agent, unless the turn is already over. */
  start (): void {
    if (this.#over) return
    this.#calledAt = performance.now()
    collectAnswerFacts(this)
    this.#connection.takePeak()
    this.#telemetry = this.#call.telemetry?.startTurn(this, this.#askedAt)
    this.#within(() => this.#ask())
  }

  #ask (): void {
    this.#deadlines = new Deadlines(this.#call.settings.deadlines, {
      expired: (deadline, ms) => this.#expired(deadline, ms),
      fill: () => this.#fill()
    })
    // #speak catches whatever the agent does.
    void this.#speak() // eslint-disable-line no-void
  }

  /** Ends the turn without another frame. Before this returns its signal has aborted and its generator is being closed. */
  abort (reason: AbortReason): void {
    if (this.#over) return
    this.#connection.speaker.take(this.floor)
    this.#end(reason, [])
    this.#stopAgent(reason)
  }

  /** Completes the turn over the agent's head, with last words and an action of the call's own, and stops the agent. */
  finish (reason: AbortReason, text: string, action?: TerminalAction): void {
    if (this.#over) return
    this.#complete(reason, text, action)
    this.#stopAgent(reason)
  }

  /** A tool was called, or returned, while this turn is live: as long as one runs, nobody waits for words. */
  recorded (entry: ToolAction): void {
    this.#telemetry?.recorded(entry)
    if (entry.action === 'tool-call') {
      this.#tools.called(entry, this.#elapsedMs)
      this.#begun()
      if (this.#over) return
      this.part()
      this.#deadlines?.working(true)
    } else if (this.#tools.returned(entry, this.#elapsedMs)) {
      this.#deadlines?.working(this.#tools.isRunning)
    }
  }

  /** Where it stands in the conversation is known from now on, though it is not over. */
  place (): void {
    this.floor.place ??= placeBehind(this.#entries)
  }

  /** What follows is set apart from what was said, be it that the tool between them is on the books already. */
  part (): void {
    this.#connection.speaker.part(this.floor)
  }

  async #speak (): Promise<void> {
    try {
      const asked = this.#call.settings.ask(this)
      const reply: unknown = isThenable(asked) ? await asked : asked
      if (typeof reply === 'string') return this.#ended(reply, { returned: reply, isStream: false })
      if (reply === undefined || reply === null) return this.#ended('', { returned: reply, isStream: false })
      const source = openReply(reply)
      if (this.#over) return source.close()
      this.#source = source
      for (let pieces = 1; !this.#over; pieces++) {
        if (pieces % PIECES_PER_LOOP_TURN === 0 || this.floor.pending.length > CHARACTERS_PER_LOOP_TURN) {
          await nextLoopTurn()
          if (this.#over) return
        }
        const room = this.#connection.room
        if (room !== undefined) {
          this.#deadlines?.hold()
          await room
          if (this.#over) return
          this.#deadlines?.alive()
        }
        const step = source.next()
        const { done, value } = isThenable(step) ? await step : step
        // Once more: a generator that ended its own turn was running, and could not be closed.
        if (this.#over) return source.close()
        if (done) return this.#ended('', { returned: value, isStream: true })
        if (typeof value === 'string') this.#say(value)
        else if (value !== undefined && value !== null) this.#act(value)
      }
    } catch (error) {
      this.#fail(error)
    }
  }

  #say (text: string): void {
    if (text === '') return
    this.#isSilent &&= text.trim() === ''
    this.#answered()
    this.#connection.speaker.say(this.floor, text)
  }

  #answered (): void {
    this.#tokens++
    this.#begun()
    // Whoever was told of it may have ended the turn.
    if (!this.#over) this.#deadlines?.answered()
  }

  #begun (): void {
    if (this.#firstTokenAt !== undefined) return
    this.#firstTokenAt = performance.now()
    this.#call.turnBegun(this)
    if (firstTokenChannel.hasSubscribers) firstTokenChannel.publish({ turn: this, firstTokenMs: this.#elapsedMs } satisfies FirstTokenMessage)
  }

  #act (value: unknown): void {
    if (!isAction(value)) throw unspeakable(value, 'yielded')
    if (value.action === 'usage') return this.#used(value)
    if (value.action === 'unspoken') return this.#leftOut(value)
    this.#isSilent &&= !isNoticed(value)
    const { speaker, codec } = this.#connection
    if (value.action === 'uninterruptible') this.#answered()
    else this.#deadlines?.alive()
    if (lacks(codec, value.action)) {
      this.#call.lacks(value.action as Feature)
      if (value.action === 'uninterruptible') speaker.say(this.floor, value.text)
      return
    }
    switch (value.action) {
      case 'filler':
        return this.#sayInPassing(value.text)
      case 'uninterruptible':
        return speaker.sayWith(this.floor, value.text, { uninterruptible: true })
      case 'pause':
        return speaker.sayWith(this.floor, '', { pauseMs: value.ms })
      case 'working':
        return
      case 'flush':
        return speaker.sayWith(this.floor, '', { flush: true })
      case 'tool-call':
      case 'tool-result':
        this.#call.record(value)
        return
      case 'transfer-call':
        if (value.showCaller && lacks(codec, 'show-caller')) this.#call.lacks('show-caller')
        this.#conclude(value.say, value)
        return this.#source?.close()
      case 'end-call':
        this.#conclude(value.say, value)
        return this.#source?.close()
      case 'press-digits':
        this.#complete('completed', '', value)
        return this.#source?.close()
    }
  }

  #used ({ model, inputTokens, outputTokens }: Extract<Action, { action: 'usage' }>): void {
    const { inputTokens: read, outputTokens: written } = this.#usage ?? { inputTokens: 0, outputTokens: 0 }
    this.#usage = { model, inputTokens: read + inputTokens, outputTokens: written + outputTokens }
  }

  #leftOut ({ characters, kinds }: Extract<Action, { action: 'unspoken' }>): void {
    this.#unspokenCharacters += characters
    warnOfUnspoken(this, characters, kinds)
  }

  #fail (error: unknown): void {
    // An agent that was told to stop may well throw; that is no failure.
    if (this.#over) return logDetail(this.log, error, 'agent threw after its turn was over')
    logFailure(this.log, error, 'agent failed')
    this.#apologise('error', error)
    this.#source?.close()
  }

  #expired (deadline: Deadline, ms: number): void {
    this.log.warn({ deadline, ms }, 'agent exceeded a deadline')
    const error = new DeadlineError(deadline, ms)
    this.#apologise('deadline', error)
    this.#stopAgent('deadline')
  }

  #apologise (outcome: 'error' | 'deadline', error: unknown): void {
    const line = this.#call.settings.fallback(this, error)
    if (!this.#over) this.#end(outcome, this.#connection.speaker.complete(this.floor, line, undefined, true), undefined, error)
  }

  #fill (): void {
    // Tools have fillers of their own.
    if (this.floor.characters === 0 && !this.#tools.isRunning) this.#sayInPassing(this.#call.settings.filler(this))
  }

  #sayInPassing (text: string): void {
    this.#connection.speaker.sayInPassing(this.floor, text)
    if (text !== '') this.#call.saidInPassing(this)
  }

  // The agent came to its end by itself.
  #ended (text: string, reply: Omit<EmptyReply, 'hasTools'>): void {
    const isSilent = this.#isSilent && text.trim() === '' && this.reason === 'response' && !this.#over
    this.#conclude(text)
    if (isSilent) warnOfSilence(this, { ...reply, hasTools: this.#tools.reports.length > 0 })
  }

  // With the agent's own last words.
  #conclude (text: string, action?: TerminalAction): void {
    if (text !== '' && !this.#over) this.#answered()
    this.#complete('completed', text, action)
  }

  #complete (outcome: TurnOutcome, text: string, action?: TerminalAction): void {
    if (this.#over) return
    this.#end(outcome, this.#connection.speaker.complete(this.floor, text, action), action)
  }

  #end (outcome: TurnOutcome, afterPlayback: readonly string[], action?: TerminalAction, error?: unknown): void {
    this.#over = true
    this.#deadlines?.stop()
    const { characters, frames, tools, firstSaidAt, firstFillerAt, firstSentenceAt, lastSentAt } = this.floor
    if (characters > 0 || tools.length > 0) this.place()
    const since = (at: number | undefined): number | undefined => at === undefined ? undefined : at - this.#askedAt
    const report: TurnReport = {
      callId: this.#call.id,
      provider: this.#call.provider,
      turnId: this.id,
      reason: this.reason,
      outcome,
      askedAt: Date.now() - this.#elapsedMs,
      agentCalledMs: since(this.#calledAt),
      firstTokenMs: since(this.#firstTokenAt),
      firstFrameMs: since(firstSaidAt),
      fillerMs: since(firstFillerAt),
      firstSentenceMs: since(firstSentenceAt),
      lastFrameMs: since(lastSentAt),
      durationMs: this.#elapsedMs,
      tokens: this.#tokens,
      frames,
      characters,
      unspokenCharacters: this.#unspokenCharacters,
      tools: this.#tools.reports,
      model: this.#usage?.model,
      inputTokens: this.#usage?.inputTokens,
      outputTokens: this.#usage?.outputTokens,
      ...answerFactsOf(this),
      sendBufferPeakBytes: this.#connection.takePeak(),
      ...(error !== undefined && { error })
    }
    this.#telemetry ??= this.#call.telemetry?.startTurn(this, this.#askedAt)
    this.#within(() => this.#call.turnEnded(this, report, afterPlayback, action))
    this.#telemetry?.end(report, this.floor.text)
  }

  get #elapsedMs (): number {
    return performance.now() - this.#askedAt
  }

  #stopAgent (reason: AbortReason): void {
    this.#abortedBy = new TurnAbortedError(reason)
    this.#within(() => {
      this.#controller?.abort(this.#abortedBy)
      this.#source?.close()
    })
  }

  // What the agent does belongs to this turn, whoever has it done.
  #within (work: () => void): void {
    within(this.#telemetry, work)
  }
}
