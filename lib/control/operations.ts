/**
 * What may be asked, in words that people and OpenAPI understand: @fastify/swagger, where the app has it, makes a document of
 * this. Without it nobody reads what Fastify does not know.
 */
import { Type, type Static } from '@sinclair/typebox'
import type { FastifySchema } from 'fastify'
import type { Feature } from '../providers/codec.js'
import { PROVIDER_NAMES, providers } from '../providers/index.js'
import { PLACE } from './page.js'

const strict = { additionalProperties: false }

const Provider = Type.Union(PROVIDER_NAMES.map(name => Type.Literal(name)), { description: PROVIDER_NAMES.join(' or ') })

/** Says which providers alone have a feature. */
const only = (feature: Feature): string => `${providers.filter(({ features }) => features.has(feature)).map(({ label }) => label).join(' and ')} only`

const AgentConfig = Type.Union(providers.flatMap(({ agentConfig }) => agentConfig ?? []))

// Shared schemas have names that no app has taken.

export const CallSchema = Type.Object({
  id: Type.String({ description: "The provider's id of the call." }),
  provider: Provider,
  node: Type.String({ description: 'The node that has it.' }),
  startedAt: Type.String({ format: 'date-time', description: 'When it began.' })
}, { $id: 'VoiceAgentCall', title: 'Call', description: 'A live call.' })

export const ErrorSchema = Type.Object({
  statusCode: Type.Integer(),
  code: Type.Optional(Type.String({ description: 'Does not change from version to version.' })),
  error: Type.String(),
  message: Type.String({ description: 'For people. Holds nothing that was said, and no number.' })
}, { $id: 'VoiceAgentError', title: 'Error', description: 'Why not.' })

const Calls = Type.Object({
  calls: Type.Array(Type.Unsafe({ $ref: 'VoiceAgentCall#' })),
  next: Type.Optional(Type.String({ description: 'Where there are more: `after` of the next page.' }))
}, { description: 'Calls, those that began first coming first.' })

const Nodes = Type.Object({
  node: Type.String({ description: 'The one that answers.' }),
  calls: Type.Integer({ description: 'How many calls there are, by the last heartbeats of all nodes.' }),
  nodes: Type.Array(Type.Object({
    id: Type.String(),
    calls: Type.Integer({ description: 'By its last heartbeat.' }),
    startedAt: Type.String({ format: 'date-time', description: 'When it joined.' })
  }))
}, { description: 'The nodes that are alive.' })

const Say = Type.Optional(Type.String({ description: 'What is said first.' }))

/** What may be asked for in queries. */
export const PageQuerySchema = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000, default: 100, description: 'How many calls at the most; 100, unless told otherwise.' })),
  after: Type.Optional(Type.String({ pattern: PLACE, description: 'next of the page before' })),
  provider: Type.Optional(Provider),
  node: Type.Optional(Type.String({ minLength: 1, description: 'Calls of this node alone.' }))
}, strict)

/** A query that is as it must be. */
export type PageQueryString = Static<typeof PageQuerySchema>

/** What is sent to each control. */
export const bodies = {
  interject: Type.Object({
    text: Type.String({ minLength: 1, description: 'What is said.' }),
    interruptible: Type.Optional(Type.Boolean({ default: false, description: 'May the caller talk over it?' }))
  }, strict),
  end: Type.Object({ say: Say }, strict),
  transfer: Type.Object({
    destination: Type.String({ minLength: 1, description: 'A phone number, in E.164.' }),
    say: Say,
    showCaller: Type.Optional(Type.Boolean({ default: false, description: `Shows the caller's number to the destination. ${only('show-caller')}, while the agent has a turn.` }))
  }, strict),
  metadata: Type.Object({ metadata: Type.Record(Type.String(), Type.Unknown(), { description: 'Any JSON object.' }) }, strict),
  agent: AgentConfig
}

/** The name of a control, which is the end of its path. */
export type Control = keyof typeof bodies

interface Operation extends FastifySchema {
  readonly operationId: string
  readonly summary: string
  readonly description: string
  readonly tags: readonly string[]
  readonly security: ReadonlyArray<Record<string, readonly string[]>>
}

/** The security scheme that the operations name, for `openapi.components.securitySchemes` of @fastify/swagger. */
export const securitySchemes = {
  controlToken: { type: 'http', scheme: 'bearer', description: 'CONTROL_TOKEN of the server.' }
} as const

const failure = (description: string): object => ({ $ref: 'VoiceAgentError#', description })

const UNAUTHORIZED = failure('The token is missing or wrong.')
const UNAVAILABLE = failure('The other nodes cannot be asked, or the server is closing.')
const INVALID = failure('The request is not as described here.')
const UNKNOWN = failure('There is no such call: it has ended, or never was.')

const CallParams = Type.Object({ id: Type.String({ description: "The call's id." }) })

function operation (operationId: string, summary: string, description: string, schema: FastifySchema & { response: Record<number, object> }): Operation {
  const { response, ...input } = schema
  return {
    operationId,
    summary,
    description,
    tags: ['calls'],
    security: [{ controlToken: [] }],
    ...input,
    response: { 401: UNAUTHORIZED, 503: UNAVAILABLE, ...response }
  }
}

function control (name: Control, operationId: string, summary: string, description: string): Operation {
  return operation(operationId, summary, description, {
    params: CallParams,
    body: bodies[name],
    response: {
      204: { type: 'null', description: 'Done: the provider has been told.' },
      400: INVALID,
      404: UNKNOWN,
      410: failure('The call has ended meanwhile, or its provider is not connected.'),
      413: failure('The body is too large.'),
      415: failure('The body is not application/json.'),
      501: failure('The provider of this call cannot do this.'),
      503: failure('The node that has the call cannot be asked, or did not answer in time: it may or may not have been done. Or the server is closing.')
    }
  })
}

/** All of them. */
export const operations = {
  listCalls: operation('listCalls', 'Lists live calls', 'Those of all nodes, in pages. Who called whom is not part of it.', {
    querystring: PageQuerySchema, response: { 200: Calls, 400: INVALID }
  }),
  getCall: operation('getCall', 'Finds a live call', 'On whatever node it is.', {
    params: CallParams, response: { 200: { $ref: 'VoiceAgentCall#' }, 404: UNKNOWN }
  }),
  listNodes: operation('listNodes', 'Lists nodes, and counts calls', 'Those that are alive. Counts are as old as the last heartbeats.', {
    response: { 200: Nodes }
  }),
  interject: control('interject', 'interject', 'Speaks into a call', `At once: what the agent is saying is cut off. ${only('interject')}.`),
  end: control('end', 'endCall', 'Ends a call', 'After `say` was spoken; without it the line goes dead at once. What the agent is saying is cut off.'),
  transfer: control('transfer', 'transferCall', 'Transfers a call', 'After `say` was spoken. What the agent is saying is cut off.'),
  metadata: control('metadata', 'sendMetadata', 'Sends an object to the page of a web call', `${only('metadata')}.`),
  agent: control('agent', 'updateAgent', 'Changes the agent for the rest of a call', `How soon it answers, how easily it is interrupted, and its reminders. What is not named stays as it is. ${only('update-agent')}.`)
} satisfies Record<Control | 'listCalls' | 'getCall' | 'listNodes', Operation>

/** Bodies that are as they must be. */
export type Bodies = { readonly [K in Control]: Static<(typeof bodies)[K]> }
