/**
 * What is kept from hooks that store what people said.
 */
import type { Call, ChatMessage, ChatToolCall, TranscriptUpdate, Turn, Utterance } from '../contract/agent.js'
import { cleaner, type Redact } from '../speech/redact.js'
import type { CallHooks } from './hooks.js'

/** The hooks, which are told redacted texts: `onTranscript` its update, `onTurnEnd` a turn's transcript and messages, `onCallEnd` the call's. */
export function redactingHooks (hooks: CallHooks, redact: Redact | undefined): CallHooks {
  if (redact === undefined) return hooks
  return {
    ...hooks,
    ...(hooks.onTranscript !== undefined && {
      onTranscript: (call: Call, update: TranscriptUpdate) => hooks.onTranscript!(call, redactedUpdate(update, cleaner(redact, call.log)))
    }),
    ...(hooks.onTurnEnd !== undefined && {
      onTurnEnd: (turn, report) => hooks.onTurnEnd!(new RedactedTurn(turn, cleaner(redact, turn.log)), report)
    } satisfies CallHooks),
    ...(hooks.onCallEnd !== undefined && {
      onCallEnd: (call, summary) => hooks.onCallEnd!(call, {
        ...summary, transcript: summary.transcript.map(utterance => redactedUtterance(utterance, cleaner(redact, call.log)))
      })
    } satisfies CallHooks)
  }
}

/** A turn as it may be stored. Nothing is redacted before it is asked for. */
class RedactedTurn implements Turn {
  readonly #turn: Turn
  readonly #clean: Redact
  #transcript: readonly Utterance[] | undefined
  #messages: ChatMessage[] | undefined

  constructor (turn: Turn, clean: Redact) {
    this.#turn = turn
    this.#clean = clean
  }

  get id () { return this.#turn.id }
  get reason () { return this.#turn.reason }
  get call () { return this.#turn.call }
  get signal () { return this.#turn.signal }
  get log () { return this.#turn.log }
  get transcript () { return (this.#transcript ??= this.#turn.transcript.map(utterance => redactedUtterance(utterance, this.#clean))) }
  get messages () { return (this.#messages ??= this.#turn.messages.map(message => redactedMessage(message, this.#clean))) }
}

function redactedUpdate ({ transcript, partial, ...rest }: TranscriptUpdate, clean: Redact): TranscriptUpdate {
  return {
    ...rest,
    ...(transcript !== undefined && { transcript: transcript.map(utterance => redactedUtterance(utterance, clean)) }),
    ...(partial !== undefined && { partial: clean(partial) })
  }
}

// Utterances are the provider's own objects: Retell's repeat the content word by word, where nothing can be recognised.
function redactedUtterance ({ role, content }: Utterance, clean: Redact): Utterance {
  return { role, content: clean(content) }
}

function redactedMessage (message: ChatMessage, clean: Redact): ChatMessage {
  if (!('tool_calls' in message)) return { ...message, content: clean(message.content) }
  const redactedCall = ({ function: { name, arguments: args }, ...call }: ChatToolCall): ChatToolCall => ({ ...call, function: { name, arguments: clean(args) } })
  return { ...message, content: message.content === null ? null : clean(message.content), tool_calls: message.tool_calls.map(redactedCall) }
}
