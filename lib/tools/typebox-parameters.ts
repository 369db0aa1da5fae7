/**
 * Checks parameters in TypeBox.
 */
import { FormatRegistry, Kind, TransformKind, type TObject, type TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { misfits, type Check } from './argument-check.js'

/** Kinds of values that JSON cannot hold. */
const NO_JSON: ReadonlySet<string> = new Set([
  'AsyncIterator', 'BigInt', 'Constructor', 'Date', 'Function', 'Iterator', 'Promise', 'RegExp', 'Symbol', 'Uint8Array', 'Undefined', 'Void'
])

/**
 * Checks arguments by a TypeBox schema. Refuses keywords that TypeBox does not check, and types that no JSON can fit.
 * @param refuse throws, with the reason
 */
export function typeBoxCheck (parameters: TObject, refuse: (why: string) => never): Check {
  for (const schema of schemasIn(parameters)) {
    const { enum: values, format } = schema
    if (values !== undefined) refuse('has an enum, which is not checked: use Type.Union() of Type.Literal()')
    if (format !== undefined && !FormatRegistry.Has(format)) {
      refuse(`has the format ${format}, which is not known: use a pattern, or FormatRegistry.Set() of fastify-voice-agent`)
    }
    if (NO_JSON.has(schema[Kind]) || TransformKind in schema) {
      const kind = TransformKind in schema ? 'Transform' : schema[Kind]
      refuse(`has a ${kind}, which no model can write: take a string and convert it in execute`)
    }
  }
  try {
    const schema = TypeCompiler.Compile(parameters)
    return args => schema.Check(args) ? { value: args } : { error: misfits(pathsOf(schema.Errors(args))) }
  } catch (error) {
    return refuse(`cannot be checked: ${(error as Error).message}`)
  }
}

function * pathsOf (errors: Iterable<{ path: string, message: string }>): Generator<[path: string, message: string]> {
  for (const { path, message } of errors) yield [path, message]
}

function * schemasIn (value: object): Generator<TSchema> {
  if (Kind in value) yield value as TSchema
  for (const inner of Object.values(value)) {
    if (typeof inner === 'object' && inner !== null) yield * schemasIn(inner)
  }
}
