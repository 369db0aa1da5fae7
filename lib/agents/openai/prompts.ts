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

/** What is left of a tool's result when a server has refused a request, in characters. */
const LESS_RESULT = 4_000

/** How servers say that a request is longer than the model's context, where they do not say it by a code. */
const TOO_LONG = /context.{0,20}(length|window|size|limit)|(prompt|input|request|messages?)\b.{0,60}(too (long|large|many)|exceed)|maximum.{0,30}(tokens|length)|too many tokens/i

/** Writes the prompts of one agent. */
export class Prompts {
  readonly #system: readonly PromptMessage[]
  readonly #model: string
  readonly #limits: Limits
  /** Of calls in which a server refused a request, and took less. */
  readonly #learnt = new WeakMap<Call, Limits>()

  constructor ({ instructions, model, maxResultCharacters, maxHistoryCharacters }: PromptOptions) {
    this.#system = instructions === '' ? [] : [{ role: 'system', content: instructions }]
    this.#model = model
    this.#limits = { result: maxResultCharacters, history: maxHistoryCharacters, hasReasoning: true }
  }

  /** What the model is sent of a conversation. */
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
   * Sends a prompt. One that the server refuses because it is too long, or right behind a tool's result, is sent once more with less in it;
   * where that is taken, the later prompts of the call are as short.
   * @throws what `send` throws for the whole prompt
   */
  async send<T> (call: Call, messages: readonly StepMessage[], prompt: readonly PromptMessage[], send: (prompt: readonly PromptMessage[]) => Promise<T>): Promise<T> {
    try {
      return await send(prompt)
    } catch (error) {
      const limits = this.#lessFor(call, prompt, error as Partial<APIError>)
      const less = limits && this.#write(call, messages, limits)
      if (less === undefined || JSON.stringify(less).length >= JSON.stringify(prompt).length) throw error
      const answer = await send(less).catch(() => { throw error })
      this.#learnt.set(call, limits!)
      return answer
    }
  }

  #limitsOf (call: Call): Limits {
    return this.#learnt.get(call) ?? this.#limits
  }

  #lessFor (call: Call, prompt: readonly PromptMessage[], { status, code, message = '' }: Partial<APIError>): Limits | undefined {
    const isRefused = status === 400 || status === 413 || status === 422
    const isTooLong = code === 'context_length_exceeded' || status === 413 || TOO_LONG.test(message)
    const isBehindTool = prompt.at(-1)?.role === 'tool' && code !== 'content_filter'
    if (!isRefused || !(isTooLong || isBehindTool)) return undefined
    const { result, history, hasReasoning } = this.#limitsOf(call)
    const size = prompt.reduce((sum, message) => message.role === 'system' ? sum : sum + lengthOf(message), 0)
    return {
      result: Math.min(result, LESS_RESULT),
      history: Math.min(history, Math.floor(size / 2)),
      // A server may refuse reasoning that it streamed itself.
      hasReasoning: hasReasoning && (isTooLong || !/reason|think/i.test(message))
    }
  }

  #write (call: Call, messages: readonly StepMessage[], { result, history, hasReasoning }: Limits): PromptMessage[] {
    const kept = withinHistory(messages.map(message => withinResult(message, result)), history)
    return [...this.#system, ...this.#withReasoning(call, kept, hasReasoning)]
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
        const calls = message.tool_calls.map(({ id, type, function: { name, arguments: args } }) => ({ id, type, function: { name, arguments: args } }))
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
  return { ...message, content: `${content.slice(0, end)}\n(Cut off here: the result has ${content.length} characters, and only the first ${end} are shown.)` }
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
