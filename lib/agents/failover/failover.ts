/**
 * Makes one agent of several: if one fails or stays silent, the next is asked.
 */
import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import type { Agent, Call, Speech, Turn } from '../../contract/agent.js'
import { CallEndedError, ConfigError, TurnAbortedError } from '../../contract/errors.js'
import { checkNames, namesOf } from '../../contract/option-names.js'
import { noteAnswerFacts } from '../../telemetry/answer-facts.js'
import { Attempt, isAnswer } from './attempt.js'
import { isDuration, LONGEST_MS } from '../../timing/duration.js'
import { CircuitBreaker } from './circuit-breaker.js'

/** Options of {@link failover}. */
export interface FailoverOptions {
  /**
   * The time that an agent has for the first piece of its answer, in ms, if another agent can be asked. Default 2,000. The turn's own
   * `deadlines.firstTokenMs` should be longer, since it bounds all agents together.
   */
  firstTokenMs?: number
  /** The time that a failed agent is not asked, in ms. Default 30,000. A server's `retry-after` extends it to at most 5 min. */
  cooldownMs?: number
  /**
   * Checks after the cooldown if an agent is healthy again: it resolves if so. It runs beside a turn that another agent answers, unheard,
   * for at most `firstTokenMs` (then `signal` aborts), and never twice at the same time for one agent. Default: the agent is asked to
   * answer `Hello?` in a call that cannot be controlled, and is healthy when it begins to answer. `false`: the next turn asks the agent.
   */
  probe?: false | ((agent: Agent, signal: AbortSignal) => Promise<unknown>)
}

const OPTIONS = namesOf<FailoverOptions>({ firstTokenMs: true, cooldownMs: true, probe: true })

/** An agent that asks others. Another agent may use it by `yield * model.call(this, turn)`. Its creator closes it. */
export interface FailoverAgent {
  /**
   * Streams the answer of the first agent that begins one. A return of the generator, or an abort of `turn.signal`, stops the agent in
   * use; an aborted turn ends without an error.
   * @throws the last agent's error, or the error of an agent that had begun to answer
   */
  (this: FastifyInstance, turn: Turn): AsyncGenerator<Speech, void, undefined>
  /** Stops probes and closes the agents that have a `close()`. Rejects if one of those rejects, once all are closed. */
  close (): Promise<void>
}

/**
 * Makes one agent of several, in order of preference. The first healthy agent is asked. If it throws or takes too long before its answer
 * has begun, the next one is asked; fillers, pauses and flushes do not begin an answer. After the first token or other action no other
 * agent is asked. An agent that ends without a word has chosen silence.
 *
 * Each agent gets the turn with its own AbortSignal and messages. The signal aborts with the turn's (same reason), when the agent takes too
 * long (a TurnAbortedError, `deadline`), and when its reply is abandoned. After a failure an agent is asked only if all healthy ones fail,
 * until its cooldown is over. The last agent and the last healthy agent have only the turn's own deadline, which counts as a failure too.
 * @throws VOICE_AGENT_ERR_CONFIG when there are fewer than two agents, or an option is not accepted
 */
