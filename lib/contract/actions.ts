/**
 * Actions, which an agent may yield besides words. Types and pure functions only.
 */
import { Type, type TObject } from '@sinclair/typebox'
import { compile } from './compile.js'
import { ActionError } from './errors.js'

/** Options of {@link endCall}. */
export interface EndCallOptions {
  /** The goodbye, sent in the same frame as the action. Without it the line goes dead at once. */
  say?: string
}

/** Options of {@link transferCall}. */
export interface TransferCallOptions {
  /** Spoken before the transfer. Keep it short: on Retell a caller who talks over it cancels the transfer. */
  say?: string
  /** Show the caller's own number to the destination. Retell only, inside a turn. */
  showCaller?: boolean
}

/**
 * Marks an action. JSON cannot hold a symbol, so foreign data is never an action. All copies of this package in a process share the symbol.
 */
const ACTION = Symbol.for('fastify-voice-agent.action')

/**
 * Part of every object that a builder made. An object literal is not an action and does not compile as one. A copy by spread is an action,
 * a copy by `structuredClone` is not.
 */
export interface Built {
  /** For the compiler only; no object has it. A symbol would make the types of two copies of the package incompatible. */
  readonly __builtBy: 'fastify-voice-agent'
}

const BUILT = { [ACTION]: true } as unknown as Built

/** Anything but plain speech. Built by the functions below, yielded by an agent like a token. */
export type Action = Built & (
  | { readonly action: 'end-call', readonly say: string }
  | { readonly action: 'transfer-call', readonly destination: string, readonly say: string, readonly showCaller: boolean }
  | { readonly action: 'press-digits', readonly digits: string }
  | { readonly action: 'pause', readonly ms: number }
  | { readonly action: 'flush' }
  | { readonly action: 'filler', readonly text: string }
  | { readonly action: 'uninterruptible', readonly text: string }
  | { readonly action: 'working' }
  | { readonly action: 'usage', readonly model: string, readonly inputTokens: number, readonly outputTokens: number }
  | { readonly action: 'unspoken', readonly characters: number, readonly kinds: readonly UnspokenKind[] }
  | ToolCallAction
  | ToolResultAction
)

/** Kinds of text in a model's answer that are not speech. */
export const UNSPOKEN_KINDS = ['reasoning', 'tool call', 'control token', 'source mark', 'LaTeX', 'HTML'] as const

/** One of {@link UNSPOKEN_KINDS}. */
export type UnspokenKind = typeof UNSPOKEN_KINDS[number]

/** The record of a tool call. Made by {@link toolCall}. */
export interface ToolCallAction extends Built {
  readonly action: 'tool-call'
  readonly id: string
  readonly name: string
  /** JSON. */
  readonly arguments: string
  /** True if a second call with the same arguments waits for the same run, as with {@link runTool}. */
  readonly runsOnce?: boolean
  /** The model server's own members, which `messages` gives back with the call. */
  readonly extra?: object
}

/** The record of a tool's result. Made by {@link toolResult}. */
export interface ToolResultAction extends Built {
  readonly action: 'tool-result'
  readonly id: string
  readonly content: string
  readonly successful?: boolean
}

/** An entry of a call's record, made by {@link Call.record} or yielded. */
export type ToolAction = ToolCallAction | ToolResultAction

/** An action after which the turn says nothing more. A provider runs at most one of them a turn. */
export type TerminalAction = Extract<Action, { action: 'end-call' | 'transfer-call' | 'press-digits' }>

// More than any model reads or writes at once.
const MOST_TOKENS = 1_000_000_000

/** Hangs up after the reply was spoken. Nothing after it is said. */
export function endCall (options: EndCallOptions = {}): Extract<Action, { action: 'end-call' }> {
  return { ...BUILT, action: 'end-call', say: text(options.say ?? '', 'endCall: say') }
}

/**
 * Transfers the call to a phone number, after the reply was spoken. Nothing after it is said.
 * @throws VOICE_AGENT_ERR_ACTION when the destination is empty
 */
