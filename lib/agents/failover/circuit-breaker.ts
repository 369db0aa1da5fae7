/**
 * Which agents are worth asking: one that failed is sick until its cooldown is over.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { Agent } from '../../contract/agent.js'
import { logFailure } from '../../telemetry/failure.js'

/** A server that wants to be left alone for longer is asked again all the same: its quota may have been raised. */
const LONGEST_RETRY_AFTER_MS = 300_000

/** One agent of several and what is known of its health, over all calls. */
export class CircuitBreaker {
  readonly agent: Agent
  /** Its place in the list of agents, from 0. */
  readonly index: number
  readonly #cooldownMs: number
  /** By `performance.now()`; 0 is healthy. */
  #openUntil = 0

  constructor (agent: Agent, index: number, cooldownMs: number) {
    this.agent = agent
    this.index = index
    this.#cooldownMs = cooldownMs
  }

  get isClosed (): boolean {
    return this.#openUntil === 0
  }

  /** Has it been left alone for long enough? */
  get hasCooledDown (): boolean {
    return this.#openUntil <= performance.now()
  }

  /**
   * To be called when the agent is asked, and what it returns when the agent answered: that makes it healthy, unless
   * it fell sick in between. An answer to an older question proves nothing.
   */
  track (): (log: FastifyBaseLogger) => void {
    const known = this.#openUntil
    return log => {
      if (known === 0 || known !== this.#openUntil) return
      this.#openUntil = 0
      this.#bind(log).info('agent is healthy again')
    }
  }

  /** It did not answer. It is sick for a cooldown, or for as long as the error says. */
  fail (error: unknown, log: FastifyBaseLogger): void {
    const cooldownMs = Math.max(this.#cooldownMs, Math.min(retryAfterMs(error), LONGEST_RETRY_AFTER_MS))
    this.#openUntil = Math.max(this.#openUntil, performance.now() + cooldownMs)
    // The caller may still hear an answer, and where not, the turn logs its failure itself.
    logFailure(this.#bind(log, { cooldownMs }), error, 'agent gave no answer', 'warn')
  }

  #bind (log: FastifyBaseLogger, more?: object): FastifyBaseLogger {
    return log.child({ agentIndex: this.index, agentName: this.agent.name, ...more })
  }
}

/** What a model's server said with its refusal, as the openai client passes it on; 0 where it said nothing. */
function retryAfterMs (error: unknown): number {
  try {
    const { headers } = error as { headers: Headers }
    const after = headers.get('retry-after') ?? ''
    const ms = Number(after) * 1000
    // Some say it in ms beside.
    return Math.max(
      Number(headers.get('retry-after-ms')) || 0,
      Number.isNaN(ms) ? Date.parse(after) - Date.now() || 0 : ms
    )
  } catch {
    return 0 // Anything can be thrown.
  }
}