export function failover (agents: readonly Agent[], options: FailoverOptions = {}): FailoverAgent {
  const { firstTokenMs = 2_000, cooldownMs = 30_000, probe } = options
  if (!Array.isArray(agents) || agents.length < 2 || agents.some(agent => typeof agent !== 'function')) {
    throw new ConfigError('failover: agents must be two functions or more: failover([first, second])')
  }
  checkNames('failover', options, OPTIONS)
  checkDuration(firstTokenMs, 'firstTokenMs')
  checkDuration(cooldownMs, 'cooldownMs')
  if (probe !== undefined && probe !== false && typeof probe !== 'function') {
    throw new ConfigError('failover: probe must be a function or false')
  }
  const breakers = agents.map((agent: Agent, index) => new CircuitBreaker(agent, index, cooldownMs))
  const probes = new Map<CircuitBreaker, AbortController>()

  async function * speak (this: FastifyInstance, turn: Turn): AsyncGenerator<Speech, void, undefined> {
    const healthy = breakers.filter(breaker => breaker.isClosed || (probe === false && breaker.hasCooledDown))
    const failed = breakers.filter(breaker => !healthy.includes(breaker))
    const candidates = [...healthy, ...failed]
    let failure: unknown
    for (const [index, breaker] of candidates.entries()) {
      if (turn.signal.aborted) return
      const isLast = index === candidates.length - 1
      const isLastHope = isLast || index === healthy.length - 1
      const recover = breaker.track()
      noteAnswerFacts(turn, { agent: breaker.index, server: undefined, httpStatus: undefined, finishReason: undefined })
      const attempt = new Attempt(this, breaker.agent, turn, isLastHope ? undefined : firstTokenMs)
      const askedAt = performance.now()
      let answered = false
      try {
        let asked = attempt.next()
        // After the request of the turn, so that probes do not delay the caller.
        if (index === 0 && healthy.length > 0) probeCooledDown(this, failed, turn)
        for (;;) {
          const { done, value } = await asked
          attempt.throwIfStopped()
          if (!answered && (done || isAnswer(value))) {
            answered = true
            attempt.answered()
            // A greeting proves nothing: it is often a fixed line.
            if (turn.reason !== 'greeting') recover(turn.log)
          }
          if (done) return
          yield value as Speech
          asked = attempt.next()
        }
      } catch (error) {
        // The turn's deadline counts as the agent's failure if the agent had enough time.
        const ranOut = error instanceof TurnAbortedError && error.reason === 'deadline' && performance.now() - askedAt >= firstTokenMs
        if (!answered && (!turn.signal.aborted || ranOut)) breaker.fail(error, turn.log)
        if (turn.signal.aborted) return
        if (answered) throw error
        failure = error
      } finally {
        attempt.close()
      }
    }
    throw failure
  }

  function probeCooledDown (app: FastifyInstance, failed: readonly CircuitBreaker[], turn: Turn): void {
    for (const breaker of failed) {
      // probeOne never rejects.
      if (breaker.hasCooledDown && !probes.has(breaker)) void probeOne(app, breaker, turn) // eslint-disable-line no-void
    }
  }

  async function probeOne (app: FastifyInstance, breaker: CircuitBreaker, turn: Turn): Promise<void> {
    const controller = new AbortController()
    const { signal } = controller
    const timer = setTimeout(() => controller.abort(new TurnAbortedError('deadline')), firstTokenMs).unref()
    probes.set(breaker, controller)
    const recover = breaker.track()
    try {
      await Promise.race([
        probe ? probe(breaker.agent, signal) : sayHello(app, breaker.agent, turn, signal),
        aborted(signal)
      ])
      recover(turn.log)
    } catch (error) {
      breaker.fail(error, turn.log)
    } finally {
      clearTimeout(timer)
      probes.delete(breaker)
      controller.abort() // also stops an agent that has begun to answer
    }
  }

  async function close (): Promise<void> {
    for (const controller of probes.values()) controller.abort()
    const closed = await Promise.allSettled(breakers.map(async ({ agent }) => {
      if ('close' in agent && typeof agent.close === 'function') await agent.close()
    }))
    for (const outcome of closed) {
      if (outcome.status === 'rejected') throw outcome.reason
    }
  }

  return Object.assign(speak, { close })
}

/** Resolves when the agent begins to answer, or ends without a word. The caller must abort `signal`. */
async function sayHello (app: FastifyInstance, agent: Agent, { call, log }: Turn, signal: AbortSignal): Promise<void> {
  const attempt = new Attempt(app, agent, probeTurn(call, log.child({ probe: true }), signal))
  for (;;) {
    const { done, value } = await attempt.next()
    if (done || isAnswer(value)) return
    // An agent that yields only fillers, without a wait, would block the event loop.
    await nextLoopTurn()
  }
}

// A probe has the facts of a real call, since agents may read them, and cannot reach its caller.
function probeTurn (call: Call, log: Turn['log'], signal: AbortSignal): Turn {
  const { id, provider, from, to, direction, metadata, variables, details, completedTurns } = call
  const refuse = async () => { throw new CallEndedError() }
  const facts = { id, provider, from, to, direction, metadata, variables, details, completedTurns }
  // Nothing can be recorded, so no tool runs.
  const refuseNow = () => { throw new CallEndedError() }
  const control = {
    interject: refuse,
    end: refuse,
    transfer: refuse,
    sendMetadata: refuse,
    updateAgent: refuse,
    record: refuseNow,
    waitUntil: refuseNow,
    countTokens () {}
  }
  const said = { role: 'user' as const, content: 'Hello?' }
  const probeCall = { ...facts, ...control, state: {}, log }
  return { id: 'probe', reason: 'response', call: probeCall, transcript: [said], messages: [said], signal, log }
}

function aborted (signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => { reject(signal.reason) }, { once: true })
  })
}

function checkDuration (ms: number, name: string): void {
  if (!isDuration(ms) || ms === 0) {
    throw new ConfigError(`failover: ${name} must be milliseconds above 0, at most ${LONGEST_MS}`)
  }
}
