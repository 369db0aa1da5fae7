/**
 * Typed tools: what a model may call, and how. Made once, shared by all calls.
 */
import { FormatRegistry, Kind, TransformKind, type Static, type TObject, type TSchema } from '@sinclair/typebox'
import { TypeCompiler, type TypeCheck, type ValueError } from '@sinclair/typebox/compiler'
import type { FastifyBaseLogger } from 'fastify'
import type { Call, Turn } from '../contract/agent.js'
import { ConfigError } from '../contract/errors.js'
import { checkToolOptions, isObject } from './tool-options.js'

/** What {@link ToolOptions.execute} is given besides its arguments. */
export interface ToolContext {
  readonly call: Call
  /** The turn that called first. It may be over while the tool still runs. */
  readonly turn: Turn
  /** Bound to call, turn and tool. */
  readonly log: FastifyBaseLogger
  /**
   * Aborts when the tool exceeded its `timeoutMs`, and with `onSupersede: 'cancel'` when its turn is aborted. Hand it to
   * whatever the tool waits for: a tool that is told to stop and never looked at it is complained of in the log.
   */
  readonly signal: AbortSignal
  /**
   * The same each time this call runs this tool with these arguments, also on another server, until it has succeeded.
   * Send it along (`Idempotency-Key`): then not even a run whose outcome is unknown can do its work twice.
   */
  readonly idempotencyKey: string
}

/** A parameter that the model fills with what the caller hears while the tool runs. Not among the tool's own arguments. */
export interface SayParameter {
  /** Its name, such as `message`. */
  parameter: string
  /** What the model is told of it. Default: that it is spoken while the caller waits. */
  description?: string
}

/** Options of {@link tool}. */
export interface ToolOptions<T extends TObject> {
  /** Letters, digits, `_` and `-`, at most 64. */
  name: string
  /** What it does, when to use it, and when not to. */
  description: string
  /** `Type.Object({ … })`. What the model writes that is not in it is dropped, what does not fit goes back to it as an error. */
  parameters: T
  /**
   * Does the work. What it returns is given to the model: a string as it is, anything else as JSON. An action that ends
   * the turn (`endCall()`, `transferCall()`, `pressDigits()`) is carried out. Throw where it failed, so that it may run
   * again: a ToolError's message is given to the model, of other errors it only learns that the tool failed.
   */
  execute (args: Static<T>, context: ToolContext): unknown
  /** What the caller hears before it runs, unless the model said something itself: a line, a function of the arguments, or a parameter that the model fills. Never history. Default nothing. */
  say?: string | ((args: Static<T>) => string) | SayParameter
  /** What the caller hears once, when the tool takes longer than `fillerMs`; `''` is nothing. Never history. Default `One moment, please.`. */
  filler?: string | ((args: Static<T>) => string)
  /** Silence before `filler` is said, in ms. Default 2,000. */
  fillerMs?: number
  /** When the model is told that there is no result, and the signal aborts, in ms. Default 10,000. */
  timeoutMs?: number
  /** Does running it twice do harm? Default true. False: a look-up. */
  sideEffects?: boolean
  /**
   * May it be run again where nobody knows whether it took effect, as the node that ran it is gone? Then whatever does the
   * work is to heed `idempotencyKey`. Default false: the model is told that it is not known. Look-ups always may.
   */
  idempotent?: boolean
  /** When its turn is superseded, or aborted for another reason, it runs on (`finish`) or its signal aborts (`cancel`). Default `finish` with side effects, else `cancel`. */
  onSupersede?: 'finish' | 'cancel'
  /**
   * How long a result stands for the same arguments, to the letter: for the whole `call`, or until a `turn` was completed
   * after it, which is to have told of it (a look-up's also only as long as nothing with side effects runs). Default `call` with side effects, else
   * `turn`. A tool that may well be wanted twice, such as one that adds a pizza, has side effects and `turn`.
   */
  reuse?: 'call' | 'turn'
  /** Has the model's server hold the model to the schema, which not all can. Then no member may be optional. Default false. */
  strict?: boolean
}

/** Arguments that fit, and what the model wants to have said; or what is wrong with them, for the model. */
export type ToolArguments<A> =
  | { readonly args: A, readonly spoken: string }
  | { readonly error: string }

