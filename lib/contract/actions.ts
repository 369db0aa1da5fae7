/**
 * Actions: what an agent may yield besides words. Types and pure functions only.
 */
import { Type, type TObject } from '@sinclair/typebox'
import { compile } from './compile.js'
import { ActionError } from './errors.js'

/** Options of {@link endCall}. */
export interface EndCallOptions {
  /** The goodbye. It travels in the same frame as the action. Without it the line goes dead at once. */
  say?: string
}

/** Options of {@link transferCall}. */
export interface TransferCallOptions {
  /** What is said first; keep it short, because the caller talking over it cancels the transfer on Retell. */
  say?: string
  /** Show the caller's own number to the destination. Retell only, inside a turn. */
  showCaller?: boolean
}

/**
 * The mark of an action. JSON cannot hold a symbol, so that data of somebody else's is never an action. All copies of this package in a
 * process share the symbol.
 */
const ACTION = Symbol.for('fastify-voice-agent.action')

/**
 * What the builders alone make: an object that was written by hand is no action, and does not compile as one. A copy by spread still is
 * one, a copy by `structuredClone` is not.
 */
export interface Built {
  /** For the compiler alone, and on no object: with the symbol here, actions of two copies of the package would be of different types. */
  readonly __builtBy: 'fastify-voice-agent'
}

const BUILT = { [ACTION]: true } as unknown as Built

/** What is not speech. Built by the functions below, yielded by an agent like a token. */
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

/** What text of a model that is not speech may be. */
export const UNSPOKEN_KINDS = ['reasoning', 'tool call', 'control token', 'source mark', 'LaTeX', 'HTML'] as const

/** One of {@link UNSPOKEN_KINDS}. */
export type UnspokenKind = typeof UNSPOKEN_KINDS[number]

/** A tool is called. Made by {@link toolCall}. */
export interface ToolCallAction extends Built {
  readonly action: 'tool-call'
  readonly id: string
  readonly name: string
  /** JSON. */
  readonly arguments: string
  /** A second call with the same arguments waits for the same run, as with {@link runTool}. */
  readonly runsOnce?: boolean
  /** Members of the model's own, which it wants to have back with the call in `messages`. */
  readonly extra?: object
}

/** A tool returned. Made by {@link toolResult}. */
export interface ToolResultAction extends Built {
  readonly action: 'tool-result'
  readonly id: string
  readonly content: string
  readonly successful?: boolean
}

/** What is put on a call's record, by {@link Call.record} or yielded. */
export type ToolAction = ToolCallAction | ToolResultAction

/** An action after which the turn says nothing more. A provider runs at most one of them a turn. */
export type TerminalAction = Extract<Action, { action: 'end-call' | 'transfer-call' | 'press-digits' }>

// No model reads or writes as much at once.
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
 * Silence after what was said so far, before what is said next. On Retell, which has no such field, a spoken dash
 * a second.
 * @param ms milliseconds, above 0, at most 60,000
 * @throws VOICE_AGENT_ERR_ACTION when it is not such a number
 */
export function pause (ms: number): Action {
  if (!ACTIONS.pause.Check({ ms })) throw new ActionError('pause: ms is a number above 0, at most 60000')
  return { ...BUILT, action: 'pause', ms }
}

/** Has what was said so far spoken now, without waiting for the sentence to end. Millis only; Retell ignores it. */
export function flush (): Action {
  return { ...BUILT, action: 'flush' }
}

/** Says something that covers a wait. Spoken at once, and never history. */
export function filler (speech: string): Action {
  return { ...BUILT, action: 'filler', text: text(speech, 'filler') }
}

/** Says something the caller cannot talk over. Retell only; on Millis it is plain speech. */
export function uninterruptible (speech: string): Action {
  return { ...BUILT, action: 'uninterruptible', text: text(speech, 'uninterruptible') }
}

/** Says nothing, and lets the wait for the next word begin anew: the agent is at work, such as on a long tool call. */
export function working (): Action {
  return { ...BUILT, action: 'working' }
}

/**
 * Tells which model was asked, and how many tokens it read and wrote, for the turn's report. Tokens of several requests in a turn are
 * added up. Figures come from the model's server: one that is not a number from 0 to 1,000,000,000 counts as 0.
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
 * Tells what of the model's text was no speech and was cut, for the turn's report. Made by `speakable()` and the built-in agent.
 * @param cut how many characters, and of what kinds: no content
 */
export function unspoken ({ characters, kinds }: { readonly characters: number, readonly kinds: readonly UnspokenKind[] }): Extract<Action, { action: 'unspoken' }> {
  return { ...BUILT, action: 'unspoken', characters, kinds }
}

/** Is it a number of tokens that one answer may take? */
export function isTokenCount (count: unknown): count is number {
  return typeof count === 'number' && count >= 0 && count <= MOST_TOKENS
}

/**
 * Records that a tool is being called: in the `messages` of later turns, and in Retell's transcript
 * (`tool_call_invocation`). Until its result is recorded, silence is bounded by `deadlines.turnMs` alone.
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

// A copy may have been changed, and what is wrong in it would be found where it is sent.
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

/** Is it an action that a builder made, with all that belongs to it? */
export function isAction (value: unknown): value is Action {
  return isWhole(value) && ACTION in value
}

/** Is it an action that ends the turn, with all that belongs to it? */
export function isTerminal (value: unknown): value is TerminalAction {
  return isAction(value) && (value.action === 'end-call' || value.action === 'transfer-call' || value.action === 'press-digits')
}

/** Builds an action anew that this package has kept as JSON. Undefined where it is none that ends a turn. */
export function rebuiltTerminal (kept: unknown): TerminalAction | undefined {
  if (!isWhole(kept)) return undefined
  switch (kept.action) {
    case 'end-call': return endCall(kept)
    case 'transfer-call': return transferCall(kept.destination, kept)
    case 'press-digits': return pressDigits(kept.digits)
    default: return undefined
  }
}

/** Has it all members of an action? The mark is not looked at. */
function isWhole (value: unknown): value is Action {
  const name = actionName(value)
  return name !== undefined && ACTIONS[name].Check(value)
}

/** The name of an action that a value bears, whether a builder built it or not. */
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
