/**
 * Several agents in place of one: where one fails or keeps silent, the next is asked.
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
   * How long an agent may take until the first piece of its answer, in ms, where another one is there to be asked.
   * Default 2,000. The turn's own `deadlines.firstTokenMs` is to be longer: it bounds them all together.
   */
  firstTokenMs?: number
  /** How long an agent that failed is left alone, in ms. Default 30,000. A `retry-after` its server sent makes it longer, by up to 5 min. */
  cooldownMs?: number
  /**
   * Finds out, after the cooldown, whether an agent is healthy again: resolves when it is. Runs beside a turn that
   * another agent answers; not heard, cut off after `firstTokenMs` (`signal` aborts), and never twice at once for one
   * agent. Default: it is asked to answer `Hello?` in a call that cannot be controlled, and is healthy when it begins
   * to. `false`: the next turn finds out.
   */
  probe?: false | ((agent: Agent, signal: AbortSignal) => Promise<unknown>)
}

const OPTIONS = namesOf<FailoverOptions>({ firstTokenMs: true, cooldownMs: true, probe: true })

/** An agent that asks others. From an agent of one's own: `yield * model.call(this, turn)`. Whoever made it closes it. */
export interface FailoverAgent {
  /**
   * Streams the answer of the first agent that begins one. Leaving the generator, or `turn.signal`, stops the agent
   * that is being asked; an aborted turn ends quietly.
   * @throws what the last agent threw, and what an agent threw that had begun to answer
   */
  (this: FastifyInstance, turn: Turn): AsyncGenerator<Speech, void, undefined>
  /** Cuts off probes and closes the agents that can be closed. Rejects when one of them does, once all are closed. */
  close (): Promise<void>
}

/**
 * Makes one agent of several, the most wanted first. A turn is put to the first healthy one, and as long as that has
 * said no more than fillers, pauses and flushes, to the next one when it throws or takes too long. From the first
 * token or other action on, the answer is that agent's alone. An agent that says nothing and ends chose silence.
 *
 * Each is given the turn with an AbortSignal and messages of its own. The signal aborts with the turn's (same reason),
 * when the agent took too long (a TurnAbortedError, `deadline`) and when its reply is left before it ended. Agents
 * that failed are sick until their cooldown is over, and are asked only after all healthy ones have failed. The last
 * agent, and the last healthy one, has no deadline but the turn's own, which makes it sick as well.
 * @throws VOICE_AGENT_ERR_CONFIG when there are less than two agents, or an option is none that is accepted
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
    const sick = breakers.filter(breaker => !healthy.includes(breaker))
    const candidates = [...healthy, ...sick]
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
        // Behind the caller's back, and so after the agent that answers was asked.
        if (index === 0 && healthy.length > 0) probeCooledDown(this, sick, turn)
        for (;;) {
          const { done, value } = await asked
          attempt.throwIfStopped()
          if (!answered && (done || isAnswer(value))) {
            answered = true
            attempt.answered()
            // A greeting is often a fixed line, for which no model is asked.
            if (turn.reason !== 'greeting') recover(turn.log)
          }
          if (done) return
          yield value as Speech
          asked = attempt.next()
        }
      } catch (error) {
        // A turn that was given up for taking too long says as much of its agent, where that had time enough.
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

  function probeCooledDown (app: FastifyInstance, sick: readonly CircuitBreaker[], turn: Turn): void {
    for (const breaker of sick) {
      // It catches whatever the agent does.
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

/** Resolves when the agent begins to answer, or chooses silence. Goes on until `signal` aborts, which whoever calls sees to. */
async function sayHello (app: FastifyInstance, agent: Agent, { call, log }: Turn, signal: AbortSignal): Promise<void> {
  const attempt = new Attempt(app, agent, madeUpTurn(call, log.child({ probe: true }), signal))
  for (;;) {
    const { done, value } = await attempt.next()
    if (done || isAnswer(value)) return
    // An agent that has nothing but fillers, all ready, would never let the event loop turn.
    await nextLoopTurn()
  }
}

// A probe has the facts of a real call, as agents may look them up, and no way to reach its caller.
function madeUpTurn (call: Call, log: Turn['log'], signal: AbortSignal): Turn {
  const { id, provider, from, to, direction, metadata, variables, details, completedTurns } = call
  const refuse = async () => { throw new CallEndedError() }
  const facts = { id, provider, from, to, direction, metadata, variables, details, completedTurns }
  // Nothing is recorded, and so no tool runs.
  const refuseNow = () => { throw new CallEndedError() }
  const control = { interject: refuse, end: refuse, transfer: refuse, sendMetadata: refuse, updateAgent: refuse, record: refuseNow, waitUntil: refuseNow, countTokens () {} }
  const said = { role: 'user' as const, content: 'Hello?' }
  return { id: 'probe', reason: 'response', call: { ...facts, ...control, state: {}, log }, transcript: [said], messages: [said], signal, log }
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
