/**
 * What a model is sent of a call: the system prompt, and as much of the conversation as it takes.
 */
import type { APIError } from 'openai'
import type { Call } from '../../contract/agent.js'
import type { StepMessage } from '../../tools/tool-loop.js'
import { reasoningOf, type KeptReasoning } from './reasoning.js'

/** A message as it is sent. Beside these members an assistant's may have reasoning. */
export type PromptMessage = StepMessage | { readonly role: 'system', readonly content: string }

/** How much of a call is sent. */
interface Limits {
  /** Characters of one tool's result. */
  readonly result: number
  /** Characters of the conversation, the system prompt apart. */
  readonly history: number
  readonly hasReasoning: boolean
  /** Has each tool call of earlier turns the model's own reasoning? The others are left out, with their results. */
  readonly hasOwnCallsOnly: boolean
}

/** Options of {@link Prompts}. */
export interface PromptOptions {
  /** The system prompt; `''` sends none. */
  readonly instructions: string
  /** The server and the model: reasoning is sent back to no other. */
  readonly model: string
  /** Characters of one tool's result. */
  readonly maxResultCharacters: number
  /** Characters of the conversation. */
  readonly maxHistoryCharacters: number
}

/** The most characters of a tool's result after a server has refused a request. */
const LESS_RESULT = 4_000

/** Matches messages of servers that refuse a request as too long without a code. */
const TOO_LONG = /context.{0,20}(length|window|size|limit)|(prompt|input|request|messages?)\b.{0,60}(too (long|large|many)|exceed)|maximum.{0,30}(tokens|length)|too many tokens/i

/** Matches messages of servers that refuse a request for its reasoning. */
const REASONING = /reason|think|thought/i

/** Matches those that say that a tool call lacks it, such as a call of another model. */
const LACKING = /missing|must|required/i

/** Writes the prompts of one agent. */
export class Prompts {
  readonly #system: readonly PromptMessage[]
  readonly #model: string
  readonly #limits: Limits
  /** The limits of calls in which a server refused a request, and accepted a shorter one. */
  readonly #learnt = new WeakMap<Call, Limits>()

  constructor ({ instructions, model, maxResultCharacters, maxHistoryCharacters }: PromptOptions) {
    this.#system = instructions === '' ? [] : [{ role: 'system', content: instructions }]
    this.#model = model
    this.#limits = { result: maxResultCharacters, history: maxHistoryCharacters, hasReasoning: true, hasOwnCallsOnly: false }
  }

  /** The messages of a conversation to send. */
  write (call: Call, messages: readonly StepMessage[]): PromptMessage[] {
    return this.#write(call, messages, this.#limitsOf(call))
  }

  /**
   * Keeps the reasoning of an answer for the requests behind it.
   * @param ids of the tool calls in the answer, one at least
   */
  keep (call: Call, ids: readonly string[], members: Readonly<Record<string, unknown>>): void {
    reasoningOf(call).keep({ from: this.#model, ids: [...ids], members })
  }

  /**
   * Sends a prompt. One that the server refuses because it is too long, for the reasoning in it or missing from it, or right behind a
   * tool's result, is sent once more with less in it. If that is accepted, the later prompts of the call have less in them as well.
   * @throws what `send` throws for the whole prompt
   */
  async send<T> (
    call: Call, messages: readonly StepMessage[], prompt: readonly PromptMessage[],
    send: (prompt: readonly PromptMessage[]) => Promise<T>
  ): Promise<T> {
    try {
      return await send(prompt)
    } catch (error) {
      const { length } = JSON.stringify(prompt)
      for (const limits of this.#lessFor(call, prompt, error as Partial<APIError>)) {
        const less = this.#write(call, messages, limits)
        if (JSON.stringify(less).length >= length) continue
        const answer = await send(less).catch(() => { throw error })
        this.#learnt.set(call, limits)
        return answer
      }
      throw error
    }
  }

  #limitsOf (call: Call): Limits {
    return this.#learnt.get(call) ?? this.#limits
  }

  /** What may be taken in place of a refused prompt. The first that is shorter is to be sent. */
  #lessFor (call: Call, prompt: readonly PromptMessage[], { status, code, message = '' }: Partial<APIError>): Limits[] {
    if ((status !== 400 && status !== 413 && status !== 422) || code === 'content_filter') return []
    const known = this.#limitsOf(call)
    const isTooLong = code === 'context_length_exceeded' || status === 413 || TOO_LONG.test(message)
    const less: Limits[] = []
    // Reasoning is in later turns, too, and a history that lacks it, or has too much of it, is refused in each of them.
    if (!isTooLong && REASONING.test(message)) less.push(LACKING.test(message) ? { ...known, hasOwnCallsOnly: true } : { ...known, hasReasoning: false })
    if (!isTooLong && prompt.at(-1)?.role !== 'tool') return less
    const size = prompt.reduce((sum, message) => message.role === 'system' ? sum : sum + lengthOf(message), 0)
    return [...less, { ...known, result: Math.min(known.result, LESS_RESULT), history: Math.min(known.history, Math.floor(size / 2)) }]
  }

