import type { TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { JsonObject } from '../contract/json.js'
import type { Finding } from './finding.js'

/** A finding without its frame and time. */
export type Flaw = Pick<Finding, 'code' | 'message'>

/** The finding for a frame that the provider drops; undefined for a frame that it accepts. @param accepts schemas by the frame's type */
export function flawOf (accepts: Readonly<Record<string, TSchema>>, type: unknown, frame: JsonObject): Flaw | undefined {
  const schema = Object.hasOwn(accepts, String(type)) ? accepts[String(type)] : undefined
  if (schema === undefined) return { code: 'unknown-type', message: 'the provider knows no such frame, and drops it' }
  const error = Value.Errors(schema, frame).First()
  if (error === undefined) return undefined
  return { code: 'malformed', message: `${String(type)}${error.path}: ${error.message}; the provider drops the frame` }
}

/** True if a sentence ends where a frame does, and the next frame begins another without a space. */
export function isRunTogether (before: string, next: string): boolean {
  return /[\p{Ll}\p{N}][.!?]$/u.test(before) && /^\p{Lu}/u.test(next)
}
