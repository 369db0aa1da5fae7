/**
 * What is asked of another node's call, and what another node asks of a call here.
 */
import { randomUUID } from 'node:crypto'
import { ActionError, ClusterError } from '../contract/errors.js'
import type { Clock } from '../timing/timeout.js'
import type { CallKey, ClusterHost, Command } from './cluster.js'
import type { Keys } from './keys.js'
import { isCommand, type Message, type Reply, type Request } from './messages.js'
import { LinkError, type RedisLink } from './redis-link.js'
import { fromRemote, toRemote } from './remote-error.js'

const UNCERTAIN = 'The node that has the call did not answer: it may or may not have done what it was asked'

/** Sends commands to other nodes, and waits for what came of them. */
export class RedisCommands {
  readonly #node: string
  readonly #keys: Keys
  readonly #link: RedisLink
  readonly #timeoutMs: number
  /** Redis' time, in ms since 1970. */
  readonly #now: () => number
  readonly #clock: Clock
  readonly #waiting = new Map<string, (error?: Error) => void>()
  /** A client that was handed in may send twice what it lost the answer of. */
  readonly #seen = new Set<string>()

  constructor (node: string, keys: Keys, link: RedisLink, timeoutMs: number, now: () => number, clock: Clock) {
    this.#node = node
    this.#keys = keys
    this.#link = link
    this.#timeoutMs = timeoutMs
    this.#now = now
    this.#clock = clock
  }

  /** Has another node do something. Rejects as the call does; with VOICE_AGENT_ERR_CLUSTER where there is no answer. */
  async ask (node: string, { provider, id }: CallKey, command: Command): Promise<void> {
    const sent = copyOf(command)
    const nonce = randomUUID()
    const request: Request = { type: 'request', provider, id, nonce, from: this.#node, until: this.#now() + this.#timeoutMs, command: sent }
    let timer: NodeJS.Timeout | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.set(nonce, error => error === undefined ? resolve() : reject(error))
        timer = this.#clock.setTimeout(() => reject(new ClusterError(UNCERTAIN)), this.#timeoutMs)
        this.#publish('command', node, request).then(isHeard => {
          if (!isHeard) reject(new ClusterError('The node that has the call is not there: it has not done what it was asked'))
        }, (error: unknown) => {
          reject(new ClusterError(error instanceof LinkError && !error.isSent ? 'The node that has the call cannot be asked: it has not done what it was asked' : UNCERTAIN))
        })
      })
    } finally {
      this.#clock.clearTimeout(timer)
      this.#waiting.delete(nonce)
    }
  }

  /** Carries out what another node asks, and tells it what came of it. */
  async answer ({ nonce, from, until, provider, id, command }: Request, host: ClusterHost): Promise<void> {
    if (this.#now() > until || this.#seen.has(nonce)) return
    this.#seen.add(nonce)
    this.#clock.setTimeout(() => this.#seen.delete(nonce), this.#timeoutMs).unref()
    const reply: Reply = { type: 'reply', nonce }
    try {
      if (!isCommand(command)) throw new ActionError('The node that has the call does not know what it was asked')
      await host.command({ provider, id }, command)
    } catch (error) {
      reply.error = toRemote(error)
    }
    await this.#publish('command', from, reply).catch(() => {}) // It is counted, and whoever asked will wait no longer than he would.
  }

  answered ({ nonce, error }: Reply): void {
    this.#waiting.get(nonce)?.(error === undefined ? undefined : fromRemote(error))
  }

  /** Nobody waits any more. */
  close (): void {
    for (const settle of this.#waiting.values()) settle(new ClusterError(UNCERTAIN))
  }

  /** Resolves with whether anybody listens, as far as that can be known. */
  async #publish (operation: string, node: string, message: Message): Promise<boolean> {
    return await this.#link.ask(operation, async client => {
      const listeners = await client.call('publish', this.#keys.channelOf(node), JSON.stringify(message))
      // A Redis Cluster counts those who listen at one of its servers.
      return client.isCluster || listeners !== 0
    })
  }
}

/** What arrives of a command at another node. */
function copyOf (command: Command): Command {
  let copy: unknown
  try {
    copy = JSON.parse(JSON.stringify(command))
  } catch {
    throw new ActionError(`${command.method}: it cannot be sent to another node, as it is not JSON`)
  }
  if (!isCommand(copy)) throw new ActionError(`${command.method}: it was given something that it does not accept`)
  return copy
}