export function transferCall (destination: string, options: TransferCallOptions = {}): Extract<Action, { action: 'transfer-call' }> {
  return {
    ...BUILT,
    action: 'transfer-call',
    destination: nonEmpty(destination, 'transferCall: destination'),
    say: text(options.say ?? '', 'transferCall: say'),
    showCaller: options.showCaller ?? false
  }
}

/**
 * Sends DTMF digits after the reply was spoken. Retell only. Nothing after it is said, since the provider runs one
 * action a turn.
 * @throws VOICE_AGENT_ERR_ACTION when there is anything but 0-9, *, #, A-D
 */
export function pressDigits (digits: string): Extract<Action, { action: 'press-digits' }> {
  const isDialled = ACTIONS['press-digits'].Check({ digits: text(digits, 'pressDigits') })
  if (!isDialled) throw new ActionError('pressDigits: digits are 0-9, *, # and A-D')
  return { ...BUILT, action: 'press-digits', digits }
}

/**
 * Silence between the words before and after it. Retell has no field for it: a dash is spoken for each second.
 * @param ms milliseconds, above 0, at most 60,000
 * @throws VOICE_AGENT_ERR_ACTION when `ms` is out of range
 */
export function pause (ms: number): Action {
  if (!ACTIONS.pause.Check({ ms })) throw new ActionError('pause: ms is a number above 0, at most 60000')
  return { ...BUILT, action: 'pause', ms }
}

/** Has the words so far spoken now, without waiting for the sentence to end. Millis only; Retell ignores it. */
export function flush (): Action {
  return { ...BUILT, action: 'flush' }
}

/** Says something that covers a wait. Spoken at once, never part of the history. */
export function filler (speech: string): Action {
  return { ...BUILT, action: 'filler', text: text(speech, 'filler') }
}

/** Says something that the caller cannot interrupt. Retell only; on Millis it is plain speech. */
export function uninterruptible (speech: string): Action {
  return { ...BUILT, action: 'uninterruptible', text: text(speech, 'uninterruptible') }
}

/** Says nothing, and restarts the deadline for the next word: the agent is busy, for example with a long tool call. */
export function working (): Action {
  return { ...BUILT, action: 'working' }
}

/**
 * Reports the model and the number of tokens that it read and wrote, for the turn's report. Tokens of several requests in a turn are
 * added up. A figure that is not a number from 0 to 1,000,000,000 counts as 0, since it comes from the model's server.
 */
export function usage (model: string, tokens: { inputTokens?: number, outputTokens?: number } = {}): Extract<Action, { action: 'usage' }> {
  const figure = (count: unknown): number => isTokenCount(count) ? count : 0
  const { inputTokens, outputTokens } = tokens
  return {
    ...BUILT,
    action: 'usage',
    model: text(model, 'usage: model'),
    inputTokens: figure(inputTokens),
    outputTokens: figure(outputTokens)
  }
}

/**
 * Reports text of the model that was cut because it is not speech, for the turn's report. Made by `speakable()` and the built-in agent.
 * @param cut the number of characters and their kinds: no content
 */
export function unspoken (
  { characters, kinds }: { readonly characters: number, readonly kinds: readonly UnspokenKind[] }
): Extract<Action, { action: 'unspoken' }> {
  return { ...BUILT, action: 'unspoken', characters, kinds }
}

/** True for a number of tokens that one answer can have. */
export function isTokenCount (count: unknown): count is number {
  return typeof count === 'number' && count >= 0 && count <= MOST_TOKENS
}

/**
 * Records a tool call: in the `messages` of later turns, and in Retell's transcript (`tool_call_invocation`). Until its result is
 * recorded, only `deadlines.turnMs` bounds the silence.
 * @param id unique in the call
 * @param args a JSON object, or its text
 * @throws VOICE_AGENT_ERR_ACTION when one of them is missing
 */
