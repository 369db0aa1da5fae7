/**
 * How requests are checked: the app's own compilers may be for schemas of another kind, convert what is wrong, or quote it.
 */
import type { TObject } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { ValueErrorType, type ValueError } from '@sinclair/typebox/errors'
import { Value } from '@sinclair/typebox/value'
import type { FastifySchemaCompiler } from 'fastify'

/**
 * Compiles a schema to a check that takes nothing for something else: only queries, which are all text, are converted. What
 * it finds wrong it names, and never quotes, names of the client's own included: anything may be a number, or have been said.
 */
export const validatorCompiler: FastifySchemaCompiler<TObject> = ({ schema, httpPart }) => {
  const check = TypeCompiler.Compile(schema)
  const [part, read] = httpPart === 'querystring'
    ? ['query', (query: unknown) => Value.Convert(schema, { ...query as object })]
    // Nothing at all is an object without members.
    : [httpPart, (data: unknown) => data ?? {}]
  return (data: unknown) => {
    const value = read(data)
    const error = check.Errors(value).First()
    return error === undefined ? { value } : { error: new Error(`${part}${explain(error)}`) }
  }
}

function explain ({ type, path, message, schema }: ValueError): string {
  if (type === ValueErrorType.ObjectAdditionalProperties) return `: expected no other members than ${Object.keys((schema as TObject).properties).join(', ')}`
  // A pattern, or that it is a union, helps nobody.
  const isPlain = schema['pattern'] === undefined && schema['anyOf'] === undefined
  return `${path.replaceAll('/', '.')}: expected ${isPlain ? message.replace(/^Expected /, '') : schema.description}`
}