/** A tool, ready to be called. Immutable. */
export interface Tool<T extends TObject = TObject> {
  readonly name: string
  readonly description: string
  /** JSON schema of what the model is to write. */
  readonly parameters: Readonly<Record<string, unknown>>
  readonly strict: boolean
  readonly fillerMs: number
  readonly timeoutMs: number
  readonly sideEffects: boolean
  /** May it be run again where nobody knows whether it took effect? */
  readonly idempotent: boolean
  readonly onSupersede: 'finish' | 'cancel'
  readonly reuse: 'call' | 'turn'
  execute (args: Static<T>, context: ToolContext): unknown
  /** Checks what the model wrote: JSON text, or a value that was parsed from it. */
  read (args: unknown): ToolArguments<Static<T>>
  /** What is said before it runs, if anything. Throws what the app's function throws. */
  say (read: { readonly args: Static<T>, readonly spoken: string }): string
  /** What is said when it is slow, if anything. Throws what the app's function throws. */
  filler (args: Static<T>): string
}

/** The line for slow tools that have none. */
const FILLER = 'One moment, please.'

const SPOKEN_PARAMETER = 'Spoken to the caller while this runs: one short sentence, in the language of the call.'

/** How many mismatches a model is told of at once. */
const MAX_MISMATCHES = 5

/**
 * Makes a tool, to be given to `openAIAgent({ tools })` or `runTool()`.
 * @throws VOICE_AGENT_ERR_CONFIG when an option is none that is accepted
 */
export function tool<T extends TObject> (options: ToolOptions<T>): Tool<T> {
  checkToolOptions(options)
  const { name, description, parameters, say = '', filler = FILLER, sideEffects = true, strict = false } = options
  const schema = compile(name, parameters, strict)
  const spoken = typeof say === 'object' ? say : undefined

  const made = Object.freeze({
    name,
    description,
    parameters: schemaOf(parameters, spoken, strict),
    strict,
    fillerMs: options.fillerMs ?? 2_000,
    timeoutMs: options.timeoutMs ?? 10_000,
    sideEffects,
    idempotent: options.idempotent ?? !sideEffects,
    onSupersede: options.onSupersede ?? (sideEffects ? 'finish' : 'cancel'),
    reuse: options.reuse ?? (sideEffects ? 'call' : 'turn'),
    execute: options.execute,
    read (raw) {
      const args = parse(raw)
      if (args === undefined) return { error: 'the arguments are not a JSON object' }
      const words = spoken === undefined ? '' : args[spoken.parameter]
      if (spoken !== undefined) delete args[spoken.parameter]
      // Made-up parameters must not make two calls of one.
      const known = withoutUnknown([parameters], args)
      if (!schema.Check(known)) return { error: `the arguments do not fit: ${mismatches(schema.Errors(known))}` }
      return { args: known, spoken: typeof words === 'string' ? words : '' }
    },
    say ({ args, spoken: words }) {
      return spoken !== undefined ? words : lineOf(say as string | ((args: Static<T>) => string), args)
    },
    filler: args => lineOf(filler, args)
  } satisfies Tool<T>)
  tools.add(made)
  return made
}

const tools = new WeakSet<object>()

/** Was it made by {@link tool}? */
export function isTool (value: unknown): value is Tool {
  return typeof value === 'object' && value !== null && tools.has(value)
}

function lineOf<A> (line: string | ((args: A) => string), args: A): string {
  return typeof line === 'string' ? line : line(args)
}

