/**
 * Checks the options of a tool.
 */
import { Kind } from '@sinclair/typebox'
import { ConfigError } from '../contract/errors.js'
import { isObject } from '../contract/json.js'
import { checkNames, namesOf } from '../contract/option-names.js'
import { isDuration, LONGEST_MS } from '../timing/duration.js'
import type { ToolParameters } from './parameters.js'
import { isStandardSchema } from './standard-schema.js'
import type { SayParameter, ToolOptions } from './tool.js'

type Whole = ToolOptions<ToolParameters>

const OPTIONS = namesOf<Whole>({
  name: true,
  description: true,
  parameters: true,
  jsonSchema: true,
  execute: true,
  say: true,
  filler: true,
  fillerMs: true,
  timeoutMs: true,
  sideEffects: true,
  idempotent: true,
  onSupersede: true,
  reuse: true,
  strict: true
})

/**
 * Checks the options of an app in JavaScript, which no compiler checks.
 * @throws VOICE_AGENT_ERR_CONFIG naming the tool, the option and what to write
 */
export function checkToolOptions (options: object): void {
  if (!isObject(options)) throw new ConfigError('tool: options must be an object: tool({ name, description, parameters, execute })')
  const { name, description, parameters, execute, say, filler } = options as object as Whole
  const { jsonSchema, fillerMs = 0, timeoutMs = 1, sideEffects, idempotent, onSupersede, reuse, strict } = options as object as Whole
  const isName = typeof name === 'string' && /^[\w-]{1,64}$/.test(name)
  const must = (holds: boolean, what: string): void => {
    if (!holds) throw new ConfigError(`tool${isName ? ` ${name}` : ''}: ${what}`)
  }
  checkNames(isName ? `tool ${name}` : 'tool', options, OPTIONS)
  must(isName, 'name must be letters, digits, _ and -, at most 64')
  const isDescribed = typeof description === 'string' && description.trim() !== ''
  must(isDescribed, 'description must be a string with something in it: by it the model decides when to call the tool')
  must(isParameters(parameters),
    `parameters must be a Type.Object({ … }), a JSON Schema of type object, or a Standard Schema${likeness(parameters)}`)
  must(jsonSchema === undefined || isJsonSchema(jsonSchema), 'jsonSchema must be a JSON Schema of type object')
  must(jsonSchema === undefined || isStandardSchema(parameters),
    'jsonSchema belongs to a Standard Schema: leave it out, since parameters are JSON Schema themselves')
  must(typeof execute === 'function', 'execute must be a function that does the work: execute (args, { signal }) { … }')
  must(!/Generator/.test(Object.prototype.toString.call(execute)), 'execute must not be a generator function, of which nothing would run')
  must(isLine(say) || isParameter(say), "say must be a string, a function of the arguments, or { parameter: 'message' }")
  must(isLine(filler), 'filler must be a string or a function')
  must(isDuration(fillerMs), `fillerMs must be milliseconds, at most ${LONGEST_MS}`)
  must(isDuration(timeoutMs) && timeoutMs >= 1, `timeoutMs must be milliseconds above 0, at most ${LONGEST_MS}`)
  must(isOneOf(sideEffects, true, false), 'sideEffects must be true or false')
  must(isOneOf(idempotent, true, false), 'idempotent must be true or false')
  must(isOneOf(onSupersede, 'finish', 'cancel'), 'onSupersede must be finish or cancel')
  must(isOneOf(reuse, 'call', 'turn'), 'reuse must be call or turn')
  must(isOneOf(strict, true, false), 'strict must be true or false')
}

function isParameters (value: unknown): boolean {
  return isStandardSchema(value) || (isObject(value) && (Kind in value ? value[Kind] === 'Object' : isJsonSchema(value)))
}

function isJsonSchema (value: unknown): boolean {
  return isObject(value) && value['type'] === 'object'
}

/** A hint for a frequent mistake. */
function likeness (parameters: unknown): string {
  if (parameters === undefined) return '; Type.Object({}) where it takes none'
  if (!isObject(parameters)) return ''
  if (Kind in parameters) return `, not a Type.${String(parameters[Kind])}()`
  if ('_def' in parameters) return '; Zod has it since 3.24'
  if ('type' in parameters || 'properties' in parameters) return '; type is missing, or another one'
  return ', not the members alone'
}

function isLine (line: unknown): boolean {
  return line === undefined || typeof line === 'string' || typeof line === 'function'
}

function isParameter (say: unknown): say is SayParameter {
  if (!isObject(say)) return false
  const { parameter, description = '' } = say
  return typeof parameter === 'string' && parameter !== '' && typeof description === 'string'
}

function isOneOf (value: unknown, ...accepted: unknown[]): boolean {
  return value === undefined || accepted.includes(value)
}
