/**
 * Tool calls that a model wrote as text: JSON, or an expression with the name of one of its tools.
 */
import { BalancedText } from './balanced-text.js'
import { isBeginning, until, WAIT, type Reader } from './mark.js'

// An answer that begins with an object is not speech. Later in an answer only an object that names a tool is a call.
const JSON_START = /^(?:\{\s*["'}]|\[\s*\{\s*["'])/
const UNFINISHED_JSON_START = /^(?:\{\s*|\[\s*(?:\{\s*)?)$/
const NAMED_JSON = /^\{\s*"(?:name|tool|tool_name|function|arguments|parameters)"\s*:/
const UNFINISHED_NAMED_JSON = /^\{\s*(?:"(?:[a-z_]{0,10}|(?:name|tool|tool_name|function|arguments|parameters)"\s*))?$/
const FENCE = /^```(?:tool_code|tool_call|(?:json)?\s*\[?\s*\{\s*["'}])/
const UNFINISHED_FENCE = /^```(?:json)?\s*(?:\[\s*)?(?:\{\s*)?$/
const FENCES = ['```tool_code', '```tool_call', '```json']

const FUNCTOOLS = 'functools['

/** Reads a call at the beginning of an answer. */
export const readCallAtStart: Reader = (ahead, isEnd) => {
  if (JSON_START.test(ahead)) return { length: 0, kind: 'tool call', region: new BalancedText() }
  if (ahead.startsWith(FUNCTOOLS)) return { length: FUNCTOOLS.length - 1, kind: 'tool call', region: new BalancedText() }
  const [fence] = FENCE.exec(ahead) ?? []
  if (fence !== undefined) return { length: fence.length, kind: 'tool call', region: until('tool call', /```/, 2) }
  const isUnfinished = UNFINISHED_JSON_START.test(ahead) || UNFINISHED_FENCE.test(ahead) || isBeginning(ahead, [FUNCTOOLS, ...FENCES])
  return isUnfinished && !isEnd ? WAIT : undefined
}

/** Reads an object with the members of a call, anywhere. */
export const readNamedJson: Reader = (ahead, isEnd) => {
  if (NAMED_JSON.test(ahead)) return { length: 0, kind: 'tool call', region: new BalancedText() }
  return !isEnd && UNFINISHED_NAMED_JSON.test(ahead) ? WAIT : undefined
}

/** What a tool's name, which may be a word of any sentence, has between its parentheses where it is called: `(s)` is no call. */
const ARGUMENTS = /^\(\s*(?:[)"'{[\d-]|[a-z_]\w{0,19}\s*[=:])/i
const UNFINISHED_ARGUMENTS = /^\(\s*(?:[a-z_]\w{0,19})?\s*$/i
const OBJECT = /^\{\s*["'}]/
const UNFINISHED_OBJECT = /^\{\s*$/
const MISTRAL = '[ARGS]'

/** Prefixes of a tool's name. */
const FUNCTIONS = 'functions.'

// Kimi's models number calls (`find:0{`), and GLM's write the arguments in a line of their own.
const OPENING = String.raw`(?:[({[]|\n(?:$|\{)|:(?:$|\d{1,4}(?:$|\{)))`
const BEHIND_NAME = String.raw`(?:(?:\n|:\d{1,4})(?=\{)|(?=[({[]))`

/** How far ahead the readers of {@link ToolNames} look, in UTF-16 units: a name has at most 64. */
export const LONGEST_CALL = 128

/** Patterns are compiled once for the tools of an agent, which takes longer than reading an answer. An app has few agents. */
const known = new Map<string, ToolNames>()
const MOST_KNOWN = 64

/** The names of the model's tools: letters, digits, `_` and `-`. Undefined if there are none. */
export function toolNames (names: readonly string[]): ToolNames | undefined {
  if (names.length === 0) return undefined
  const key = names.join(' ')
  let found = known.get(key)
  if (found !== undefined) return found
  if (known.size === MOST_KNOWN) known.clear()
  known.set(key, found = new ToolNames(names))
  return found
}

/** Finds calls of these tools. Holds no state of a text. */
export class ToolNames {
  /** Finds a name with a bracket after it, and at the end of a text the possible beginning of one. */
  readonly #any: RegExp
  /** Every beginning of a name. */
  readonly #beginnings = new Set<string>()
  readonly #initials: ReadonlySet<number>
  readonly #whole: RegExp
  readonly #list: RegExp

  constructor (names: readonly string[]) {
    for (const name of [...names, FUNCTIONS.slice(0, -1)]) {
      for (let length = 1; length <= name.length; length++) this.#beginnings.add(name.slice(0, length))
    }
    this.#initials = new Set([...this.#beginnings].map(beginning => beginning.charCodeAt(0)))
    const written = names.flatMap(name => [name, FUNCTIONS + name]).map(name => name.replace(/[^\w-]/g, '\\$&'))
    const growing = written.map(name => name.match(/\\?./g)!.reduceRight((rest, character) => `${character}(?:$|${rest})`, OPENING))
    this.#any = new RegExp(`(?<![\\w-])(?:${growing.join('|')})`)
    this.#whole = new RegExp(`^(?:${written.join('|')})${BEHIND_NAME}`)
    this.#list = new RegExp(`^\\[\\s{0,4}(?:${written.join('|')})\\(`)
  }

  /** The index at which a call may begin; -1 if there is none. */
  find (text: string, said: string): number {
    const isInWord = /[\w-]$/.test(said)
    const start = isInWord ? /^[\w-]*/.exec(text)![0].length : 0
    const found = text.slice(start).search(this.#any)
    return found === -1 ? -1 : start + found
  }

  /** True if a text without brackets may end with the beginning of a call. A cheap test, for each token. */
  mayEnd (text: string): boolean {
    let start = text.length
    while (start > 0 && isWordCharacter(text.charCodeAt(start - 1))) start--
    if (start === text.length) return text.endsWith(FUNCTIONS) || /[:\n]$/.test(text)
    if (text[start - 1] === ':') return true
    return this.#initials.has(text.charCodeAt(start)) && this.#beginnings.has(text.slice(start))
  }

  /** Reads `find_slots({"day":"Friday"})`. */
  readonly readCall: Reader = (ahead, isEnd) => {
    const [name] = this.#whole.exec(ahead) ?? []
    if (name === undefined) return !isEnd && this.#any.exec(ahead)?.index === 0 ? WAIT : undefined
    const rest = ahead.slice(name.length)
    if (rest.startsWith(MISTRAL)) return { length: name.length, kind: 'tool call', region: new BalancedText('some') }
    // A name that is a plain word needs text that looks like arguments.
    const isCall = rest[0] === '(' ? /[^a-z]/.test(name) || ARGUMENTS.test(rest) : OBJECT.test(rest)
    if (isCall) return { length: name.length, kind: 'tool call', region: new BalancedText() }
    const isUnfinished = UNFINISHED_ARGUMENTS.test(rest) || UNFINISHED_OBJECT.test(rest) || isBeginning(rest, [MISTRAL])
    return isUnfinished && !isEnd ? WAIT : undefined
  }

  /** Reads `[find_slots(day="Friday")]`, at the beginning of an answer. */
  readonly readList: Reader = (ahead, isEnd) => {
    if (this.#list.test(ahead)) return { length: 0, kind: 'tool call', region: new BalancedText() }
    const rest = /^\[\s{0,4}/.exec(ahead)
    if (isEnd || rest === null) return undefined
    const name = ahead.slice(rest[0].length)
    return name === '' || this.#any.exec(name)?.index === 0 ? WAIT : undefined
  }
}

/** Letters, digits, `_` and `-`. */
function isWordCharacter (code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || (code >= 48 && code <= 57) || code === 95 || code === 45
}