// What comes out is not shared with whoever wrote it, and is JSON.
function parse (raw: unknown): Record<string, unknown> | undefined {
  try {
    // Models that call a tool without parameters often write nothing.
    const text = typeof raw === 'string' ? raw.trim() || '{}' : JSON.stringify(raw ?? {})
    const value: unknown = JSON.parse(text) ?? {}
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Kinds of schema in which no unknown member can stand. */
const PLAIN: ReadonlySet<string> = new Set(['String', 'Number', 'Integer', 'Boolean', 'Null', 'Literal', 'TemplateLiteral', 'Undefined'])

// TypeBox's own Value.Clean() takes a union's first type that fits, and drops what another one has; and it knows members
// by the names that all objects have.
function withoutUnknown (anyOf: readonly TSchema[], value: unknown): unknown {
  const schemas = anyOf.flatMap(alternatives)
  if (Array.isArray(value)) {
    const items = schemas.flatMap(schema => schema[Kind] === 'Array' ? schema['items'] as TSchema : [])
    return items.length === 0 ? value : value.map(item => withoutUnknown(items, item))
  }
  const objects = schemas.filter(schema => schema[Kind] === 'Object' && !schema['additionalProperties'])
  const isOpen = schemas.some(schema => !objects.includes(schema) && !PLAIN.has(schema[Kind]) && schema[Kind] !== 'Array')
  if (!isObject(value) || isOpen) return value
  return Object.fromEntries(Object.entries(value).flatMap(([name, member]) => {
    const inner = objects.flatMap(({ properties }) => Object.hasOwn(properties, name) ? properties[name] as TSchema : [])
    return inner.length === 0 ? [] : [[name, withoutUnknown(inner, member)]]
  }))
}

function alternatives (schema: TSchema): TSchema[] {
  const several = (schema[Kind] === 'Union' && schema['anyOf']) || (schema[Kind] === 'Intersect' && schema['allOf'])
  return several ? (several as TSchema[]).flatMap(alternatives) : [schema]
}

// Paths and what is expected there, and nothing of what was written.
function mismatches (errors: Iterable<ValueError>): string {
  const byPath = new Map<string, string>()
  for (const { path, message } of errors) if (!byPath.has(path) && byPath.set(path, message).size === MAX_MISMATCHES) break
  return Array.from(byPath, ([path, message]) => `${path || '/'}: ${message}`).join('; ')
}

/** Kinds of values that no JSON holds. */
const NO_JSON: ReadonlySet<string> = new Set(['AsyncIterator', 'BigInt', 'Constructor', 'Date', 'Function', 'Iterator', 'Promise', 'RegExp', 'Symbol', 'Uint8Array', 'Undefined', 'Void'])

// What is not checked would reach the tool, and what can never fit would keep it from running, both in mid-call.
function compile<T extends TObject> (name: string, parameters: T, strict: boolean): TypeCheck<T> {
  const refuse = (why: string): never => { throw new ConfigError(`tool ${name}: parameters ${why}`) }
  for (const schema of schemasIn(parameters)) {
    const { enum: values, format } = schema
    if (values !== undefined) refuse('has an enum, which is not checked: use Type.Union() of Type.Literal()')
    if (format !== undefined && !FormatRegistry.Has(format)) refuse(`has the format ${format}, which is not known: use a pattern, or FormatRegistry.Set() of fastify-voice-agent`)
    if (NO_JSON.has(schema[Kind]) || TransformKind in schema) refuse(`has a ${TransformKind in schema ? 'Transform' : schema[Kind]}, which no model can write: take a string and convert it in execute`)
    if (strict && schema[Kind] === 'Object' && Object.keys(schema['properties']).length > (schema['required']?.length ?? 0)) {
      refuse('has optional members, which a model that is held to them strictly must not have: use Type.Union([…, Type.Null()])')
    }
  }
  try {
    return TypeCompiler.Compile(parameters)
  } catch (error) {
    return refuse(`cannot be checked: ${(error as Error).message}`)
  }
}

function * schemasIn (value: object): Generator<TSchema> {
  if (Kind in value) yield value as TSchema
  for (const inner of Object.values(value)) {
    if (typeof inner === 'object' && inner !== null) yield * schemasIn(inner)
  }
}

// As plain JSON: without the symbols by which TypeBox knows its own, and with literals in the way that all servers know.
function schemaOf (parameters: TObject, spoken: SayParameter | undefined, strict: boolean): Record<string, unknown> {
  const { properties, required = [], ...rest } = JSON.parse(JSON.stringify(parameters), (_key, value) => {
    if (!isObject(value)) return value
    const { const: literal, anyOf, ...schema } = value
    if (literal !== undefined && typeof literal !== 'object') return { ...schema, enum: [literal] }
    if (strict && schema['type'] === 'object' && isObject(schema['properties'])) return { ...schema, additionalProperties: false }
    if (!Array.isArray(anyOf) || !anyOf.every(isWord)) return value
    return { ...schema, type: 'string', enum: anyOf.flatMap(one => one.enum) }
  }) as TObject
  if (spoken === undefined) return { ...rest, properties, required }
  const { parameter, description = SPOKEN_PARAMETER } = spoken
  // First, since models write in order, and think on what they have written.
  return { ...rest, properties: { [parameter]: { type: 'string', description }, ...properties }, required: [parameter, ...required] }
}

/** A literal of which there is no more to say. */
function isWord (schema: Record<string, unknown>): boolean {
  return schema['type'] === 'string' && Array.isArray(schema['enum']) && Object.keys(schema).length === 2
}
