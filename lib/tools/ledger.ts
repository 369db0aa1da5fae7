/**
 * Never twice: what the tools of a call have done.
 */
import { createHash } from 'node:crypto'
import { rebuiltTerminal, type Call, type Turn } from '../contract/agent.js'
import { DeadlineError, ToolError } from '../contract/errors.js'
import { handoverOf, type Handover } from '../contract/handoff.js'
import { logDetail } from '../telemetry/failure.js'
import { within } from '../telemetry/operation.js'
import { startToolRun } from '../telemetry/tool-run.js'
import { runField, runsOf, type PersistedRun } from './persisted-run.js'
import type { Tool, ToolContext } from './tool.js'
import { DONE, failed, lost, noted, unfinished, type ToolOutcome } from './tool-outcome.js'
import { outcomeOf, thrownOutcome } from './tool-result.js'

/** One run of a tool. */
interface Run {
  readonly tool: Tool
  /** Never rejects. Of a tool with side effects that does not stop when it is told to it may never come. */
  readonly settled: Promise<ToolOutcome>
  /** Set once it succeeded: one that failed is forgotten. */
  outcome: ToolOutcome | undefined
  /** Of the turn that asked last. */
  askedBy: AbortSignal
  /** How many turns of the call had been completed when it was asked for last, or came to its end: until one more is, nobody was told of it. */
  turns: number
  /** It was told to stop because its turn was aborted. */
  cancelled: boolean
  /** What {@link Ledger} had counted when it began. */
  readonly effects: number
  /** Was a model told how it ended, rather than that it does not know yet? */
  isTold: boolean
  /** Another node began it. */
  readonly isForeign: boolean
}

const ledgers = new WeakMap<Call, Ledger>()

/** The ledger of a call, which lives as long as the call does, over all its connections. */
export function ledgerOf (call: Call): Ledger {
  const known = ledgers.get(call) ?? new Ledger(handoverOf(call))
  ledgers.set(call, known)
  return known
}

/** The runs of one call's tools, by tool and arguments. */
export class Ledger {
  readonly #runs = new Map<string, Run>()
  /** How often each has come to an end that is known. */
  readonly #ends = new Map<string, number>()
  /** Beginnings and ends of runs that have side effects: what was looked up before is out of date. */
  #effects = 0
  /** Tools of which nobody knows whether a node that is gone ran them, and the turn in which the model was told so; null on another node. */
  readonly #doubted = new Map<string, Turn['id'] | null>()
  /** Runs of other nodes that nobody has asked for here. */
  readonly #left = new Map<string, PersistedRun>()
  readonly #handover: Handover | undefined

