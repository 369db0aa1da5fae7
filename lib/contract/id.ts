/**
 * Ids from outside. An id is written to log lines, spans, Redis keys, URLs and JSON, and must read the same in each.
 */
import { Type } from '@sinclair/typebox'
import { compile } from './compile.js'

/**
 * Printable text of at most 256 UTF-16 units. Control characters, line breaks and invisible formatting could forge lines on a terminal.
 * Lone surrogates all become the same character in UTF-8, so two ids would share a record.
 */
export const IdSchema = Type.RegExp(/^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+$/u, { maxLength: 256 })

const schemas = compile({ id: IdSchema })

/** True for an id. */
export function isId (value: unknown): value is string {
  return schemas.id.Check(value)
}

/** The value if it is an id. */
export function idOf (value: unknown): string | undefined {
  return isId(value) ? value : undefined
}
