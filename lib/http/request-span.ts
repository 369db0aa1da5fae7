/**
 * The span that the app's own @fastify/otel keeps of each request. It ends with the response, and an upgraded request never has one.
 */
import type { Span } from '@opentelemetry/api'
import type { FastifyRequest } from 'fastify'
import { quietly } from '../telemetry/failure.js'

/** What @fastify/otel decorates requests with. */
interface TracedRequest {
  opentelemetry? (): { readonly span?: Span | null } | undefined
}

/** True if the app traces its requests. */
export function isTraced (request: FastifyRequest): boolean {
  return 'opentelemetry' in request
}

/**
 * Ends the span of a request that has no response, where the app keeps one. Never throws.
 * @param statusCode of what answered instead, if that is known
 */
export function endRequestSpan (request: FastifyRequest, statusCode: number | undefined): void {
  quietly(() => {
    const span = (request as TracedRequest).opentelemetry?.()?.span
    if (statusCode !== undefined) span?.setAttribute('http.response.status_code', statusCode)
    span?.end()
  })
}
