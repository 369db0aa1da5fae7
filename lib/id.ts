/**
 * What an id from outside is: it goes into log lines, spans, keys of Redis, URLs and JSON, and must be the same everywhere.
 */
import { Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'

/**
 * Printable text of at most 256 UTF-16 units. No controls, line breaks or invisible formatting, which forge lines on a terminal. No lone
 * surrogates, which UTF-8 replaces: two ids would share a record.
 */
export const IdSchema = Type.RegExp(/^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+$/u, { maxLength: 256 })

const schema = TypeCompiler.Compile(IdSchema)

/** Is it an id? */
export function isId (value: unknown): value is string {
  return schema.Check(value)
}

/** The value, where it is an id. */
export function idOf (value: unknown): string | undefined {
  return isId(value) ? value : undefined
}
