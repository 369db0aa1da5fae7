import type { AddressInfo } from 'node:net'
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'

/** Options of a playground that is served whatever the environment says. */
export const ENABLED = { enabled: true, token: 'f00dfeedf00dfeedf00dfeedf00dfeed' } as const

/** The cookie that its token is traded for. */
export function cookieOf (app: FastifyInstance): string {
  const address = app.server.address() as AddressInfo | null
  return `voice_agent_playground_${address?.port ?? 0}=${ENABLED.token}`
}

/** Asks for a page, with the cookie. */
export async function injectWithCookie (app: FastifyInstance, request: string | InjectOptions): Promise<LightMyRequestResponse> {
  const { headers, ...options } = typeof request === 'string' ? { url: request } as InjectOptions : request
  return await app.inject({ ...options, headers: { cookie: `voice_agent_playground_0=${ENABLED.token}`, ...headers } })
}

/** The URL that opens a page in a browser. */
export function withToken (url: string): string {
  return `${url}?token=${ENABLED.token}`
}
