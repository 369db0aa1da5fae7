/**
 * Live calls over HTTP, and the OpenAPI document that says how: to whoever knows CONTROL_TOKEN. See docs/control.md.
 */
import swagger from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import { UnauthorizedError } from 'fastify-voice-agent'
import voiceAgentControl, { bearerCheck, securitySchemes } from 'fastify-voice-agent/control'

/** The plugin. Nothing of it is there without CONTROL_TOKEN. */
export async function control (app: FastifyInstance): Promise<void> {
  const { CONTROL_TOKEN: token } = process.env
  if (!token) return
  const knowsToken = bearerCheck(token)

  // In a scope of their own, so that the document is of these routes alone.
  await app.register(swagger, {
    openapi: { openapi: '3.1.0', info: { title: 'Live calls', version: '1' }, components: { securitySchemes } },
    refResolver: { buildLocalReference: ({ $id }) => String($id) }
  })
  await app.register(voiceAgentControl)

  // Whoever may not ask need not know for what.
  app.get('/control/openapi.json', {
    schema: { hide: true },
    async onRequest (request) {
      if (!knowsToken(request)) throw new UnauthorizedError()
    }
  }, async () => app.swagger())
}
