/**
 * The arguments that a model meant, where a server has not streamed them piece by piece.
 */
import { isDeepStrictEqual } from 'node:util'
import type { GrowingJson } from './growing-json.js'

type Arguments = Readonly<Record<string, unknown>>

/** How often JSON may be written as a string within JSON. */
const MOST_WRAPPINGS = 3

/**
 * The objects, as JSON text, that the arguments of a call hold: one as a rule; several where a server joins calls. None where the text
 * is no such thing, and is best shown to the model as it is. An object that a later one repeats, or adds to, is left out.
 */
export function meantObjects (args: GrowingJson): string[] {
  const text = args.text.trim()
  // The usual case, which keeps the model's own writing.
  if (isWritten(text)) return [text]
  const found = unwrapped(text) ?? sequence(text) ?? unwrapped(args.cumulated ?? '')
  return found === undefined ? [] : latest(found).map(object => JSON.stringify(object))
}

function isWritten (text: string): boolean {
  return text.startsWith('{') && isObject(parsed(text))
}

/** One object, or one that is written as a string. */
function unwrapped (text: string): Arguments[] | undefined {
  let value: unknown = text
  for (let count = 0; count <= MOST_WRAPPINGS && typeof value === 'string'; count++) value = parsed(value)
  return isObject(value) ? [value] : undefined
}

/** Objects and nulls, one behind the other. */
function sequence (text: string): Arguments[] | undefined {
  const objects: Arguments[] = []
  for (let rest = text; rest !== '';) {
    const length = rest.startsWith('null') ? 'null'.length : lengthOfFirst(rest)
    const value = parsed(rest.slice(0, length))
    if (value !== null && !isObject(value)) return undefined
    if (value !== null) objects.push(value)
    rest = rest.slice(length).trimStart()
  }
  return objects.length > 0 ? objects : undefined
}

/** Where the object ends that a text begins with. */
function lengthOfFirst (text: string): number {
  const strings = /"(?:[^"\\]|\\.)*"|[{}]/gs
  let depth = 0
  for (const { 0: token, index } of text.matchAll(strings)) {
    if (token === '{') depth++
    if (token === '}' && --depth === 0) return index + 1
  }
  return text.length
}

// Quadratic in the number of objects: a model that has gone wrong may write thousands, which are shown to it as they are.
const MOST_OBJECTS = 128

function latest (objects: readonly Arguments[]): readonly Arguments[] {
  if (objects.length > MOST_OBJECTS) return []
  return objects.filter((object, index) => !objects.some((other, place) => place > index && holds(other, object)))
}

/** Does the one hold all members of the other? A text that is still being written may have grown. */
function holds (one: Arguments, other: Arguments): boolean {
  return Object.entries(other).every(([name, value]) => Object.hasOwn(one, name) && isDeepStrictEqual(one[name], value))
}

/** Undefined where it is no JSON. */
function parsed (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isObject (value: unknown): value is Arguments {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
