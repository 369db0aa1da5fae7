/**
 * The error for a value that cannot be spoken: names its shape and what to write instead, and quotes no content.
 */
import { actionName } from '../contract/actions.js'
import { SpeechError } from '../contract/errors.js'

/** The origin of the value: the agent returned it as its reply, or yielded it as a piece. */
export type Manner = 'returned' | 'yielded'

/** The members that are read of an unchecked value. */
interface Shape {
  readonly type?: unknown
  readonly object?: unknown
  readonly text?: unknown
  readonly content?: unknown
  readonly then?: unknown
  readonly choices?: ReadonlyArray<{ readonly delta?: unknown, readonly message?: unknown } | undefined>
}

/** Is it one, what is it called, and what is to be spoken: a `text` or a `stream` in it; or what is to be done `instead`. */
type Likeness = readonly [is: (value: Shape) => boolean, name: string, to: 'text' | 'stream' | 'instead', what: string]

// The first matching shape names the value. `in` runs no getter: some SDKs begin to read when a member is read.
const LIKENESSES: readonly Likeness[] = [
  [value => value instanceof Error, 'an error', 'instead', 'throw it'],
  [isBytes, 'bytes', 'instead', 'decode them, a stream by stream.pipeThrough(new TextDecoderStream())'],
  // Ahead of the AI SDK's: on Node 26 a response has a member of that name, too.
  [value => 'arrayBuffer' in value && 'body' in value, 'a response of fetch()', 'text', 'await response.text()'],
  [value => 'textStream' in value, "a result of the AI SDK's streamText()", 'stream', 'result.textStream'],
  [
    ({ type }) => /^((start|finish)(-step)?|text-(start|delta|end))$/.test(String(type)),
    "a part of the AI SDK's fullStream",
    'text',
    'part.text where part.type is text-delta'
  ],
  [
    ({ choices }) => choices?.[0]?.message !== undefined,
    'a chat completion that does not stream',
    'text',
    'completion.choices[0].message.content, or ask with stream: true'
  ],
  [
    value => value.choices?.[0]?.delta !== undefined || value.object === 'chat.completion.chunk',
    'a chunk of chat completions',
    'text',
    'chunk.choices[0]?.delta.content'
  ],
  [
    ({ type }) => /^response\./.test(String(type)),
    "an event of OpenAI's Responses",
    'text',
    'event.delta where event.type is response.output_text.delta'
  ],
  [
    ({ type }) => /^(message|content_block)_/.test(String(type)),
    "an event of Anthropic's Messages",
    'text',
    'event.delta.text where event.delta?.type is text_delta'
  ],
  [value => 'candidates' in value, "a chunk of Google's Gemini", 'text', 'chunk.text'],
  [value => 'lc_kwargs' in value, 'a message of LangChain', 'text', 'message.text'],
  [isStream, 'a stream', 'stream', 'stream'],
  [Array.isArray, 'an array', 'stream', 'array'],
  [({ then }) => typeof then === 'function', 'a promise', 'instead', 'await it'],
  [value => 'role' in value && typeof value.content === 'string', 'a message', 'text', 'message.content'],
  [({ text }) => typeof text === 'string', 'a result with a text', 'text', 'result.text']
]

/** True for bytes, which are iterable and would pass as a list of numbers. */
export function isBytes (value: unknown): boolean {
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer
}

/** Makes the error for a value that cannot be spoken. Marks a promise as handled, since its rejection would end the process. */
export function unspeakable (value: unknown, manner: Manner): Error {
  return new SpeechError(nameOf(value, manner))
}

function nameOf (value: unknown, manner: Manner): string {
  if (typeof value === 'function') return 'a function: call it'
  if (typeof value === 'object' && value !== null) {
    try {
      if (value instanceof Promise) value.catch(() => {})
      const action = actionName(value)
      if (action !== undefined) return `an object with action ${action} that ${builderOf(action)}() did not build`
      const likeness = LIKENESSES.find(([is]) => is(value))
      if (likeness !== undefined) return advice(likeness, manner)
    } catch {} // The value may be a proxy, or have getters that throw.
  }
  return `a value of type ${typeof value}`
}

function advice ([, name, to, what]: Likeness, manner: Manner): string {
  if (to === 'instead') return `what looks like ${name}: ${what}`
  const verb = manner === 'returned' ? 'return' : to === 'stream' ? 'yield *' : 'yield'
  return `what looks like ${name}: ${verb} ${what}`
}

function builderOf (action: string): string {
  return action.replace(/-(.)/, (_, letter: string) => letter.toUpperCase())
}

function isStream (value: object): boolean {
  return 'getReader' in value || Symbol.asyncIterator in value
}
