/**
 * Liveness and readiness routes for orchestrators and load balancers.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { comeAgain } from '../admission/guard.js'
import { isUnderPressure, JUDGES_PRESSURE } from '../admission/pressure.js'
import { WITHOUT_RATE_LIMIT } from '../admission/rate-limit.js'
import { ConfigError } from '../contract/errors.js'
import { nameOf, type Env } from '../config/settings.js'

/** The conditions of readiness. */
export interface HealthSettings {
  isClosing (): boolean
  /** True if a call from any address would be refused. */
  isFull (): boolean
}

/**
 * Registers the routes whose path is not empty.
 * @throws VOICE_AGENT_ERR_CONFIG when another route has the path of one
 */
export function registerHealth (scope: FastifyInstance, config: Env, { isClosing, isFull }: HealthSettings): void {
  // An orchestrator kills a process that fails this, and its calls with it: neither closing nor load may fail it.
  add('LIVENESS_PATH', () => ({ status: 'alive' }))
  add('READINESS_PATH', reply => {
    const obstacle = findObstacle()
    return obstacle === undefined ? { status: 'ready' } : comeAgain(reply.code(503), { status: obstacle })
  })

  // In the order in which admission checks a new call.
  function findObstacle (): string | undefined {
    if (isClosing()) return 'closing'
    if (isUnderPressure(scope)) return 'under-pressure'
    return isFull() ? 'full' : undefined
  }

  function add (path: 'LIVENESS_PATH' | 'READINESS_PATH', answer: (reply: FastifyReply) => object): void {
    const url = config[path]
    if (url === '') return
    if (scope.hasRoute({ method: 'GET', url: scope.prefix + url })) throw new ConfigError(`${nameOf(path)}: another route has this path`)
    scope.get(url, { logLevel: 'warn', config: { ...JUDGES_PRESSURE, ...WITHOUT_RATE_LIMIT }, onRequest: answerUpgrade }, say)

    // Otherwise @fastify/websocket would open a socket for any client, log that, and close it.
    function answerUpgrade (request: FastifyRequest, reply: FastifyReply, done: () => void): void {
      if (request.ws) say(request, reply)
      else done()
    }

    function say (_request: FastifyRequest, reply: FastifyReply): void {
      reply.header('cache-control', 'no-store').send(answer(reply))
    }
  }
}
