/**
 * Strict schemas. Keywords that OpenAI's servers refuse are reported when the tool is made, and not in the first call.
 */
import { mapSchemas, type Schema } from './json-schema.js'
import { isObject } from '../contract/json.js'

/** Keywords that a strict schema must not have. The `openai` package refuses the same. */
const REFUSED = [
  'allOf', 'oneOf', 'not', 'if', 'then', 'else', 'dependentRequired', 'dependentSchemas', 'dependencies', 'patternProperties',
  'propertyNames', 'minProperties', 'maxProperties', 'unevaluatedProperties', 'uniqueItems', 'contains', 'minContains', 'maxContains',
  'prefixItems', 'additionalItems', 'unevaluatedItems', 'contentEncoding', 'contentMediaType', 'contentSchema', '$anchor', '$dynamicAnchor',
  '$dynamicRef'
]

/** Keywords that some models accept and others refuse. */
const DOUBTFUL = [
  'minLength', 'maxLength', 'pattern', 'format', 'minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf', 'minItems',
  'maxItems', 'default'
]

/** Keywords that define a type: each schema needs one. */
const KINDS = ['type', 'enum', 'const', 'anyOf', '$ref']

/** Adds `additionalProperties: false` to each object schema that has no `additionalProperties`. */
export function closeObjects (schema: Schema): Schema {
  return mapSchemas(schema, one =>
    isObject(one['properties']) && one['additionalProperties'] === undefined ? { ...one, additionalProperties: false } : one)
}

/** The faults that keep a schema from being strict, and the keywords that some models refuse. Each entry begins with a JSON pointer. */
export function strictFaults (schema: Schema): { readonly refused: string[], readonly doubtful: string[] } {
  const refused: string[] = []
  const doubtful: string[] = []
  mapSchemas(schema, (one, path) => {
    const at = path || '/'
    for (const keyword of REFUSED) if (keyword in one) refused.push(`${at}: ${keyword} is not possible${INSTEAD[keyword] ?? ''}`)
    for (const keyword of DOUBTFUL) if (keyword in one) doubtful.push(`${at}: ${keyword}`)
    if (path === '' && 'anyOf' in one) refused.push('/: anyOf is not possible at the top')
    if (!KINDS.some(keyword => keyword in one)) refused.push(`${at}: the type is missing`)
    if (![one['type']].flat().includes('object')) return one
    const { properties, required, additionalProperties } = one
    const names = isObject(properties) ? Object.keys(properties) : []
    const optional = names.filter(name => !Array.isArray(required) || !required.includes(name))
    if (optional.length > 0) refused.push(`${at}: ${optional.join(', ')} must not be optional: make each required, and let it be null`)
    if (!isObject(properties)) refused.push(`${at}: the properties are missing`)
    else if (additionalProperties !== false) refused.push(`${at}: additionalProperties must be false`)
    return one
  })
  return { refused, doubtful }
}

const INSTEAD: Readonly<Record<string, string>> = {
  oneOf: ': use anyOf (z.union() in Zod)',
  propertyNames: ': use an object with known members, or a list of pairs',
  patternProperties: ': use an object with known members, or a list of pairs',
  prefixItems: ': use an object'
}
