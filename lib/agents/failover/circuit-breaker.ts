/**
 * Circuit breakers of agents: after a failure an agent is not asked until its cooldown is over.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { Agent } from '../../contract/agent.js'
import { logFailure } from '../../telemetry/failure.js'

/** The longest `retry-after` that is honoured. After that the server is asked again, since its quota may have been raised. */
const LONGEST_RETRY_AFTER_MS = 300_000

/** The circuit breaker of one agent, shared by all calls. */
export class CircuitBreaker {
  readonly agent: Agent
  /** Its index in the list of agents. */
  readonly index: number
  readonly #cooldownMs: number
  /** The end of the cooldown, by `performance.now()`; 0 if the breaker is closed. */
  #openUntil = 0

  constructor (agent: Agent, index: number, cooldownMs: number) {
    this.agent = agent
    this.index = index
    this.#cooldownMs = cooldownMs
  }

  /** True if the agent is healthy. */
  get isClosed (): boolean {
    return this.#openUntil === 0
  }

  /** True once the cooldown is over: the agent may be probed. */
  get hasCooledDown (): boolean {
    return this.#openUntil <= performance.now()
  }

  /**
   * Call it when the agent is asked, and the returned function when the agent answers: that closes the breaker, unless the agent failed
   * meanwhile. An answer to an older request proves nothing.
   */
  track (): (log: FastifyBaseLogger) => void {
    const known = this.#openUntil
    return log => {
      if (known === 0 || known !== this.#openUntil) return
      this.#openUntil = 0
      this.#bind(log).info('agent is healthy again')
    }
  }

  /** Opens the breaker after a failure, for the cooldown or for the error's `retry-after`. */
  fail (error: unknown, log: FastifyBaseLogger): void {
    const cooldownMs = Math.max(this.#cooldownMs, Math.min(retryAfterMs(error), LONGEST_RETRY_AFTER_MS))
    this.#openUntil = Math.max(this.#openUntil, performance.now() + cooldownMs)
    // A warning: another agent may still answer. If none does, the turn logs an error.
    logFailure(this.#bind(log, { cooldownMs }), error, 'agent gave no answer', 'warn')
  }

  #bind (log: FastifyBaseLogger, more?: object): FastifyBaseLogger {
    return log.child({ agentIndex: this.index, agentName: this.agent.name, ...more })
  }
}

/** The `retry-after` of a model server's refusal, as the openai client passes it on; 0 if there is none. */
function retryAfterMs (error: unknown): number {
  try {
    const { headers } = error as { headers: Headers }
    const after = headers.get('retry-after') ?? ''
    const ms = Number(after) * 1000
    // Some servers send it in ms as well.
    return Math.max(
      Number(headers.get('retry-after-ms')) || 0,
      Number.isNaN(ms) ? Date.parse(after) - Date.now() || 0 : ms
    )
  } catch {
    return 0 // Anything can be thrown.
  }
}
