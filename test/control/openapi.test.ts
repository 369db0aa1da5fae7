import swagger from '@fastify/swagger'
import t from 'tap'
import voiceAgentControl, { securitySchemes } from '../../lib/control/index.js'
import voiceAgentPlugin from '../../lib/index.js'
import { RetellCaller } from '../../lib/testing/index.js'
import { AT_ONCE, createApp } from '../helpers/app.js'
import { ask, TOKEN } from '../helpers/control.js'
import { setEnv } from '../helpers/env.js'

setEnv(t)

interface Schema {
  readonly type?: string
  readonly required?: string[]
  readonly properties?: Record<string, Schema>
  readonly items?: Schema
  readonly anyOf?: Schema[]
  readonly enum?: unknown[]
  readonly $ref?: string
}

interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly description: string
  readonly tags: string[]
  readonly security: Array<Record<string, unknown[]>>
  readonly parameters?: Array<{ readonly name: string, readonly in: string, readonly required: boolean, readonly schema: Schema }>
  readonly requestBody?: { readonly content: { readonly 'application/json': { readonly schema: Schema } } }
  readonly responses: Record<string, { readonly description: string, readonly content?: { readonly 'application/json': { readonly schema: Schema } } }>
}

interface OpenApi {
  readonly openapi: string
  readonly paths: Record<string, Record<string, Operation>>
  readonly components: { readonly schemas: Record<string, Schema>, readonly securitySchemes: Record<string, unknown> }
}

/** A ready app that knows what it serves, with no other routes than the control plane's in it. */
async function setup (t: Parameters<typeof createApp>[0]) {
  const { app } = createApp(t)
  await app.register(voiceAgentPlugin, { ...AT_ONCE, retell: { allowlist: '*' } })
  let document = (): unknown => undefined
  await app.register(async scope => {
    await scope.register(swagger, { openapi: { openapi: '3.1.0', components: { securitySchemes } } })
    await scope.register(voiceAgentControl, { token: TOKEN })
    document = () => scope.swagger()
  })
  await app.ready()
  // As it is sent.
  return { app, document: JSON.parse(JSON.stringify(document())) as OpenApi }
}

const operationsOf = ({ paths }: OpenApi): Array<[request: string, operation: Operation]> => Object.entries(paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]): [string, Operation] => [`${method.toUpperCase()} ${path}`, operation]))

/** All references in a value. */
function refsIn (value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, member]) => key === '$ref' ? [String(member)] : refsIn(member))
}

/** What a reference leads to. */
function resolve (document: OpenApi, ref: string): unknown {
  return ref.slice('#/'.length).split('/').reduce<any>((value, key) => value?.[key], document)
}

/** What of a value a schema does not describe. */
function misfits (document: OpenApi, value: any, schema: Schema, path = ''): string[] {
  if (schema.$ref !== undefined) return misfits(document, value, resolve(document, schema.$ref) as Schema, path)
  if (schema.anyOf !== undefined) return schema.anyOf.some(one => misfits(document, value, one, path).length === 0) ? [] : [path]
  if (schema.enum !== undefined && !schema.enum.includes(value)) return [path]
  switch (schema.type) {
    case 'array':
      return value.flatMap((item: unknown, n: number) => misfits(document, item, schema.items!, `${path}/${n}`))
    case 'object':
      return [
        ...schema.required!.filter(name => !(name in value)).map(name => `${path}/${name} is missing`),
        ...Object.entries(value).flatMap(([name, member]) => name in schema.properties! ? misfits(document, member, schema.properties![name]!, `${path}/${name}`) : [`${path}/${name} is not described`])
      ]
    case 'integer':
      return Number.isInteger(value) ? [] : [path]
    default:
      // eslint-disable-next-line valid-typeof
      return typeof value === schema.type ? [] : [path]
  }
}

const GUARDED = ['401', '503']
const CONTROLLED = ['204', '400', '401', '404', '410', '413', '415', '501', '503']

