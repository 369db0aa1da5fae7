/**
 * A tool's parameters: converts every kind of schema to JSON Schema for the model and to a check of its arguments.
 */
import { Kind, type TObject } from '@sinclair/typebox'
import { ConfigError } from '../contract/errors.js'
import type { Check } from './argument-check.js'
import { jsonCheck } from './json-parameters.js'
import { mapSchemas, type Schema } from './json-schema.js'
import { isStandardSchema, standardCheck, type OutputOf, type StandardSchema } from './standard-schema.js'
import { closeObjects, strictFaults } from './strict-schema.js'
import { isObject } from '../contract/json.js'
import { typeBoxCheck } from './typebox-parameters.js'

/** A JSON Schema of an object, such as the `inputSchema` of an MCP server's tool. TypeBox schemas are excluded. */
export interface JsonSchema {
  readonly type: string
  readonly [Kind]?: never
  readonly [keyword: string]: unknown
}

/** The accepted types of `parameters`. */
export type ToolParameters = TObject | StandardSchema<object, any> | JsonSchema

/** The type of the arguments that `execute` gets. */
export type ArgumentsOf<P extends ToolParameters> =
  P extends TObject ? P['static'] : P extends StandardSchema ? OutputOf<P> : Record<string, unknown>

/** Parameters, ready for use. */
export interface ReadyParameters {
  /** The schema for the model. */
  readonly schema: Schema & { readonly properties: Schema, readonly required: readonly string[] }
  /** True if members that `schema` does not declare are dropped before the check. Otherwise the schema's own validator decides. */
  readonly dropsUnknown: boolean
  readonly check: Check
}

/**
 * @param jsonSchema the schema for the model, if `parameters` offers none
 * @throws VOICE_AGENT_ERR_CONFIG naming the tool, and the place in the schema
 */
export function readyParameters (
  name: string, parameters: ToolParameters, jsonSchema: Schema | undefined, strict: boolean
): ReadyParameters {
  const refuse = (why: string): never => { throw new ConfigError(`tool ${name}: parameters ${why}`) }
  const isStandard = isStandardSchema(parameters)
  const written = isStandard ? jsonSchema ?? standardJson(parameters, refuse) : parameters
  const schema = asJson(written, refuse)
  if (isStandard && schema['type'] !== 'object') refuse('must be the schema of an object')
  const check = isStandard
    ? standardCheck(parameters)
    : Kind in parameters ? typeBoxCheck(parameters as TObject, refuse) : jsonCheck(schema, refuse)
  return { schema: shown(name, schema, strict, refuse), dropsUnknown: !isStandard, check }
}

function standardJson ({ '~standard': { vendor, jsonSchema } }: StandardSchema, refuse: (why: string) => never): unknown {
  const hint = 'give jsonSchema beside them, such as jsonSchema: z.toJSONSchema(parameters, { io: \'input\' })'
  if (jsonSchema === undefined) return refuse(`cannot be told to a model, since ${String(vendor)} offers no JSON Schema of them: ${hint}`)
  try {
    return jsonSchema.input({ target: 'draft-2020-12' })
  } catch (error) {
    return refuse(`cannot be told to a model: ${(error as Error).message}: ${hint}`)
  }
}

function asJson (schema: unknown, refuse: (why: string) => never): Schema {
  try {
    return mapSchemas(JSON.parse(JSON.stringify(schema)) as Schema, one => one)
  } catch (error) {
    return refuse(`are no JSON Schema: ${(error as Error).message}`)
  }
}

// Literals become enums, which all servers understand.
function shown (name: string, { $schema, ...schema }: Schema, strict: boolean, refuse: (why: string) => never): ReadyParameters['schema'] {
  const { properties, required, ...rest } = mapSchemas(schema, one => {
    const { const: literal, ...others } = one
    if (literal !== undefined && typeof literal !== 'object') return { ...others, enum: [literal] }
    const { anyOf, ...more } = one
    return Array.isArray(anyOf) && anyOf.every(isWord) ? { ...more, type: 'string', enum: anyOf.flatMap(word => word.enum) } : one
  })
  const whole = {
    ...rest,
    properties: isObject(properties) ? properties : {},
    required: Array.isArray(required) ? required : []
  }
  if (!strict) return whole
  const closed = closeObjects(whole)
  const { refused, doubtful } = strictFaults(closed)
  if (refused.length > 0) refuse(`cannot be strict: ${refused.join('; ')}`)
  if (doubtful.length > 0) {
    process.emitWarning(`tool ${name}: some models refuse strict parameters with bounds, patterns and defaults: ${doubtful.join('; ')}`,
      { code: 'VOICE_AGENT_STRICT_BOUNDS' })
  }
  return closed as ReadyParameters['schema']
}

/** True for a string enum without further keywords. */
function isWord (schema: unknown): schema is { enum: readonly unknown[] } {
  return isObject(schema) && schema['type'] === 'string' && Array.isArray(schema['enum']) && Object.keys(schema).length === 2
}