  /** @param handover where runs are kept for another node, and what one left */
  constructor (handover?: Handover) {
    this.#handover = handover
    if (handover === undefined) return
    this.#inherit(handover.fields)
    handover.onReport(fields => this.#inherit(fields))
  }

  /**
   * Resolves with what comes of running a tool, or came of it. It is not run where a result still stands; a run that is
   * under way is waited for, unless it was cancelled and is about to fail. Never rejects. Whether it begins is decided
   * before this returns, unless it is not known yet what another node did.
   * @param id of the call that asks
   * @param isAwaited is anybody still there to be told, when it has come to its end?
   * @param compared the JSON by which two calls are the same call
   */
  async settle (tool: Tool, args: unknown, turn: Turn, id: string, isAwaited = () => true, compared = args): Promise<ToolOutcome> {
    let written: string
    try {
      written = canonical(compared)
    } catch {
      return failed('the arguments cannot be written as JSON')
    }
    const key = `${tool.name} ${written}`
    // What another node did is known in a moment, or it is too late.
    const uncertain = tool.sideEffects ? this.#handover?.uncertain : undefined
    if (uncertain !== undefined) await uncertain
    // Then its turn, or its time, may be over.
    if (uncertain !== undefined && !isAwaited()) return failed('cancelled')
    for (;;) {
      const known = this.#runs.get(key) ?? this.#take(key, tool)
      const isNew = known === undefined || !this.#stands(known, turn)
      // After a wait nobody may be there to be told.
      if (isNew && turn.signal.aborted) return failed('cancelled')
      if (isNew && this.#isDoubtful(tool, turn)) return lost()
      const isSameTurn = known?.askedBy === turn.signal
      const isOld = known?.outcome !== undefined && known.turns !== turn.call.completedTurns
      const run = isNew ? this.#begin(tool, args, turn, id, key, written) : known
      run.askedBy = turn.signal
      run.turns = turn.call.completedTurns
      const outcome = run.outcome ?? await run.settled
      if (!isNew && run.cancelled && !outcome.successful) continue
      run.isTold ||= isAwaited()
      if (isNew) return outcome
      if (isSameTurn) return noted(outcome, 'Run only once: this is the same call as before.')
      return isOld ? noted(outcome, 'Not run again: this was done earlier in the call.') : outcome
    }
  }

  /** What another node reports, now or when it left. What was run here is known better. */
  #inherit (fields: Readonly<Record<string, string>>): void {
    for (const kept of runsOf(fields)) {
      const { key, ends } = kept
      if (kept.state === 'doubted') {
        this.#doubted.set(key, null)
        continue
      }
      const known = this.#runs.get(key)
      if (known !== undefined && !known.isForeign) continue
      this.#ends.set(key, Math.max(ends, this.#ends.get(key) ?? 0))
      this.#runs.delete(key)
      this.#left.set(key, kept)
    }
  }

  /** A run of another node's that is asked for here. Undefined where there is none, or it is as if there had been none. */
  #take (key: string, tool: Tool): Run | undefined {
    const left = this.#left.get(key)
    this.#left.delete(key)
    if (left === undefined || left.state === 'failed' || (left.state === 'running' && tool.idempotent)) return undefined
    const { state, turns, content = DONE } = left
    const action = rebuiltTerminal(left.action)
    const outcome = state === 'running' ? lost() : { content, successful: true, ...(action !== undefined && { action }) }
    const run: Run = {
      tool,
      settled: Promise.resolve(outcome),
      outcome: state === 'running' ? undefined : outcome,
      askedBy: AbortSignal.abort(),
      turns,
      cancelled: false,
      effects: this.#effects,
      isTold: false,
      isForeign: true
    }
    this.#runs.set(key, run)
    return run
  }

  /** May a node that could tell nobody have run it? Who was told so, and asks for the tool in a later turn, means it. */
  #isDoubtful ({ name, sideEffects, idempotent }: Tool, { id, call }: Turn): boolean {
    if (!sideEffects || idempotent || this.#handover?.isIncomplete !== true) return false
    const toldIn = this.#doubted.get(name)
    if (toldIn !== undefined) return toldIn === id
    this.#doubted.set(name, id)
    this.#handover.save(runField({ key: name, ends: 0, turns: call.completedTurns, state: 'doubted' }))
    return true
  }

