/**
 * From the bytes of a WebSocket message to a JSON object: what the providers' decoders have in common.
 */
import type { TypeCheck } from '@sinclair/typebox/compiler'
import type { Static, TObject } from '@sinclair/typebox'
import { nestsLists } from './lists.js'
import type { ProviderEvent } from './codec.js'

/** A JSON object whose members are still to be checked. */
export type JsonObject = Record<string, unknown>

/** Is it a JSON object, not an array and not null? */
export function isObject (value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Texts from this length on, in UTF-16 units, are searched for nested lists. Any shorter text is parsed in milliseconds. */
const LARGE = 256 * 1024

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

/** Parses JSON from outside. Undefined where it is none, or nested too deeply. Never throws. */
export function parseJson (text: string): unknown {
  return isTooDeep(text) ? undefined : parse(text)
}

function isTooDeep (text: string): boolean {
  return text.length >= LARGE && nestsLists(text)
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** A frame that breaks the protocol. */
export function malformed (why: string): ProviderEvent {
  return { type: 'ignored', why, malformed: true }
}

/** A frame that is well-formed, and of no concern to us. */
export function ignored (why: string): ProviderEvent {
  return { type: 'ignored', why, malformed: false }
}

/** A frame with a discriminator nobody knows. The word is repeated only where it cannot be content. */
export function unknownFrame (discriminator: unknown): ProviderEvent {
  if (typeof discriminator !== 'string') return malformed('no discriminator')
  return ignored(/^\w{1,40}$/.test(discriminator) ? `unknown type ${discriminator}` : 'unknown type')
}

/** Names the first member by which a frame breaks its schema, without the value. */
export function violation (schema: TypeCheck<TObject>, name: string, frame: unknown): ProviderEvent {
  return malformed(`${name}: ${schema.Errors(frame).First()!.path}`)
}

/** The type that a table of schemas lets through. */
export type FrameOf<T extends Record<string, TObject>> = { [K in keyof T]: Static<T[K]> }[keyof T]

/** The members of an object whose values are strings, where there are any. */
export function stringMembers (value: unknown): Record<string, string> | undefined {
  if (!isObject(value)) return undefined
  const members = Object.entries(value).filter((member): member is [string, string] => typeof member[1] === 'string')
  return members.length === 0 ? undefined : Object.fromEntries(members)
}

/** The value, where it is a direction. */
export function directionOf (value: unknown): 'inbound' | 'outbound' | undefined {
  return value === 'inbound' || value === 'outbound' ? value : undefined
}

/** The value, where it is a string with something in it. */
export function nonEmpty (value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
