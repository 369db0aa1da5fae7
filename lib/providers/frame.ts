/**
 * From the bytes of a WebSocket message to a JSON object: what the providers' decoders have in common.
 */
import type { TypeCheck } from '@sinclair/typebox/compiler'
import type { TObject } from '@sinclair/typebox'
import { isObject, isTooDeep, parse, type JsonObject } from '../contract/json.js'
import type { ProviderEvent } from './codec.js'

/**
 * Reads a frame as a JSON object, or says in words that may be logged why it is none. Never throws, and parses nothing twice.
 * @param abridge leaves out what nobody will read
 */
export function parseFrame (data: Buffer, binary: boolean, abridge?: (text: string) => string): JsonObject | string {
  if (binary) return 'binary frame'
  const whole = data.toString()
  const text = abridge === undefined ? whole : abridge(whole)
  if (isTooDeep(text)) return 'nested too deeply'
  const frame = parse(text)
  if (frame === undefined) return 'not JSON'
  return isObject(frame) ? frame : 'not a JSON object'
}

/** A frame that breaks the protocol. */
export function malformed (why: string): ProviderEvent {
  return { type: 'ignored', why, malformed: true }
}

/** A well-formed frame that the plugin does not need. */
export function ignored (why: string): ProviderEvent {
  return { type: 'ignored', why, malformed: false }
}

/** A frame with an unknown discriminator. The word is repeated only where it cannot be content. */
export function unknownFrame (discriminator: unknown): ProviderEvent {
  if (typeof discriminator !== 'string') return malformed('no discriminator')
  return ignored(/^\w{1,40}$/.test(discriminator) ? `unknown type ${discriminator}` : 'unknown type')
}

/** Names the first member by which a frame breaks its schema, without the value. */
export function violation (schema: TypeCheck<TObject>, name: string, frame: unknown): ProviderEvent {
  return malformed(`${name}: ${schema.Errors(frame).First()!.path}`)
}

/** The value, where it is a direction. */
export function directionOf (value: unknown): 'inbound' | 'outbound' | undefined {
  return value === 'inbound' || value === 'outbound' ? value : undefined
}
