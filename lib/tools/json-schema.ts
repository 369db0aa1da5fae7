/**
 * Reads and rewrites JSON Schemas, of any library.
 */
import { isObject } from '../contract/json.js'

/** A JSON Schema, as JSON. */
export type Schema = Readonly<Record<string, unknown>>

/** Keywords whose value maps names to schemas. */
const MAPS: ReadonlySet<string> = new Set(['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas'])

/** Keywords whose value is a schema or a list of schemas. */
const SCHEMAS: ReadonlySet<string> = new Set([
  'anyOf', 'oneOf', 'allOf', 'prefixItems', 'items', 'additionalItems', 'additionalProperties', 'propertyNames', 'contains',
  'not', 'if', 'then', 'else', 'unevaluatedItems', 'unevaluatedProperties'
])

/**
 * A copy of a schema in which `change` replaces each schema, the innermost first. Values such as `default` and `enum` stay.
 * @param change gets a copy and its JSON pointer
 * @throws a TypeError that names the place of a value that is not a schema
 */
export function mapSchemas (schema: Schema, change: (schema: Schema, path: string) => Schema, path = ''): Schema {
  const inner = (value: unknown, at: string): unknown => {
    if (typeof value === 'boolean') return value
    if (!isObject(value)) throw new TypeError(`${at} must be a schema`)
    return mapSchemas(value, change, at)
  }
  const copy = Object.entries(schema).map(([keyword, value]) => {
    const at = `${path}/${keyword}`
    if (MAPS.has(keyword) && isObject(value)) {
      return [keyword, Object.fromEntries(Object.entries(value).map(([name, one]) => [name, inner(one, `${at}/${name}`)]))]
    }
    if (!SCHEMAS.has(keyword)) return [keyword, value]
    return [keyword, Array.isArray(value) ? value.map((one, index) => inner(one, `${at}/${index}`)) : inner(value, at)]
  })
  return change(Object.fromEntries(copy), path)
}

/** Types whose values have no members. */
const PLAIN: ReadonlySet<unknown> = new Set(['string', 'number', 'integer', 'boolean', 'null'])

/** Keywords that may declare further members. */
const OPENING = [
  '$ref', '$dynamicRef', 'patternProperties', 'if', 'then', 'else', 'not', 'dependentSchemas', 'dependencies', 'unevaluatedProperties'
]

/**
 * A copy of a value with only the members that one of these schemas declares. If a schema allows any member, all stay. TypeBox's
 * `Value.Clean()` will not do: it uses the first matching type of a union, and drops members that another type declares.
 * @param dropsNull leaves out `null` for optional members, which models write for members they omit
 */
export function withoutUnknown (anyOf: readonly unknown[], value: unknown, dropsNull = false): unknown {
  const schemas = anyOf.flatMap(alternatives)
  const isOpen = schemas.some(schema => !isClosed(schema))
  if (Array.isArray(value)) {
    const items = schemas.flatMap(({ items, prefixItems }) => prefixItems === undefined && isObject(items) ? items : [])
    return items.length === 0 ? value : value.map(item => withoutUnknown(isOpen ? [...items, true] : items, item, dropsNull))
  }
  if (!isObject(value)) return value
  const objects = schemas.filter(({ properties }) => isObject(properties))
  return Object.fromEntries(Object.entries(value).flatMap(([name, member]) => {
    const owners = objects.filter(({ properties }) => Object.hasOwn(properties as object, name))
    if (owners.length === 0) return isOpen ? [[name, member]] : []
    if (dropsNull && member === null && owners.some(({ required }) => !Array.isArray(required) || !required.includes(name))) return []
    const inner = owners.map(({ properties }) => (properties as Schema)[name])
    return [[name, withoutUnknown(isOpen ? [...inner, true] : inner, member, dropsNull)]]
  }))
}

/** A schema, or the schemas that it combines. */
function alternatives (schema: unknown): Schema[] {
  // `true` allows everything.
  if (!isObject(schema)) return [{}]
  const { anyOf, oneOf, allOf, ...own } = schema
  const combined = [anyOf, oneOf, allOf].filter(Array.isArray).flat()
  if (combined.length === 0) return [own]
  return [...('properties' in own || OPENING.some(keyword => keyword in own) ? [own] : []), ...combined.flatMap(alternatives)]
}

/** True if the schema allows no unknown members. An object schema without `additionalProperties` counts as closed. */
function isClosed (schema: Schema): boolean {
  const { type, properties, additionalProperties, items, enum: values } = schema
  if (OPENING.some(keyword => keyword in schema)) return false
  if (isObject(properties)) return additionalProperties === undefined || additionalProperties === false
  if (type === undefined && items === undefined) {
    return 'const' in schema ? !isObject(schema['const']) : Array.isArray(values) && !values.some(isObject)
  }
  return [type ?? 'array'].flat().every(one => PLAIN.has(one) || one === 'array')
}
