/**
 * Untrusted JSON.
 */
import { nestsLists } from './json-lists.js'

/** A JSON object with unchecked members. */
export type JsonObject = Record<string, unknown>

/** True for an object that is neither an array nor null. */
export function isObject (value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Texts from this length on, in UTF-16 units, are searched for nested lists. Any shorter text is parsed in milliseconds. */
const LARGE = 256 * 1024

/** Parses untrusted JSON. Undefined if it is invalid or nested too deeply. Never throws. */
export function parseJson (text: string): unknown {
  return isTooDeep(text) ? undefined : parse(text)
}

/** True if parsing would take too long. See `nestsLists`. */
export function isTooDeep (text: string): boolean {
  return text.length >= LARGE && nestsLists(text)
}

/** Parses JSON; undefined if it is invalid. Never throws. */
export function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The members of an object whose values are strings; undefined if there are none. */
export function stringMembers (value: unknown): Record<string, string> | undefined {
  if (!isObject(value)) return undefined
  const members = Object.entries(value).filter((member): member is [string, string] => typeof member[1] === 'string')
  return members.length === 0 ? undefined : Object.fromEntries(members)
}

/** The value if it is a non-empty string. */
export function nonEmpty (value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
