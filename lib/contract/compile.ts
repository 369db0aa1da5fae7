/**
 * Compiles tables of schemas, each schema when it is first used. Compiling all of them while the modules load would delay the start of
 * every app for schemas that most apps never use.
 */
import type { Static, TObject, TSchema } from '@sinclair/typebox'
import { TypeCompiler, type TypeCheck } from '@sinclair/typebox/compiler'

/** A compiled check for each schema of a table, under the schema's own name. The first access to a name compiles its schema. */
export function compile<T extends Record<string, TSchema>> (schemas: T): { readonly [K in keyof T]: TypeCheck<T[K]> } {
  const checks = {}
  for (const [name, schema] of Object.entries(schemas)) {
    Object.defineProperty(checks, name, {
      configurable: true,
      enumerable: true,
      get () {
        const value = TypeCompiler.Compile(schema)
        Object.defineProperty(checks, name, { value, enumerable: true })
        return value
      }
    })
  }
  return checks as { [K in keyof T]: TypeCheck<T[K]> }
}

/** The type that a table of schemas lets through. */
export type FrameOf<T extends Record<string, TObject>> = { [K in keyof T]: Static<T[K]> }[keyof T]
