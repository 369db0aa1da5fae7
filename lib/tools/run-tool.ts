/**
 * Carries out one tool call of one turn: checks it, records it, runs it at most once, and waits for it until the timeout.
 */
import { randomBytes } from 'node:crypto'
import { toolCall, toolResult, type ToolCallAction, type Turn } from '../contract/agent.js'
import { ConfigError, DeadlineError } from '../contract/errors.js'
import { isId } from '../contract/id.js'
import { logFailure } from '../telemetry/failure.js'
import { ledgerOf } from './ledger.js'
import { failed, unfinished, type ToolOutcome } from './tool-outcome.js'
import type { PendingArguments, Tool, ToolArguments, WrongArguments } from './tool.js'

/**
 * Runs a tool for a turn, as `openAIAgent` does, for agents that ask a model in another way. Checks the arguments, records the call and
 * its result, and does not repeat work that was done in this call. Resolves with the result or error for the model; if it has an `action`,
 * yield that.
 *
 * @param args the model's arguments, as JSON text or parsed
 * @param id the model's id of the tool call. If it is missing, or used by another tool call of the conversation, a new one is made
 * @throws a rejection with `turn.signal.reason` when the turn is aborted: the tool may run on, see `onSupersede`; with
 * VOICE_AGENT_ERR_CONFIG when `tool` was not made by {@link tool}
 */
export async function runTool (turn: Turn, tool: Tool, args: unknown, id = newToolCallId()): Promise<ToolOutcome> {
  if (typeof tool?.read !== 'function') {
    throw new ConfigError('runTool: the second argument must be made by tool(): runTool(turn, tool({ … }), args)')
  }
  turn.signal.throwIfAborted()
  const record = (id: string): boolean => turn.call.record(recordedOnce(id, tool.name, argumentsText(args)), turn)
  const ownId = isId(id) && record(id) ? id : newToolCallId()
  if (ownId !== id) record(ownId)
  return await executeToolCall(turn, ownId, tool, tool.read(args))
}

/** Carries out a recorded tool call, and records its result. Rejects when the turn is aborted. */
export async function executeToolCall (
  turn: Turn, id: string, tool: Tool | undefined, read: ToolArguments | PendingArguments
): Promise<ToolOutcome> {
  const { call, signal } = turn
  const recorded = (outcome: ToolOutcome): ToolOutcome => {
    call.record(toolResult(id, outcome.content, outcome.successful))
    return outcome
  }
  if (tool === undefined) return recorded(failed('error' in read ? read.error : 'there is no such tool'))
  if ('error' in read) return recorded(wrong(turn, tool, read))

  let isAwaited = true
  const settle = (checked: Exclude<ToolArguments, WrongArguments>): Promise<ToolOutcome> =>
    ledgerOf(call).settle(tool, checked.args, turn, id, () => isAwaited, checked.compared)
  const settleLate = (checked: ToolArguments): ToolOutcome | Promise<ToolOutcome> => {
    if ('error' in checked) return wrong(turn, tool, checked)
    // Do not begin once the turn has stopped waiting.
    return isAwaited ? settle(checked) : failed('cancelled')
  }
  const settled = ('pending' in read ? read.pending.then(settleLate) : settle(read)).then(recorded)
  return await new Promise((resolve, reject) => {
    const finish = (end: () => void): void => {
      isAwaited = false
      clearTimeout(timer)
      signal.removeEventListener('abort', aborted)
      end()
    }
    const aborted = (): void => finish(() => reject(signal.reason))
    // The ledger aborts the tool's signal, but a tool may ignore it, and a later turn may wait for the same run.
    const expire = (): void => resolve(recorded(unfinished(tool, new DeadlineError('tool', tool.timeoutMs))))
    const timer = setTimeout(() => finish(expire), tool.timeoutMs)
    signal.addEventListener('abort', aborted, { once: true })
    settled.then(outcome => finish(() => resolve(outcome)), (error: unknown) => finish(() => reject(error)))
    if (signal.aborted) aborted()
  })
}

function wrong ({ log }: Turn, { name }: Tool, { error, cause }: WrongArguments): ToolOutcome {
  if (cause !== undefined) logFailure(log.child({ tool: name }), cause, 'the schema of a tool threw')
  return failed(error)
}

/** The record of a tool call whose run is in the ledger. */
export function recordedOnce (id: string, name: string, args: string, extra?: object): ToolCallAction {
  return { ...toolCall(id, name, args), runsOnce: true, ...(extra !== undefined && { extra }) }
}

/** A new id for a tool call: nine letters and digits, since some servers accept no other form. */
export function newToolCallId (): string {
  return Array.from(randomBytes(9), byte => LETTERS_AND_DIGITS[byte % LETTERS_AND_DIGITS.length]).join('')
}

const LETTERS_AND_DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/** The model's arguments as valid JSON: some servers refuse a conversation with invalid arguments of their own model. */
export function argumentsText (args: unknown): string {
  try {
    const value: unknown = typeof args === 'string' ? JSON.parse(args) : args
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return JSON.stringify(value)
  } catch {}
  return '{}'
}
