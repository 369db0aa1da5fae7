/**
 * The idempotency ledger of a call: a tool with side effects does not run twice for the same arguments.
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
  /** Never rejects. Stays pending if a tool with side effects ignores its signal and never returns. */
  readonly settled: Promise<ToolOutcome>
  /** Set once the run succeeded; a failed run is removed. */
  outcome: ToolOutcome | undefined
  /** The signal of the turn that requested the run last. */
  askedBy: AbortSignal
  /** The call's completed turns at the last request or at the run's end. The caller has not heard of the result until the number grows. */
  turns: number
  /** True if its signal was aborted with its turn. */
  cancelled: boolean
  /** The ledger's `#effects` when the run began. */
  readonly effects: number
  /** True once a model got the outcome, and not only the message that there is no result yet. */
  isTold: boolean
  /** True if another node began the run. */
  readonly isForeign: boolean
}

const ledgers = new WeakMap<Call, Ledger>()

/** The ledger of a call. It lives as long as the call, across connections. */
export function ledgerOf (call: Call): Ledger {
  const known = ledgers.get(call) ?? new Ledger(handoverOf(call))
  ledgers.set(call, known)
  return known
}

/** The runs of one call's tools, by tool and arguments. */
export class Ledger {
  readonly #runs = new Map<string, Run>()
  /** The number of known ends of each run. */
  readonly #ends = new Map<string, number>()
  /** Counts beginnings and ends of runs with side effects: each makes earlier look-ups stale. */
  #effects = 0
  /** Tools that a lost node may have run, each with the turn in which the model learned that; null if it was on another node. */
  readonly #doubted = new Map<string, Turn['id'] | null>()
  /** Runs of other nodes that were not requested here yet. */
  readonly #left = new Map<string, PersistedRun>()
  readonly #handover: Handover | undefined

  /** @param handover stores the runs for another node, and holds those of an earlier node */
  constructor (handover?: Handover) {
    this.#handover = handover
    if (handover === undefined) return
    this.#inherit(handover.fields)
    handover.onReport(fields => this.#inherit(fields))
  }

  /**
   * Resolves with the outcome of a run, or of an earlier one. The tool does not run if a result is still valid; a run in progress is
   * awaited, unless it was cancelled and fails. Never rejects. The run begins before this returns, unless the state of another node is
   * still unknown.
   * @param id the id of the tool call
   * @param isAwaited returns true if the outcome still reaches the model
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
    // Wait for the cluster's answer, which is bounded by the claim timeout.
    const uncertain = tool.sideEffects ? this.#handover?.uncertain : undefined
    if (uncertain !== undefined) await uncertain
    // Meanwhile the turn or the tool's timeout may be over.
    if (uncertain !== undefined && !isAwaited()) return failed('cancelled')
    for (;;) {
      const known = this.#runs.get(key) ?? this.#take(key, tool)
      const isNew = known === undefined || !this.#stands(known, turn)
      // After a wait the turn may be over.
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

  /** Takes over the runs that another node saved or reports. Runs of this node take precedence. */
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

  /** The run of another node for this key. Undefined if there is none, or if it may run again. */
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

  /** True if a lost node may have run the tool unseen. The model learns that once: a request in a later turn is deliberate. */
  #isDoubtful ({ name, sideEffects, idempotent }: Tool, { id, call }: Turn): boolean {
    if (!sideEffects || idempotent || this.#handover?.isIncomplete !== true) return false
    const toldIn = this.#doubted.get(name)
    if (toldIn !== undefined) return toldIn === id
    this.#doubted.set(name, id)
    this.#handover.save(runField({ key: name, ends: 0, turns: call.completedTurns, state: 'doubted' }))
    return true
  }

  /** True if a run or its result replaces a new run. */
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
    // Registered before the tool begins: a tool may request itself at once.
    const settled = new Promise<ToolOutcome>(resolve => { settle = resolve })
    const run: Run = {
      tool,
      settled,
      outcome: undefined,
      askedBy,
      turns: call.completedTurns,
      cancelled: false,
      effects: this.#effects,
      isTold: false,
      isForeign: false
    }
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
    // Saved before the tool begins, so that another node knows of the run if this one is lost.
    if (tool.sideEffects) this.#handover?.save(kept({ state: 'running' }))
    const toolRun = startToolRun(call, tool.name, id, written)
    let failure: unknown
    const facts = { call, turn, log: turn.log.child({ tool: tool.name }), idempotencyKey }
    const begin = (): Promise<ToolOutcome> => execute(tool, args, facts, controller.signal, error => { failure = error })
    settle(within(toolRun, begin).then(outcome => {
      clearTimeout(timer)
      askedBy.removeEventListener('abort', cancel)
      if (tool.sideEffects) this.#effects++
      // A new key after a refusal, since an API may store the refusal under the old one.
      if (outcome.successful || outcome.refused) this.#ends.set(key, (this.#ends.get(key) ?? 0) + 1)
      if (outcome.successful) {
        run.outcome = outcome
        run.turns = call.completedTurns
      } else if (this.#runs.get(key) === run) {
        this.#runs.delete(key)
      }
      const { successful, content, action } = outcome
      if (tool.sideEffects) this.#handover?.report(kept(successful ? { state: 'done', content, action } : { state: 'failed' }))
      return outcome
    }))
    // A run that never ends is not awaited, and is remembered no longer than its call.
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
  // A look-up may be abandoned.
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

/** JSON with sorted members: the same text for the same arguments in any order. */
function canonical (args: unknown): string {
  return JSON.stringify(args, (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1))
  })
}
