/**
 * Typed tools, which a model may call. Made once, shared by all calls.
 */
import type { TObject } from '@sinclair/typebox'
import type { FastifyBaseLogger } from 'fastify'
import type { Call, Turn } from '../contract/agent.js'
import { ConfigError } from '../contract/errors.js'
import { isObject } from '../contract/json.js'
import type { Checked } from './argument-check.js'
import { withoutUnknown } from './json-schema.js'
import { readyParameters, type ArgumentsOf, type JsonSchema, type ReadyParameters, type ToolParameters } from './parameters.js'
import type { StandardSchema } from './standard-schema.js'
import { checkToolOptions } from './tool-options.js'

/** The second argument of {@link ToolOptions.execute}. */
export interface ToolContext {
  readonly call: Call
  /** The first turn that called the tool. It may be over while the tool still runs. */
  readonly turn: Turn
  /** Bound to call, turn and tool. */
  readonly log: FastifyBaseLogger
  /**
   * Aborts when the tool exceeds its `timeoutMs`, and with `onSupersede: 'cancel'` when its turn is aborted. Pass it to everything that
   * the tool waits for: the log warns of a tool that is aborted and never read it.
   */
  readonly signal: AbortSignal
  /**
   * The same for each run of this tool with these arguments in this call, also on another server, until one succeeds. Send it along
   * (`Idempotency-Key`): then not even a run with an unknown outcome does its work twice.
   */
  readonly idempotencyKey: string
}

/** A parameter that the model fills with words for the caller to hear while the tool runs. The tool does not get it. */
export interface SayParameter {
  /** Its name, such as `message`. */
  parameter: string
  /** Its description for the model. Default: that it is spoken while the caller waits. */
  description?: string
}

/** Options of {@link tool}. `A` is the type of the arguments; it follows from the parameters, except for those in JSON Schema. */
export interface ToolOptions<P extends ToolParameters, A = ArgumentsOf<P>> {
  /** Letters, digits, `_` and `-`, at most 64. */
  name: string
  /** For the model: what it does, when to use it, and when not to. */
  description: string
  /**
   * `Type.Object({ … })`, the JSON Schema of an object (such as MCP's `inputSchema`), or a Standard Schema such as Zod's
   * `z.object({ … })`. Arguments that do not fit go back to the model as an error. Members that are not in the schema are dropped; a
   * Standard Schema handles them itself.
   */
  parameters: P
  /** The JSON Schema for the model, if a Standard Schema offers none, such as those of Zod before 4.2. */
  jsonSchema?: Readonly<Record<string, unknown>>
  /**
   * Does the work. The model gets the returned value: a string unchanged, anything else as JSON. An action that ends the turn (`endCall()`,
   * `transferCall()`, `pressDigits()`) is carried out. Throw on failure, so that the tool may run again: the model gets the message of a
   * ToolError; of other errors it learns only that the tool failed.
   */
  execute (args: A, context: ToolContext): unknown
  /**
   * Words for the caller before the tool runs, unless the model said something itself: a line, a function of the arguments, or a parameter
   * that the model fills. Never part of the history. Default none.
   */
  say?: string | ((args: A) => string) | SayParameter
  /**
   * Words for the caller if the tool takes longer than `fillerMs`; `''` means none. Spoken once, never part of the history. Default
   * `One moment, please.`.
   */
  filler?: string | ((args: A) => string)
  /** Silence before `filler` is said, in ms. Default 2,000. */
  fillerMs?: number
  /** The time, in ms, after which the signal aborts and the model learns that there is no result. Default 10,000. */
  timeoutMs?: number
  /** True if running it twice does harm. Default true. False for a look-up. */
  sideEffects?: boolean
  /**
   * True if it may run again after a run with an unknown outcome, whose node is lost. The service behind it must then honour
   * `idempotencyKey`. Default false: the model learns that the outcome is unknown. Look-ups may always run again.
   */
  idempotent?: boolean
  /**
   * Whether the tool runs on (`finish`) or its signal aborts (`cancel`) when its turn is superseded, or aborted for another reason. Default
   * `finish` with side effects, else `cancel`.
   */
  onSupersede?: 'finish' | 'cancel'
  /**
   * How long a result is reused for exactly the same arguments: for the whole `call`, or until a later `turn` has completed, and so has
   * passed it on (a look-up's result also no longer than until a tool with side effects runs). Default `call` with side effects, else
   * `turn`. Use `turn` for a tool with side effects that callers may want twice, such as one that adds a pizza.
   */
  reuse?: 'call' | 'turn'
  /** True makes the model's server enforce the schema, if it can. No member may be optional then. Default false. */
  strict?: boolean
}

