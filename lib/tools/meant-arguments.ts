/**
 * Recovers a call's arguments from text that a server repeated, joined or wrapped.
 */
import { isDeepStrictEqual } from 'node:util'
import { isObject, parse } from '../contract/json.js'
import type { GrowingJson } from './growing-json.js'

type Arguments = Readonly<Record<string, unknown>>

/** How many times JSON may be wrapped as a string in JSON. */
const MOST_WRAPPINGS = 3

/**
 * The objects in the arguments of a call, as JSON text: usually one; several if a server joins calls; none if the text holds no objects,
 * and is best shown to the model unchanged. An object that a later one repeats or extends is left out.
 */
export function meantObjects (args: GrowingJson): string[] {
  const text = args.text.trim()
  // The usual case keeps the model's text unchanged.
  if (isWritten(text)) return [text]
  const found = unwrapped(text) ?? sequence(text) ?? unwrapped(args.cumulated ?? '')
  return found === undefined ? [] : latest(found).map(object => JSON.stringify(object))
}

function isWritten (text: string): boolean {
  return text.startsWith('{') && isObject(parse(text))
}

/** One object, possibly wrapped as a string. */
function unwrapped (text: string): Arguments[] | undefined {
  let value: unknown = text
  for (let count = 0; count <= MOST_WRAPPINGS && typeof value === 'string'; count++) value = parse(value)
  return isObject(value) ? [value] : undefined
}

/** A sequence of objects and nulls. */
function sequence (text: string): Arguments[] | undefined {
  const objects: Arguments[] = []
  for (let rest = text; rest !== '';) {
    const length = rest.startsWith('null') ? 'null'.length : lengthOfFirst(rest)
    const value = parse(rest.slice(0, length))
    if (value !== null && !isObject(value)) return undefined
    if (value !== null) objects.push(value)
    rest = rest.slice(length).trimStart()
  }
  return objects.length > 0 ? objects : undefined
}

/** The length of the object that a text begins with. */
function lengthOfFirst (text: string): number {
  const strings = /"(?:[^"\\]|\\.)*"|[{}]/gs
  let depth = 0
  for (const { 0: token, index } of text.matchAll(strings)) {
    if (token === '{') depth++
    if (token === '}' && --depth === 0) return index + 1
  }
  return text.length
}

// `latest` is quadratic in the number of objects, and a failing model may write thousands. Those are shown to it unchanged.
const MOST_OBJECTS = 128

function latest (objects: readonly Arguments[]): readonly Arguments[] {
  if (objects.length > MOST_OBJECTS) return []
  return objects.filter((object, index) => !objects.some((other, place) => place > index && holds(other, object)))
}

/** True if the one object has all members of the other. */
function holds (one: Arguments, other: Arguments): boolean {
  return Object.entries(other).every(([name, value]) => Object.hasOwn(one, name) && isDeepStrictEqual(one[name], value))
}