export function toolCall (id: string, name: string, args: string | Record<string, unknown>): ToolCallAction {
  const json: unknown = typeof args === 'string' ? args : JSON.stringify(args)
  return {
    ...BUILT,
    action: 'tool-call',
    id: nonEmpty(id, 'toolCall: id'),
    name: nonEmpty(name, 'toolCall: name'),
    arguments: text(json as string, 'toolCall: arguments')
  }
}

/**
 * Records a tool's result: in the `messages` of later turns, and in Retell's transcript (`tool_call_result`).
 * @param id the one given to {@link toolCall}
 * @throws VOICE_AGENT_ERR_ACTION when one of them is missing
 */
export function toolResult (id: string, content: string, successful?: boolean): ToolResultAction {
  return {
    ...BUILT,
    action: 'tool-result',
    id: nonEmpty(id, 'toolResult: id'),
    content: text(content, 'toolResult: content'),
    ...(successful === undefined ? {} : { successful })
  }
}

// A changed copy of an action must fail here, and not where it is sent.
const Id = Type.String({ minLength: 1 })
const Tokens = Type.Number({ minimum: 0, maximum: MOST_TOKENS })
const ACTIONS = compile({
  'end-call': Type.Object({ say: Type.String() }),
  'transfer-call': Type.Object({
    destination: Type.String({ pattern: '\\S' }), say: Type.String(), showCaller: Type.Boolean()
  }),
  'press-digits': Type.Object({ digits: Type.String({ pattern: '^[0-9*#A-D]+$' }) }),
  pause: Type.Object({ ms: Type.Number({ exclusiveMinimum: 0, maximum: 60_000 }) }),
  flush: Type.Object({}),
  working: Type.Object({}),
  usage: Type.Object({ model: Type.String(), inputTokens: Tokens, outputTokens: Tokens }),
  unspoken: Type.Object({
    characters: Type.Number({ minimum: 0 }),
    kinds: Type.Array(Type.Union(UNSPOKEN_KINDS.map(kind => Type.Literal(kind))))
  }),
  filler: Type.Object({ text: Type.String() }),
  uninterruptible: Type.Object({ text: Type.String() }),
  'tool-call': Type.Object({
    id: Id, name: Id, arguments: Type.String(), runsOnce: Type.Optional(Type.Boolean()), extra: Type.Optional(Type.Object({}))
  }),
  'tool-result': Type.Object({ id: Id, content: Type.String(), successful: Type.Optional(Type.Boolean()) })
} satisfies Record<Action['action'], TObject>)

/** True for an action that a builder made, or a valid copy of one. */
export function isAction (value: unknown): value is Action {
  return isWhole(value) && ACTION in value
}

/** True for a valid action that ends the turn. */
export function isTerminal (value: unknown): value is TerminalAction {
  return isAction(value) && (value.action === 'end-call' || value.action === 'transfer-call' || value.action === 'press-digits')
}

/** Rebuilds an action that this package stored as JSON. Undefined unless it is valid and ends a turn. */
export function rebuiltTerminal (kept: unknown): TerminalAction | undefined {
  if (!isWhole(kept)) return undefined
  switch (kept.action) {
    case 'end-call': return endCall(kept)
    case 'transfer-call': return transferCall(kept.destination, kept)
    case 'press-digits': return pressDigits(kept.digits)
    default: return undefined
  }
}

/** True if all members of an action are there and valid. The mark is not checked. */
function isWhole (value: unknown): value is Action {
  const name = actionName(value)
  return name !== undefined && ACTIONS[name].Check(value)
}

/** The name of the action that a value looks like, even if no builder made it. */
export function actionName (value: unknown): Action['action'] | undefined {
  if (typeof value !== 'object' || value === null || !('action' in value)) return undefined
  const { action } = value
  return typeof action === 'string' && Object.hasOwn(ACTIONS, action) ? action as Action['action'] : undefined
}

function text (value: string, name: string): string {
  if (typeof value !== 'string') throw new ActionError(`${name} must be a string`)
  return value
}

function nonEmpty (value: string, name: string): string {
  if (text(value, name).trim() === '') throw new ActionError(`${name} is empty`)
  return value
}
