/**
 * Live calls over HTTP, for an operator's desk or a cron job: `await app.register(voiceAgentControl)`. See docs/control.md.
 */
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import { createBearerGuard } from '../admission/bearer.js'
import { secretsOf } from '../admission/secret.js'
import { ConfigError } from '../contract/errors.js'
import { answerFailure } from './failure.js'
import { CallSchema, ErrorSchema } from './operations.js'
import { addRoutes } from './routes.js'
import { validatorCompiler } from './validation.js'

export { bearerCheck, type AuthorizedRequest } from '../admission/bearer.js'
export { securitySchemes } from './operations.js'

/** Options of {@link voiceAgentControl}; `prefix` moves its routes, as of any plugin. */
export interface ControlOptions {
  /**
   * Whoever knows it hears of all calls, speaks in them, and transfers and ends them. Several, each of which is right, in a list or
   * separated by commas, so that one can be changed without a gap. Default `CONTROL_TOKEN` of the environment.
   */
  token?: string | readonly string[]
  /** What its routes begin with. Default `/control`. */
  path?: string
}

const TOKEN = 'CONTROL_TOKEN (option token)'

/**
 * Serves what `fastify.calls.cluster` knows and can do, to whoever knows a token: the calls of the plugin registered beside it, or
 * in a scope around it, on whatever node they are. Its hooks, parsers and schemas are for its own routes alone.
 *
 * The app does not become ready with VOICE_AGENT_ERR_CONFIG.
 */
const voiceAgentControl: FastifyPluginAsync<ControlOptions> = async function voiceAgentControl (scope: FastifyInstance, options: ControlOptions) {
  const { token = process.env['CONTROL_TOKEN'] ?? '', path = '/control' } = options
  const tokens = secretsOf(String(token))
  // Of these a header may consist (RFC 6750): others could never be sent.
  if (tokens.length === 0 || !tokens.every(token => /^[\w.~+/-]+=*$/.test(token))) {
    throw new ConfigError(`${TOKEN} must be letters, digits and any of . _ ~ + / - with = at the end; several are separated by commas. There is no control plane without`)
  }
  if (!/^(\/[\w.~-]+)+$/.test(path)) throw new ConfigError('option path must be a path such as /control, without a slash at its end')

  scope.addHook('onReady', async function findCalls () {
    if (!scope.hasDecorator('calls')) throw new ConfigError('voiceAgentControl: there is no fastify.calls: register voiceAgentPlugin beside it, or in a scope around it')
  })

  scope.addHook('onRequest', async function keepOut (_request, reply) { reply.header('cache-control', 'no-store') })
  scope.addHook('onRequest', createBearerGuard(tokens, TOKEN, `send Bearer and ${TOKEN}`))
  scope.setErrorHandler(answerFailure)

  // What an app reads, checks and writes its own JSON with is not made for these.
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('application/json', { parseAs: 'string' }, scope.getDefaultJsonParser('error', 'error'))
  scope.setValidatorCompiler(validatorCompiler)
  scope.setSerializerCompiler(() => data => JSON.stringify(data))
  for (const schema of [CallSchema, ErrorSchema]) scope.addSchema(schema)

  addRoutes(scope, path)
}

export default voiceAgentControl
