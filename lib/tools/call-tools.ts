/**
 * Ready-made tools that end or transfer the call, or press keys.
 */
import { Type, type TObject } from '@sinclair/typebox'
import { endCall, pressDigits, transferCall } from '../contract/agent.js'
import { ConfigError } from '../contract/errors.js'
import { checkNames, namesOf } from '../contract/option-names.js'
import { speakable } from '../speech/speakable.js'
import type { ArgumentsOf } from './parameters.js'
import { tool, type Tool } from './tool.js'

/** Options of every ready-made tool. */
export interface CallToolOptions {
  /** Default `end_call`, `transfer_call`, `press_digits`. */
  name?: string
  /** The description for the model, in place of the default. */
  description?: string
}

/** A person or department that calls may be transferred to. */
export interface Destination {
  /** A phone number, E.164. The model never sees it. */
  number: string
  /** For the model: who it is, and when to transfer to them. Default: the name alone. */
  description?: string
}

/** Options of {@link transferCallTool}. */
export interface TransferCallToolOptions extends CallToolOptions {
  /** All destinations by the names that the model uses: a number, or a number with a description. */
  destinations: Readonly<Record<string, string | Destination>>
  /** Show the caller's own number to the destination. Retell only. */
  showCaller?: boolean
}

const OPTIONS = namesOf<CallToolOptions>({ name: true, description: true })
const TRANSFER_OPTIONS = namesOf<TransferCallToolOptions>({ name: true, description: true, destinations: true, showCaller: true })

const message = (description: string) =>
  Type.String({ description: `${description} Write it here and not in your answer, in the language of the call.` })

// No side effects: an end, a transfer or digits that the caller interrupted did not happen, and must be possible again.
function callTool<T extends TObject> (
  name: string, description: string, parameters: T, options: CallToolOptions, execute: (args: ArgumentsOf<T>) => unknown
): Tool {
  return tool({
    name: options.name ?? name,
    description: options.description ?? description,
    parameters,
    filler: '',
    sideEffects: false,
    execute
  })
}

/**
 * A tool by which the model hangs up after its own goodbye.
 * @throws VOICE_AGENT_ERR_CONFIG when an option is unknown or not accepted
 */
export function endCallTool (options: CallToolOptions = {}): Tool {
  checkNames('endCallTool', options, OPTIONS)
  return callTool('end_call', 'Ends the phone call. Use it only once the caller has said goodbye, ' +
    'or has clearly said that there is nothing else. Do not use it because a question was answered, ' +
    'because the caller is silent, rude or hard to understand, while anything is still open, ' +
    'or together with another tool whose result the caller has not heard.',
  Type.Object({ message: message('The goodbye, one short sentence.') }), options,
  ({ message }) => endCall({ say: speakable(message) }))
}

/**
 * A tool by which the model transfers the call to one of a closed list of destinations: it writes a name, never a number.
 * @throws VOICE_AGENT_ERR_CONFIG when there is no destination, one has no number, or an option is unknown
 */
export function transferCallTool (options: TransferCallToolOptions): Tool {
  checkNames('transferCallTool', options, TRANSFER_OPTIONS)
  const { destinations, showCaller = false } = options
  if (typeof destinations !== 'object' || destinations === null || Array.isArray(destinations)) {
    throw new ConfigError('transferCallTool: destinations must be an object')
  }
  if (typeof showCaller !== 'boolean') throw new ConfigError('transferCallTool: showCaller must be true or false')
  const all = new Map(Object.entries(destinations).map(([name, to]) => [name, typeof to === 'string' ? { number: to } : to]))
  if (all.size === 0) throw new ConfigError('transferCallTool: destinations must name one at least')
  for (const [name, to] of all) {
    if (name === '' || typeof to?.number !== 'string' || to.number.trim() === '') {
      throw new ConfigError('transferCallTool: each of destinations must have a name and a number')
    }
  }
  const list = Array.from(all, ([name, { description }]) => description === undefined ? name : `${name} (${description})`).join('; ')
  return callTool('transfer_call', `Transfers the phone call, which ends it for you. Destinations: ${list}. ` +
    'Use it only when the caller asks for one of them, or needs what only they can do. ' +
    'Do not use it for what you can do yourself, nor for a number or a person that is not among them, ' +
    'whatever the caller says: offer to take a message instead.',
  Type.Object({
    destination: Type.Union(Array.from(all.keys(), name => Type.Literal(name))),
    message: message('What the caller hears before the transfer, a few words.')
  }), options, ({ destination, message }) => transferCall(all.get(destination)!.number, { say: speakable(message), showCaller }))
}

/**
 * A tool by which the model presses keys, to navigate an automated menu. Retell only.
 * @throws VOICE_AGENT_ERR_CONFIG when an option is unknown or not accepted
 */
export function pressDigitsTool (options: CallToolOptions = {}): Tool {
  checkNames('pressDigitsTool', options, OPTIONS)
  return callTool('press_digits', 'Presses keys on the phone\'s keypad. ' +
    'Use it only when an automated menu that you have reached asks for a key or a number. ' +
    'Do not use it while you talk to a person, and do not guess: wait until the menu has named the option.',
  Type.Object({ digits: Type.String({ pattern: '^[0-9*#A-D]+$', description: 'The keys, such as 1 or 4321#.' }) }), options,
  ({ digits }) => pressDigits(digits))
}
