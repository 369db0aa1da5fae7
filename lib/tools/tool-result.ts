/**
 * Converts the value that a tool returned or threw to an outcome for the model.
 */
import type { FastifyBaseLogger } from 'fastify'
import { isTerminal } from '../contract/agent.js'
import { ToolError } from '../contract/errors.js'
import { logFailure } from '../telemetry/failure.js'
import { isObject } from '../contract/json.js'
import { DONE, failed, type ToolOutcome } from './tool-outcome.js'

/** The content for an action that a tool returned. The model reads it in later turns too. */
const REQUESTED = 'Requested. It takes place once you were heard to the end; if the caller speaks first it does not.'

/** The outcome of a tool that threw. The model gets the message of a ToolError, and of no other error. */
export function thrownOutcome (error: unknown, log: FastifyBaseLogger, what: string): ToolOutcome {
  if (error instanceof ToolError) return { ...failed(error.message), refused: true }
  logFailure(log, error, what)
  return failed('the tool failed')
}

/**
 * The outcome of a returned value. Never throws: unless the value is an error or has MCP's `isError`, the tool has done its work. Values
 * that JSON cannot hold are replaced by their type's name, and logged without content.
 */
export function outcomeOf (returned: unknown, log: FastifyBaseLogger): ToolOutcome {
  try {
    if (isTerminal(returned)) return { content: REQUESTED, successful: true, action: returned }
    if (returned instanceof Error) return thrownOutcome(returned, log, 'a tool returned an error')
    if (isMcpResult(returned)) return mcpOutcome(returned, log)
    return { content: textOf(returned, log), successful: true }
  } catch (error) {
    logFailure(log, error, 'a tool\'s result cannot be written as JSON')
    return { content: DONE, successful: true }
  }
}

function textOf (returned: unknown, log: FastifyBaseLogger): string {
  if (typeof returned === 'string') return returned.trim() === '' ? DONE : returned
  const lost = new Set<string>()
  const named = (value: unknown): string => {
    lost.add(nameOf(value))
    return withArticle(value)
  }
  const converted = (value: unknown, json: unknown): unknown => {
    lost.add(nameOf(value))
    return json
  }
  const content = JSON.stringify(returned, function (key, value: unknown) {
    // Members that are functions are methods, and not part of a result.
    const isMember = key !== '' && !Array.isArray(this)
    if (typeof value === 'function' || typeof value === 'symbol') return isMember ? undefined : named(value)
    if (value instanceof Error) return named(value)
    if (value instanceof Map) {
      return converted(value, [...value.keys()].every(name => typeof name === 'string') ? Object.fromEntries(value) : [...value])
    }
    if (value instanceof Set) return converted(value, [...value])
    if (!isObject(value) || isPlainEmpty(value)) return value
    if (!Object.values(value).every(isDropped) || JSON.stringify(value) !== '{}') return value
    const names = Object.keys(value)
    return names.length === 0 ? named(value) : converted(undefined, Object.fromEntries(names.map(name => [name, null])))
  }) ?? ''
  if (lost.size === 0) return content.trim() === '' ? DONE : content
  log.warn({ types: [...lost] }, 'a tool returned a value that JSON cannot hold: return text, or plain objects and lists')
  return content.startsWith('"') ? unshown(JSON.parse(content) as string) : content
}

function unshown (what: string): string {
  return `The tool ran. It returned ${what}, which cannot be shown.`
}

function isDropped (member: unknown): boolean {
  return member === undefined || typeof member === 'function' || typeof member === 'symbol'
}

function isPlainEmpty (value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return (prototype === Object.prototype || prototype === null) && Object.keys(value).length === 0
}

/** The class or type of a value, such as `Response`. */
function nameOf (value: unknown): string {
  if (typeof value !== 'object') return typeof value
  const tag = Object.prototype.toString.call(value).slice(8, -1)
  return (tag === 'Object' ? value?.constructor?.name ?? tag : tag).replace(/\W/g, '').slice(0, 64)
}

function withArticle (value: unknown): string {
  const name = nameOf(value)
  const { status } = value as { status?: unknown }
  return `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}${name === 'Response' && typeof status === 'number' ? ` with status ${status}` : ''}`
}

/** The result of an MCP server's tool. */
interface McpResult {
  readonly content: ReadonlyArray<{ readonly type: string, readonly text?: unknown, readonly resource?: { readonly text?: unknown } }>
  readonly isError?: unknown
  readonly structuredContent?: unknown
}

const MCP_MEMBERS: ReadonlySet<string> = new Set(['content', 'isError', 'structuredContent', '_meta'])

function isMcpResult (value: unknown): value is McpResult {
  if (!isObject(value) || !Array.isArray(value['content']) || !Object.keys(value).every(name => MCP_MEMBERS.has(name))) return false
  return value['content'].every(part => isObject(part) && typeof part['type'] === 'string')
}

function mcpOutcome ({ content, isError, structuredContent }: McpResult, log: FastifyBaseLogger): ToolOutcome {
  const texts = content.map(({ text, resource }) => text ?? resource?.text).filter(text => typeof text === 'string')
  const others = [...new Set(content.filter(({ text, resource }) => typeof (text ?? resource?.text) !== 'string').map(({ type }) => type))]
  if (others.length > 0) log.warn({ types: others }, 'a tool returned MCP content that is not text: the model gets only the text')
  const words = texts.join('\n').trim() || (structuredContent === undefined ? '' : JSON.stringify(structuredContent))
  if (isError === true) return failed(words || 'the tool failed')
  return { content: words || (others.length === 0 ? DONE : unshown(others.join(', '))), successful: true }
}
