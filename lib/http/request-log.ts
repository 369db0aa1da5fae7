import type { FastifyRequest, RouteShorthandOptions } from 'fastify'

/**
 * How requests are logged. Fastify's own serializer logs the URL, in which a secret stands, whatever a provider was told to put
 * into its query, or what an operator put there by mistake.
 */
export const logSerializers: NonNullable<RouteShorthandOptions['logSerializers']> = { req: requestOf }

function requestOf ({ method, routeOptions, raw }: FastifyRequest): object {
  return { method, url: routeOptions.url, remoteAddress: raw.socket?.remoteAddress }
}