/** Arguments that do not fit: the error for the model. */
export interface WrongArguments {
  readonly error: string
  /** The exception of the schema's own validator, for the log. */
  readonly cause?: unknown
}

/** Valid arguments and the words that the model wants spoken; or the error. */
export type ToolArguments<A = unknown> = WrongArguments | {
  readonly args: A
  readonly spoken: string
  /** The JSON by which calls are compared: the model's arguments without unknown members and without `null` for optional ones. */
  readonly compared: unknown
}

/** Arguments that an asynchronous validator is checking. */
export interface PendingArguments<A = unknown> {
  /** Never rejects. */
  readonly pending: Promise<ToolArguments<A>>
  readonly spoken: string
}

/** A tool, ready to be called. Immutable. */
export interface Tool<A = unknown> {
  readonly name: string
  readonly description: string
  /** The JSON Schema for the model. */
  readonly parameters: Readonly<Record<string, unknown>>
  readonly strict: boolean
  readonly fillerMs: number
  readonly timeoutMs: number
  readonly sideEffects: boolean
  /** True if it may run again after a run with an unknown outcome. */
  readonly idempotent: boolean
  readonly onSupersede: 'finish' | 'cancel'
  readonly reuse: 'call' | 'turn'
  execute (args: A, context: ToolContext): unknown
  /** Checks the model's arguments: JSON text, or a parsed value. Never throws. */
  read (args: unknown): ToolArguments<A> | PendingArguments<A>
  /**
   * The words before the tool runs; `''` if they depend on arguments that are still being checked. Throws the errors of the app's function.
   */
  say (read: { readonly args?: A, readonly spoken: string }): string
  /**
   * The filler for a slow tool; the default if it depends on arguments that are still being checked. Throws the errors of the app's
   * function.
   */
  filler (args: A | undefined): string
}

/** The default filler. */
const FILLER = 'One moment, please.'

const SPOKEN_PARAMETER = 'Spoken to the caller while this runs: one short sentence, in the language of the call.'

/**
 * Makes a tool for `openAIAgent({ tools })` or `runTool()`.
 * @throws VOICE_AGENT_ERR_CONFIG when an option is not accepted, or the parameters cannot be checked or cannot be strict
 */
export function tool<P extends TObject | StandardSchema<object, unknown>> (options: ToolOptions<P>): Tool<ArgumentsOf<P>>
// NoInfer: the type of a list of tools must not determine the arguments of this tool.
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
      // Unknown members must not make one call look like two.
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

/** True for a value that {@link tool} made. */
export function isTool (value: unknown): value is Tool {
  return typeof value === 'object' && value !== null && tools.has(value)
}

function lineOf<A> (line: string | ((args: A) => string), args: A | undefined, otherwise: string): string {
  if (typeof line === 'string') return line
  return args === undefined ? otherwise : line(args)
}

// Returns a copy that is plain JSON.
function parse (raw: unknown): Record<string, unknown> | undefined {
  try {
    // For a tool without parameters models often write nothing.
    const text = typeof raw === 'string' ? raw.trim() || '{}' : JSON.stringify(raw ?? {})
    const value: unknown = JSON.parse(text) ?? {}
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

// The spoken parameter comes first: models write in order, so the words do not wait for the other arguments.
function withSpoken (schema: ReadyParameters['schema'], { parameter, description = SPOKEN_PARAMETER }: SayParameter): typeof schema {
  return {
    ...schema,
    properties: { [parameter]: { type: 'string', description }, ...schema.properties },
    required: [parameter, ...schema.required]
  }
}
