/**
 * Millis' webhooks: the end of a call (POST), and the question what is to be known of one (GET). They are not signed: the
 * headers that an operator has them sent with are all there is to tell Millis by.
 */
import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { createBearerGuard } from '../../admission/bearer.js'
import { WebhookError } from '../../contract/errors.js'
import { idOf } from '../../contract/id.js'
import { answerWith, type ProviderWebhooks, type Question, type WebhookReceiver } from '../../webhooks/receiver.js'
import { nonEmpty } from '../../contract/json.js'
import { parseFrame } from '../frame.js'
import { millisNotice, type MillisWebhookHooks, type PrefetchReply, type PrefetchSession } from './webhook-events.js'

const PREFETCH: Question<PrefetchReply> = {
  hook: 'onPrefetch',
  // Millis does not say how long it waits. The caller hears nothing until then, and puts up with no more.
  ms: 2_000,
  schema: Type.Partial(Type.Object({ metadata: Type.Object({}), extra_prompt: Type.String() })),
  toWire: reply => reply
}

/**
 * Makes Millis' routes.
 * @param secrets at least one
 * @param secretsName what the operator calls them, for the log
 */
export function millisWebhooks (
  receiver: WebhookReceiver,
  hooks: MillisWebhookHooks,
  secrets: readonly string[],
  secretsName: string
): ProviderWebhooks {
  const checkHeader = createBearerGuard(secrets, secretsName, 'let the webhook\'s headers have one, Bearer and the secret')

  async function receive (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const body = parseFrame(receiver.accept(request, reply), false)
    if (typeof body === 'string') throw new WebhookError(body)
    const notice = millisNotice(body)
    const { chat, callId } = notice.event
    if (chat === undefined) request.log.warn({ callId }, 'the chat of a call cannot be read: it is in event.call as it was sent')
    return receiver.tell(request, reply, notice)
  }

  async function prefetch (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    receiver.accept(request, reply)
    return answerWith(reply, await receiver.ask(request, PREFETCH, () => hooks.onPrefetch?.(readSession(request.url))))
  }

  return { checkHeader, handlers: { POST: receive, GET: prefetch } }
}

// Not Fastify's own query, for which an app may have its own parser.
function readSession (url: string): PrefetchSession {
  const { session_id: callId, agent_id: agentId, from, to, ...metadata } =
    Object.fromEntries(new URLSearchParams(url.slice((url + '?').indexOf('?') + 1))) as Record<string, string>
  return { callId: idOf(callId), agentId: idOf(agentId), from: numberOf(from), to: numberOf(to), metadata }
}

// A plus sign that was not encoded is a space.
function numberOf (number: string | undefined): string | undefined {
  return nonEmpty(number?.replace(/^ /, '+'))
}