  #write (call: Call, messages: readonly StepMessage[], { result, history, hasReasoning, hasOwnCallsOnly }: Limits): PromptMessage[] {
    const sent = hasOwnCallsOnly ? this.#withoutOtherCalls(call, messages) : messages
    const kept = withinHistory(sent.map(message => withinResult(message, result)), history)
    return [...this.#system, ...this.#withReasoning(call, kept, hasReasoning)]
  }

  /** Leaves out the tool calls of earlier turns of which nothing of this model's is kept. The results of the last turn are still to be read. */
  #withoutOtherCalls (call: Call, messages: readonly StepMessage[]): readonly StepMessage[] {
    const book = reasoningOf(call)
    const lastTurn = messages.findLastIndex(({ role }) => role === 'user')
    return messages.filter((message, index) => {
      const id = 'tool_calls' in message ? message.tool_calls[0]!.id : message.role === 'tool' ? message.tool_call_id : undefined
      return index > lastTurn || id === undefined || book.of(id)?.from === this.#model
    })
  }

  /** Adds the model's own reasoning to the calls it led to, and takes out what only another model knows. */
  #withReasoning (call: Call, messages: readonly StepMessage[], hasReasoning: boolean): readonly StepMessage[] {
    const book = reasoningOf(call)
    if (book.isEmpty) return messages
    const written: StepMessage[] = []
    let open: { readonly kept: KeptReasoning, readonly index: number } | undefined
    for (const message of messages) {
      const kept = 'tool_calls' in message ? book.of(message.tool_calls[0]!.id) : undefined
      if (message.role === 'tool') {
        written.push(message)
      } else if (kept === undefined || !('tool_calls' in message)) {
        open = undefined
        written.push(message)
      } else if (kept.from !== this.#model) {
        open = undefined
        const calls = message.tool_calls.map(({ id, type, function: { name, arguments: args } }) =>
          ({ id, type, function: { name, arguments: args } }))
        written.push({ ...message, tool_calls: calls })
      } else if (kept === open?.kept && message.content === null) {
        // The calls of one answer stand apart in `turn.messages`, and its reasoning must not be repeated.
        const first = written[open.index] as typeof message
        written[open.index] = { ...first, tool_calls: [...first.tool_calls, ...message.tool_calls] }
      } else {
        open = { kept, index: written.length }
        written.push(hasReasoning ? { ...kept.members, ...message } : message)
      }
    }
    return written
  }
}

function withinResult (message: StepMessage, most: number): StepMessage {
  if (message.role !== 'tool' || message.content.length <= most) return message
  const { content } = message
  // Not inside a character.
  const end = /[\uD800-\uDBFF]/.test(content.charAt(most - 1)) ? most - 1 : most
  const note = `(Cut off here: the result has ${content.length} characters, and only the first ${end} are shown.)`
  return { ...message, content: `${content.slice(0, end)}\n${note}` }
}

/** The last turns that fit, from a user's message on. The last turn stays, however long it is. */
function withinHistory (messages: readonly StepMessage[], most: number): readonly StepMessage[] {
  let from = messages.length
  let size = 0
  let hasTurn = false
  for (let index = messages.length - 1; index >= 0; index--) {
    size += lengthOf(messages[index]!)
    if (hasTurn && size > most) return messages.slice(from)
    if (messages[index]!.role !== 'user') continue
    hasTurn = true
    from = index
  }
  return messages
}

function lengthOf (message: PromptMessage): number {
  const calls = 'tool_calls' in message ? message.tool_calls : []
  return calls.reduce((sum: number, call) => sum + call.function.arguments.length, message.content?.length ?? 0)
}
