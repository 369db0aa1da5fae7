/**
 * Checks parameters in JSON Schema, such as the `inputSchema` of an MCP server's tool.
 */
import type { Ajv, ErrorObject, Options, ValidateFunction } from 'ajv'
import { loadAjv, loadAjv2020, loadFormats } from './ajv.cjs'
import type { Schema } from './json-schema.js'
import { misfits, type Check } from './argument-check.js'

// Made for the first tool with a JSON Schema, and shared by all.
const validators = new Map<boolean, Ajv>()

/**
 * Checks arguments by a JSON Schema of draft 04 to 07 or 2020-12; the latter if `$schema` is missing. As in JSON Schema itself, nothing is
 * converted, `default` fills in nothing, and unknown formats are not checked.
 * @param refuse throws, with the reason
 */
export function jsonCheck ({ $schema, ...schema }: Schema, refuse: (why: string) => never): Check {
  if ('$async' in schema) refuse('has $async, which is not JSON Schema')
  const isOld = typeof $schema === 'string' && /draft-0\d/.test($schema)
  const ajv = validators.get(isOld) ?? makeAjv(isOld)
  validators.set(isOld, ajv)
  const { $id: id = '' } = schema
  // With the id of JSON Schema's own schema, the removal below would remove that one.
  if (typeof id !== 'string' || (id !== '' && ajv.getSchema(id) !== undefined)) {
    refuse("has an $id that is not a string, or JSON Schema's own")
  }
  const validate = compiled(ajv, schema, refuse)
  return args => validate(args) ? { value: args } : { error: misfits(validate.errors!.map(mismatchOf)) }
}

// Ajv keeps each schema for ever, and tools of MCP may be made again and again, so the schema is removed.
function compiled (ajv: Ajv, schema: Schema, refuse: (why: string) => never): ValidateFunction {
  let validate: ValidateFunction | undefined
  let why = ''
  try {
    validate = ajv.compile(schema)
  } catch (error) {
    const isValid = ajv.validateSchema(schema)
    const [{ instancePath = '', message = '' } = {}] = isValid === true ? [] : ajv.errors!
    why = isValid === true ? (error as Error).message : `${instancePath} ${message}`
  }
  ajv.removeSchema(schema)
  return validate ?? refuse(`cannot be checked: ${why}`)
}

function makeAjv (isOld: boolean): Ajv {
  const options: Options = {
    // Foreign schemas have keywords and formats of their own.
    strict: false,
    logger: false,
    // Compiling the meta-schema takes ten times as long as a tool's schema, so it is used only to explain an error.
    validateSchema: false,
    allErrors: true,
    ownProperties: true,
    code: { regExp: Object.assign(regExp, { code: 'new RegExp' }) }
  }
  const ajv = isOld ? new (loadAjv().Ajv)(options) : new (loadAjv2020().Ajv2020)(options)
  loadFormats().default(ajv)
  return ajv
}

// Some patterns escape more characters than the `u` flag allows.
function regExp (pattern: string, flags: string): RegExp {
  try {
    return new RegExp(pattern, flags)
  } catch {
    return new RegExp(pattern)
  }
}

function mismatchOf ({ instancePath, message, params }: ErrorObject): [path: string, message: string] {
  const allowed = params['allowedValues'] ?? params['allowedValue']
  return [instancePath, allowed === undefined ? message! : `${message}: ${JSON.stringify(allowed)}`]
}
