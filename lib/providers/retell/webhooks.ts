/**
 * Retell's webhooks: signed, be it what happened to a call or the question who takes one.
 */
import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { UnauthorizedError, WebhookError } from '../../contract/errors.js'
import { idOf } from '../../contract/id.js'
import { digestOf } from '../../webhooks/event.js'
import { answerWith, type Answer, type ProviderWebhooks, type Question, type WebhookReceiver } from '../../webhooks/receiver.js'
import { ExpiringMap } from '../../webhooks/expiring-map.js'
import { readUnchecked } from '../../webhooks/unchecked-body.js'
import { isObject, nonEmpty, type JsonObject } from '../../contract/json.js'
import { parseFrame } from '../frame.js'
import { retellNotice, type InboundCall, type InboundCallReply, type RetellWebhookHooks } from './webhook-events.js'
import { MAX_SKEW_MS, readSignature, SIGNATURE_HEADER, signatureCheck, skewOf } from './signature.js'

// A signature that was made ahead of our clock is good for twice that time, and is known for longer. Transcripts are told of every few seconds of every call:
// so many are 160 a second, and 19 MiB.
const SIGNATURES = { ms: 2 * MAX_SKEW_MS + 1_000, max: 100_000 }

// Retell tries four times, for 10 s each.
const TRIES_MS = 40_000
const MAX_ANSWERS = 1_000

const INBOUND: Question<InboundCallReply> = {
  hook: 'onInboundCall',
  // The phone rings meanwhile. After 10 s Retell would ask again; the rest is for the way there and back.
  ms: 8_000,
  schema: Type.Partial(Type.Object({
    override_agent_id: Type.String(),
    override_agent_version: Type.Union([Type.Integer(), Type.String()], { description: 'a number or a string' }),
    dynamic_variables: Type.Object({}),
    metadata: Type.Object({}),
    agent_override: Type.Object({})
  })),
  toWire: ({ dynamic_variables: variables, ...reply }) => ({
    call_inbound: { ...reply, ...(variables !== undefined && { dynamic_variables: textsOf(variables) }) }
  })
}

/**
 * Makes Retell's route.
 * @param keysName what the operator calls the keys, for the log
 */
export function retellWebhooks (
  receiver: WebhookReceiver,
  hooks: RetellWebhookHooks,
  keys: readonly string[],
  keysName: string
): ProviderWebhooks {
  const isSigned = signatureCheck(keys)
  // When each was seen first.
  const signatures = new ExpiringMap<number>(SIGNATURES.ms, SIGNATURES.max)
  const asking = new Map<string, Promise<Answer>>()
  const answers = new ExpiringMap<Answer>(TRIES_MS, MAX_ANSWERS)

  async function checkHeader (request: FastifyRequest): Promise<void> {
    const header = request.headers[SIGNATURE_HEADER]
    const signature = readSignature(header)
    if (signature === undefined) {
      return refuse(request, {}, header === undefined ? `no ${SIGNATURE_HEADER} header` : `the ${SIGNATURE_HEADER} header is malformed`)
    }
    const skewMs = skewOf(signature)
    if (skewMs > MAX_SKEW_MS) refuse(request, { skewMs }, 'the signature is too old, or the clock of this machine is wrong')
  }

  function checkSignature (request: FastifyRequest, data: Buffer): void {
    if (!isSigned(data, readSignature(request.headers[SIGNATURE_HEADER])!)) refuse(request, {}, `the signature is wrong: is ${keysName} the key with the webhook badge?`)
  }

  async function receive (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const data = receiver.accept(request, reply)
    // Fastify has none read where no header announces one.
    if (request.body === undefined) checkSignature(request, data)
    const body = parseFrame(data, false)
    if (!isNamed(body)) throw new WebhookError(typeof body === 'string' ? body : 'without an event')

    const key = readSignature(request.headers[SIGNATURE_HEADER])!.digest.toString('base64')
    const isNews = signatures.add(key, performance.now())
    if (body.event !== 'call_inbound') return receiver.tell(request, reply, retellNotice(body), isNews)

    // It is not said whether a retry is signed anew.
    const isTry = performance.now() - signatures.get(key)! < TRIES_MS
    const askApp = (call: InboundCall): Promise<Answer> =>
      receiver.ask(request, INBOUND, () => isTry ? hooks.onInboundCall?.(call) : undefined)
    return answerWith(reply, await ask(readInboundCall(body), data, askApp))
  }

  // Retell asks again when an answer is lost. One call has one answer, if it is known which call it is: two of the same number may have the same bytes,
  // and share no more than a hook that is running. What a hook did not answer it may the next time.
  async function ask (call: InboundCall, data: Buffer, askApp: (call: InboundCall) => Promise<Answer>): Promise<Answer> {
    const { callId } = call
    const key = digestOf(callId ?? data)
    const known = answers.get(key) ?? asking.get(key)
    if (known !== undefined) return known
    const asked = askApp(call)
    asking.set(key, asked)
    const answer = await asked
    asking.delete(key)
    if (callId !== undefined && answer.isGiven) answers.add(key, answer)
    return answer
  }

  return {
    checkHeader,
    readBody: (request, payload) => readUnchecked(request, payload, data => checkSignature(request, data)),
    handlers: { POST: receive }
  }
}

function refuse (request: FastifyRequest, facts: object, why: string): never {
  request.log.warn(facts, `refused: ${why}`)
  throw new UnauthorizedError()
}

function isNamed (body: JsonObject | string): body is JsonObject & { event: string } {
  return typeof body !== 'string' && typeof body['event'] === 'string'
}

function readInboundCall ({ call_inbound: sent }: JsonObject): InboundCall {
  const details = isObject(sent) ? sent : {}
  return {
    callId: idOf(details['call_id']),
    from: nonEmpty(details['from_number']),
    to: nonEmpty(details['to_number']),
    agentId: idOf(details['agent_id']),
    details
  }
}

// Retell takes nothing else, and would drop the whole reply.
function textsOf (variables: object): Record<string, string> {
  return Object.fromEntries(Object.entries(variables)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => [name, typeof value === 'object' ? JSON.stringify(value) : String(value)]))
}
