/**
 * JSON from outside, of which nothing is promised.
 */
import { nestsLists } from './json-lists.js'

/** A JSON object whose members are still to be checked. */
export type JsonObject = Record<string, unknown>

/** Is it a JSON object, not an array and not null? */
export function isObject (value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Texts from this length on, in UTF-16 units, are searched for nested lists. Any shorter text is parsed in milliseconds. */
const LARGE = 256 * 1024

/** Parses JSON from outside. Undefined where it is none, or nested too deeply. Never throws. */
export function parseJson (text: string): unknown {
  return isTooDeep(text) ? undefined : parse(text)
}

/** Would it take too long to parse? See `nestsLists`. */
export function isTooDeep (text: string): boolean {
  return text.length >= LARGE && nestsLists(text)
}

/** Parses JSON; undefined where it is none. Never throws. */
export function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The members of an object whose values are strings, where there are any. */
export function stringMembers (value: unknown): Record<string, string> | undefined {
  if (!isObject(value)) return undefined
  const members = Object.entries(value).filter((member): member is [string, string] => typeof member[1] === 'string')
  return members.length === 0 ? undefined : Object.fromEntries(members)
}

/** The value, where it is a string with something in it. */
export function nonEmpty (value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
