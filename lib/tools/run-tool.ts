/**
 * One tool call of one turn: checked, put on the record, run at most once, and waited for no longer than is allowed.
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
 * Runs a tool for a turn, as `openAIAgent` does, for agents that ask a model in another way: the arguments are checked,
 * the call and its result recorded, and what has been done in this call is not done again. Resolves with what the model
 * is to be told, be it an error; where an `action` comes with it, yield that.
 *
 * @param args what the model wrote, as JSON text or parsed
 * @param id the model's for this call. Where there is none, or another call of the conversation has it, one is made up
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

/** Does what was asked for by a call that is on the record, and records its result. Rejects when the turn is aborted. */
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
    // Nothing begins after the turn has stopped waiting.
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
    // The tool was told to stop by then. It may not, and this may be a later turn's wait for it.
    const timer = setTimeout(() => finish(() => resolve(recorded(unfinished(tool, new DeadlineError('tool', tool.timeoutMs))))), tool.timeoutMs)
    signal.addEventListener('abort', aborted, { once: true })
    settled.then(outcome => finish(() => resolve(outcome)), (error: unknown) => finish(() => reject(error)))
    if (signal.aborted) aborted()
  })
}

function wrong ({ log }: Turn, { name }: Tool, { error, cause }: WrongArguments): ToolOutcome {
  if (cause !== undefined) logFailure(log.child({ tool: name }), cause, 'the schema of a tool threw')
  return failed(error)
}

/** The entry of a call that is in the ledger. */
export function recordedOnce (id: string, name: string, args: string, extra?: object): ToolCallAction {
  return { ...toolCall(id, name, args), runsOnce: true, ...(extra !== undefined && { extra }) }
}

/** An id for a tool call of a model that gave it none: nine letters and digits, which is all that some servers accept. */
export function newToolCallId (): string {
  return Array.from(randomBytes(9), byte => LETTERS_AND_DIGITS[byte % LETTERS_AND_DIGITS.length]).join('')
}

const LETTERS_AND_DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/** What the model wrote, as JSON: not all servers take their own model's mistakes back. */
export function argumentsText (args: unknown): string {
  try {
    const value: unknown = typeof args === 'string' ? JSON.parse(args) : args
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return JSON.stringify(value)
  } catch {}
  return '{}'
}
