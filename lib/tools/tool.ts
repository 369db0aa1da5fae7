/**
 * Typed tools: what a model may call, and how. Made once, shared by all calls.
 */
import type { TObject } from '@sinclair/typebox'
import type { FastifyBaseLogger } from 'fastify'
import type { Call, Turn } from '../contract/agent.js'
import { ConfigError } from '../contract/errors.js'
import type { Checked } from './argument-check.js'
import { withoutUnknown } from './json-schema.js'
import { readyParameters, type ArgumentsOf, type JsonSchema, type ReadyParameters, type ToolParameters } from './parameters.js'
import type { StandardSchema } from './standard-schema.js'
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

/** Options of {@link tool}. `A` is what `execute` gets, which follows from the parameters, but for those in JSON Schema. */
export interface ToolOptions<P extends ToolParameters, A = ArgumentsOf<P>> {
  /** Letters, digits, `_` and `-`, at most 64. */
  name: string
  /** What it does, when to use it, and when not to. */
  description: string
  /**
   * `Type.Object({ … })`, the JSON Schema of an object (MCP's `inputSchema` as it is), or a Standard Schema such as Zod's
   * `z.object({ … })`. What does not fit goes back to the model as an error. What is not in the schema is dropped, or is what the
   * Standard Schema makes of it.
   */
  parameters: P
  /** What the model is shown of a Standard Schema that offers no JSON Schema: one of Zod before 4.2, for instance. */
  jsonSchema?: Readonly<Record<string, unknown>>
  /**
   * Does the work. What it returns is given to the model: a string as it is, anything else as JSON. An action that ends
   * the turn (`endCall()`, `transferCall()`, `pressDigits()`) is carried out. Throw where it failed, so that it may run
   * again: a ToolError's message is given to the model, of other errors it only learns that the tool failed.
   */
  execute (args: A, context: ToolContext): unknown
  /**
   * What the caller hears before it runs, unless the model said something itself: a line, a function of the arguments, or a parameter that
   * the model fills. Never history. Default nothing.
   */
  say?: string | ((args: A) => string) | SayParameter
  /**
   * What the caller hears once, when the tool takes longer than `fillerMs`; `''` is nothing. Never history. Default
   * `One moment, please.`.
   */
  filler?: string | ((args: A) => string)
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
  /**
   * When its turn is superseded, or aborted for another reason, it runs on (`finish`) or its signal aborts (`cancel`). Default `finish`
   * with side effects, else `cancel`.
   */
  onSupersede?: 'finish' | 'cancel'
  /**
   * How long a result stands for the same arguments, to the letter: for the whole `call`, or until a `turn` was completed
   * after it, which is to have told of it (a look-up's also only as long as nothing with side effects runs). Default `call` with side
   * effects, else `turn`. A tool that may well be wanted twice, such as one that adds a pizza, has side effects and `turn`.
   */
  reuse?: 'call' | 'turn'
  /** Has the model's server hold the model to the schema, which not all can. Then no member may be optional. Default false. */
  strict?: boolean
}

/** What is wrong with arguments, for the model. */
export interface WrongArguments {
  readonly error: string
  /** What the schema's own validator threw, for the log. */
  readonly cause?: unknown
}

/** Arguments that fit, and what the model wants to have said; or what is wrong with them. */
export type ToolArguments<A = unknown> = WrongArguments | {
  readonly args: A
  readonly spoken: string
  /** The JSON by which two calls are the same call: as the model wrote it, without unknown members and without `null` for optional ones. */
  readonly compared: unknown
}

/** Arguments that an asynchronous validator still checks. */
export interface PendingArguments<A = unknown> {
  /** Never rejects. */
  readonly pending: Promise<ToolArguments<A>>
  readonly spoken: string
}

/** A tool, ready to be called. Immutable. */
export interface Tool<A = unknown> {
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
  execute (args: A, context: ToolContext): unknown
  /** Checks what the model wrote: JSON text, or a value that was parsed from it. Never throws. */
  read (args: unknown): ToolArguments<A> | PendingArguments<A>
  /**
   * What is said before it runs, if anything: nothing where it depends on arguments that are still checked. Throws what the app's function
   * throws.
   */
  say (read: { readonly args?: A, readonly spoken: string }): string
  /**
   * What is said when it is slow, if anything: the default where it depends on arguments that are still checked. Throws what the app's
   * function throws.
   */
  filler (args: A | undefined): string
}

/** The line for slow tools that have none. */
const FILLER = 'One moment, please.'

const SPOKEN_PARAMETER = 'Spoken to the caller while this runs: one short sentence, in the language of the call.'

/**
 * Makes a tool, to be given to `openAIAgent({ tools })` or `runTool()`.
 * @throws VOICE_AGENT_ERR_CONFIG when an option is none that is accepted, or the parameters cannot be checked, or not be strict
 */
export function tool<P extends TObject | StandardSchema<object, unknown>> (options: ToolOptions<P>): Tool<ArgumentsOf<P>>
// NoInfer: where a list of tools is expected, that says nothing of the arguments of this one.
export function tool<A extends object = Record<string, unknown>> (options: ToolOptions<JsonSchema, A>): Tool<NoInfer<A>>
export function tool<A> (options: ToolOptions<ToolParameters, A>): Tool<A> {
  checkToolOptions(options)
  const { name, description, parameters, say = '', filler = FILLER, sideEffects = true, strict = false } = options
  const spoken = typeof say === 'object' ? say : undefined
  const { schema, dropsUnknown, check } = readyParameters(name, parameters, options.jsonSchema, strict)
  if (spoken !== undefined && Object.hasOwn(schema.properties, spoken.parameter)) {
    throw new ConfigError(`tool ${name}: say names a parameter that the tool has by itself`)
  }

  const made = Object.freeze({
    name,
    description,
    parameters: spoken === undefined ? schema : withSpoken(schema, spoken),
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
      const said = typeof words === 'string' ? words : ''
      // Made-up parameters must not make two calls of one.
      const compared = withoutUnknown([schema], args, true)
      const read = (checked: Checked): ToolArguments<A> =>
        'error' in checked ? checked : { args: checked.value as A, spoken: said, compared }
      const checked = check(dropsUnknown ? withoutUnknown([schema], args) as Record<string, unknown> : args)
      return checked instanceof Promise ? { pending: checked.then(read), spoken: said } : read(checked)
    },
    say ({ args, spoken: words }) {
      if (spoken !== undefined) return words
      return lineOf(say as string | ((args: A) => string), args, '')
    },
    filler: args => lineOf(filler, args, FILLER)
  } satisfies Tool<A>)
  tools.add(made)
  return made
}

const tools = new WeakSet<object>()

/** Was it made by {@link tool}? */
export function isTool (value: unknown): value is Tool {
  return typeof value === 'object' && value !== null && tools.has(value)
}

function lineOf<A> (line: string | ((args: A) => string), args: A | undefined, otherwise: string): string {
  if (typeof line === 'string') return line
  return args === undefined ? otherwise : line(args)
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

// First, since models write in order, and think on what they have written.
function withSpoken (schema: ReadyParameters['schema'], { parameter, description = SPOKEN_PARAMETER }: SayParameter): typeof schema {
  return {
    ...schema,
    properties: { [parameter]: { type: 'string', description }, ...schema.properties },
    required: [parameter, ...schema.required]
  }
}