  /** Does a run, or its result, stand for a new one? */
  #stands ({ tool, outcome, askedBy, turns, cancelled, effects, isTold }: Run, turn: Turn): boolean {
    if (outcome === undefined) return tool.sideEffects || (!cancelled && effects === this.#effects)
    if (tool.reuse === 'call' || (tool.sideEffects && !isTold)) return true
    return turns === turn.call.completedTurns && askedBy !== turn.signal && (tool.sideEffects || effects === this.#effects)
  }

  #begin (tool: Tool, args: unknown, turn: Turn, id: string, key: string, written: string): Run {
    for (const [key, run] of this.#runs) {
      if (run.outcome !== undefined && run.askedBy !== turn.signal && !this.#stands(run, turn)) this.#runs.delete(key)
    }
    const { call, signal: askedBy } = turn
    const controller = new AbortController()
    let settle!: (outcome: Promise<ToolOutcome>) => void
    // Before it begins: a tool may ask for itself at once.
    const settled = new Promise<ToolOutcome>(resolve => { settle = resolve })
    const run: Run = { tool, settled, outcome: undefined, askedBy, turns: call.completedTurns, cancelled: false, effects: this.#effects, isTold: false, isForeign: false }
    const cancel = (): void => {
      run.cancelled = true
      controller.abort(askedBy.reason)
    }
    if (tool.onSupersede === 'cancel') askedBy.addEventListener('abort', cancel, { once: true })
    let timer: NodeJS.Timeout | undefined
    const expired = new Promise<void>(resolve => {
      timer = setTimeout(() => {
        controller.abort(new DeadlineError('tool', tool.timeoutMs))
        resolve()
      }, tool.timeoutMs).unref()
    })
    if (tool.sideEffects) this.#effects++
    this.#runs.set(key, run)

    const idempotencyKey = createHash('sha256')
      .update(JSON.stringify([call.provider, call.id, tool.name, written, this.#ends.get(key) ?? 0])).digest('base64url')
    const kept = (run: Pick<PersistedRun, 'state' | 'content' | 'action'>): Readonly<Record<string, string>> =>
      runField({ key, ends: this.#ends.get(key) ?? 0, turns: call.completedTurns, ...run })
    // Ahead of what it does: where this node is lost it is known that it may have.
    if (tool.sideEffects) this.#handover?.save(kept({ state: 'running' }))
    const toolRun = startToolRun(call, tool.name, id, written)
    let failure: unknown
    const begin = (): Promise<ToolOutcome> =>
      execute(tool, args, { call, turn, log: turn.log.child({ tool: tool.name }), idempotencyKey }, controller.signal, error => { failure = error })
    settle(within(toolRun, begin).then(outcome => {
      clearTimeout(timer)
      askedBy.removeEventListener('abort', cancel)
      if (tool.sideEffects) this.#effects++
      // An interface that knows the key would go on answering with the refusal.
      if (outcome.successful || outcome.refused) this.#ends.set(key, (this.#ends.get(key) ?? 0) + 1)
      if (outcome.successful) {
        run.outcome = outcome
        run.turns = call.completedTurns
      } else if (this.#runs.get(key) === run) {
        this.#runs.delete(key)
      }
      if (tool.sideEffects) this.#handover?.report(kept(outcome.successful ? { state: 'done', content: outcome.content, action: outcome.action } : { state: 'failed' }))
      return outcome
    }))
    // One that never comes to its end is not waited for, nor remembered for longer than its call.
    const over = Promise.race([run.settled, expired])
    call.waitUntil(over)
    if (toolRun !== undefined) over.then(outcome => toolRun.end(outcome ?? undefined, controller.signal.reason ?? failure), () => {})
    return run
  }
}

async function execute (
  tool: Tool, args: unknown, facts: Omit<ToolContext, 'signal'>, signal: AbortSignal, onFailure: (error: unknown) => void
): Promise<ToolOutcome> {
  let isListening = false
  const context: ToolContext = {
    ...facts,
    get signal () {
      isListening = true
      return signal
    }
  }
  signal.addEventListener('abort', () => {
    if (!isListening) facts.log.warn('a tool that never looked at context.signal was told to stop')
  }, { once: true })
  const executing = run(tool, args, context, signal, onFailure)
  // What was only looked up is not waited for by anybody.
  return tool.sideEffects ? executing : await Promise.race([executing, stopped(tool, signal)])
}

async function run (
  tool: Tool, args: unknown, context: ToolContext, signal: AbortSignal, onFailure: (error: unknown) => void
): Promise<ToolOutcome> {
  let returned: unknown
  try {
    returned = await tool.execute(args, context)
  } catch (error) {
    onFailure(error)
    if (!signal.aborted || error instanceof ToolError) return thrownOutcome(error, context.log, 'a tool failed')
    logDetail(context.log, error, 'a tool threw when it was told to stop')
    return unfinished(tool, signal.reason)
  }
  return outcomeOf(returned, context.log)
}

function stopped (tool: Tool, signal: AbortSignal): Promise<ToolOutcome> {
  return new Promise(resolve => {
    const stop = (): void => resolve(unfinished(tool, signal.reason))
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })
}

/** The same text for the same arguments, in whatever order they were written. */
function canonical (args: unknown): string {
  return JSON.stringify(args, (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1))
  })
}