t.test('every route is described, with all that it may answer', async t => {
  const { document } = await setup(t)
  t.equal(document.openapi, '3.1.0')
  t.strictSame(operationsOf(document).map(([request, { operationId, responses }]) => [request, operationId, Object.keys(responses)]), [
    ['GET /control/calls', 'listCalls', ['200', '400', ...GUARDED]],
    ['GET /control/calls/{id}', 'getCall', ['200', '401', '404', '503']],
    ['GET /control/nodes', 'listNodes', ['200', ...GUARDED]],
    ['POST /control/calls/{id}/interject', 'interject', CONTROLLED],
    ['POST /control/calls/{id}/end', 'endCall', CONTROLLED],
    ['POST /control/calls/{id}/transfer', 'transferCall', CONTROLLED],
    ['POST /control/calls/{id}/metadata', 'sendMetadata', CONTROLLED],
    ['POST /control/calls/{id}/agent', 'updateAgent', CONTROLLED]
  ])
  for (const [request, { summary, description, tags, security, parameters = [], requestBody, responses }] of operationsOf(document)) {
    t.ok(summary !== '' && description.endsWith('.') && tags.length > 0, request)
    t.strictSame(security, [{ controlToken: [] }])
    t.strictSame(parameters.filter(each => each.in === 'path').map(({ name, required }) => [name, required]), request.includes('{id}') ? [['id', true]] : [])
    t.equal(requestBody !== undefined, request.startsWith('POST'))
    for (const [status, { description, content }] of Object.entries(responses)) {
      t.ok(description.endsWith('.') && description !== 'Default Response', `${request} ${status}`)
      t.equal(content === undefined, status === '204', `${request} ${status}`)
      if (Number(status) >= 400) t.match(refsIn(content), [/^#\/components\/schemas\/def-\d$/])
    }
  }
  t.strictSame(document.components.securitySchemes, { controlToken: { type: 'http', scheme: 'bearer', description: 'CONTROL_TOKEN of the server.' } })
})

t.test('what it refers to is in it', async t => {
  const { document } = await setup(t)
  const refs = refsIn(document)
  t.ok(refs.length > 40)
  for (const ref of refs) t.type(resolve(document, ref), 'object', ref)
})

t.test('it says what bodies hold', async t => {
  const { document } = await setup(t)
  const bodies = operationsOf(document).flatMap(([, { operationId, requestBody }]) => {
    const schema = requestBody?.content['application/json'].schema
    return schema === undefined ? [] : [[operationId, Object.keys(schema.properties!), schema.required ?? []]]
  })
  t.strictSame(bodies, [
    ['interject', ['text', 'interruptible'], ['text']],
    ['endCall', ['say'], []],
    ['transferCall', ['destination', 'say', 'showCaller'], ['destination']],
    ['sendMetadata', ['metadata'], ['metadata']],
    ['updateAgent', ['responsiveness', 'interruption_sensitivity', 'reminder_trigger_ms', 'reminder_max_count'], []]
  ])
})

t.test('what is answered is what it says', async t => {
  const { app, document } = await setup(t)
  const operations = new Map(operationsOf(document))
  await RetellCaller.dial(app, { callId: 'call_1' })
  await RetellCaller.dial(app, { callId: 'call_2' })
  for (const [request, operation, payload, headers] of [
    ['GET /control/calls?limit=1', 'GET /control/calls'],
    ['GET /control/calls?limit=0', 'GET /control/calls'],
    ['GET /control/calls/call_1', 'GET /control/calls/{id}'],
    ['GET /control/calls/call_3', 'GET /control/calls/{id}'],
    ['GET /control/nodes', 'GET /control/nodes'],
    ['GET /control/nodes', 'GET /control/nodes', undefined, { authorization: 'Bearer wrong' }],
    ['POST /control/calls/call_1/interject', 'POST /control/calls/{id}/interject', {}],
    ['POST /control/calls/call_1/interject', 'POST /control/calls/{id}/interject', { text: 'Hello?' }],
    ['POST /control/calls/call_1/end', 'POST /control/calls/{id}/end', {}]
  ] as const) {
    const { status, body } = await ask(app, request, payload, headers)
    const response = operations.get(operation)!.responses[status]!
    const schema = response.content?.['application/json'].schema
    t.strictSame(schema === undefined ? body : misfits(document, body, schema), schema === undefined ? undefined : [], `${request} ${status}`)
  }
})
