/**
 * How requests are checked: the app's own compilers may be for schemas of another kind, convert what is wrong, or quote it.
 */
import { Kind, type TObject } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { ValueErrorType, type ValueError } from '@sinclair/typebox/errors'
import type { FastifySchemaCompiler } from 'fastify'

/**
 * Compiles a schema to a check that takes nothing for something else: only queries, which are all text, are converted. What
 * it finds wrong it names, and never quotes, names of the client's own included: anything may be a number, or have been said.
 */
export const validatorCompiler: FastifySchemaCompiler<TObject> = ({ schema, httpPart }) => {
  const check = TypeCompiler.Compile(schema)
  const [part, read] = httpPart === 'querystring'
    ? ['query', (query: unknown) => withNumbers(schema, query as object)]
    // Nothing at all is an object without members.
    : [httpPart, (data: unknown) => data ?? {}]
  return (data: unknown) => {
    const value = read(data)
    const error = check.Errors(value).First()
    return error === undefined ? { value } : { error: new Error(`${part}${explain(error)}`) }
  }
}

// TypeBox's own conversion takes 1.5, 1e999 and true for 1.
function withNumbers ({ properties }: TObject, query: object): object {
  return Object.fromEntries(Object.entries(query).map(([name, value]: [string, unknown]) => {
    const isNumber = properties[name]?.[Kind] === 'Integer' && typeof value === 'string' && /^\d{1,15}$/.test(value)
    return [name, isNumber ? Number(value) : value]
  }))
}

function explain ({ type, path, message, schema }: ValueError): string {
  if (type === ValueErrorType.ObjectAdditionalProperties) {
    return `: expected no other members than ${Object.keys((schema as TObject).properties).join(', ')}`
  }
  // The message for a pattern or a union is no help to clients.
  const isPlain = schema['pattern'] === undefined && schema['anyOf'] === undefined
  return `${path.replaceAll('/', '.')}: expected ${isPlain ? message.replace(/^Expected /, '') : schema.description}`
}
