import { createHmac } from 'node:crypto'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import voiceAgentPlugin, { type VoiceAgentOptions, type WebhookEvent } from '../../lib/index.js'
import { AT_ONCE, createApp } from './app.js'

export const KEY = 'key_example_only'
export const SECRET = 'millis-secret-0123456789'
export const BEARER = { authorization: `Bearer ${SECRET}` }

/** The header with which Retell sends a body; made by hand, as Retell's SDK cannot sign in the past. */
export function signed (body: string | Buffer, { key = KEY, at = Date.now() as number | string } = {}): Record<string, string> {
  return { 'x-retell-signature': `v=${at},d=${createHmac('sha256', key).update(body).update(String(at)).digest('hex')}` }
}

/** An app with both webhooks, for this machine. `told` is what onWebhook was given, where the options have none. */
export async function withWebhooks (t: Test, options: VoiceAgentOptions = {}, { level = 'trace', server = {}, before = (_app: FastifyInstance): void => {} }: { level?: string, server?: FastifyServerOptions, before?: (app: FastifyInstance) => void } = {}) {
  const { app, logs } = createApp(t, level, server)
  before(app)
  const told: WebhookEvent[] = []
  await app.register(voiceAgentPlugin, {
    ...AT_ONCE,
    onWebhook: event => { told.push(event) },
    ...options,
    ...(options.retell !== false && { retell: { allowlist: '127.0.0.1', apiKey: KEY, ...options.retell } }),
    ...(options.millis !== false && { millis: { allowlist: '127.0.0.1', webhookSecret: SECRET, ...options.millis } })
  })
  const retell = (body: string | object, headers?: Record<string, string>) => {
    const payload = typeof body === 'string' ? body : JSON.stringify(body)
    return app.inject({ method: 'POST', url: '/webhooks/retell', payload, headers: { 'content-type': 'application/json', ...(headers ?? signed(payload)) } })
  }
  const millis = (body: string | object, headers: Record<string, string> = BEARER) =>
    app.inject({ method: 'POST', url: '/webhooks/millis', payload: typeof body === 'string' ? body : JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers } })
  return {
    app,
    logs,
    told,
    retell,
    millis,
    complaints: () => logs.filter(({ level }) => level >= 40).map(({ msg }) => msg),
    /** All that was told, once hooks are through. */
    async allTold (): Promise<WebhookEvent[]> {
      await app.close()
      return told
    }
  }
}

/** A request whose body is written by hand: resolves as soon as there is an answer, be it before the body. */
export async function send (t: Test, url: string, headers: Record<string, string | number>, body: (request: NodeJS.WritableStream) => void, method = 'POST') {
  const request = httpRequest(url, { method, headers })
  t.teardown(() => request.destroy())
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve).on('error', reject)
    request.flushHeaders()
    body(request)
  })
  let text = ''
  for await (const chunk of response) text += String(chunk)
  request.destroy()
  return { status: response.statusCode, headers: response.headers, body: text }
}
