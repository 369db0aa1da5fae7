import type { Static } from '@sinclair/typebox'
import type { CallEnd, ToolRecord } from '../caller-events.js'
import type { Reply } from '../reply.js'
import type { CallExpectation, ReplyExpectation } from './format.js'
import { isSaid, toPattern } from './pattern.js'

type Expected = Pick<Static<typeof CallExpectation> | Static<typeof ReplyExpectation>, 'said' | 'not-said' | 'tools'>

/** The failed expectations of a reply, one sentence each. */
export function failuresOfReply (expected: Static<typeof ReplyExpectation>, reply: Reply, tools: readonly ToolRecord[]): string[] {
  return [
    ...failuresOfHeard(expected, reply.text, tools),
    ...late('first word', expected['first-token-ms'], reply.firstTokenMs),
    ...late('end of the first sentence', expected['first-sentence-ms'], reply.firstSentenceMs)
  ]
}

/** The failed expectations of a call, one sentence each. */
export function failuresOfCall (
  expected: Static<typeof CallExpectation>, said: string, tools: readonly ToolRecord[], digits: string, end: CallEnd
): string[] {
  const { 'ended-by': by = 'fault', 'transferred-to': destination, digits: pressed } = expected
  const went = end.destination === undefined ? 'nowhere' : `to ${end.destination}`
  const isEnd = expected['ended-by'] === undefined ? end.by !== by : end.by === by
  return [
    ...failuresOfHeard(expected, said, tools),
    ...(isEnd ? [] : [`the call was ended by the ${end.by}: ${end.reason}`]),
    ...(destination === undefined || destination === end.destination ? [] : [`expected a transfer to ${destination}, and it went ${went}`]),
    ...(pressed === undefined || pressed === digits ? [] : [`expected the digits ${pressed}, and ${digits || 'none'} were pressed`])
  ]
}

function failuresOfHeard ({ said, 'not-said': notSaid, tools = {} }: Expected, text: string, called: readonly ToolRecord[]): string[] {
  const quoted = text === '' ? 'nothing' : JSON.stringify(text)
  return [
    ...(said === false && text.trim() !== '' ? [`expected nothing to be said, and heard ${quoted}`] : []),
    ...list(said || undefined).filter(part => !isSaid(part, text)).map(part => `expected ${quote(part)} to be said, and heard ${quoted}`),
    ...list(notSaid).filter(part => isSaid(part, text)).map(part => `expected ${quote(part)} not to be said, and heard ${quoted}`),
    ...Object.entries(tools).flatMap(([name, times]) => {
      const count = called.filter(tool => tool.name === name).length
      return count === times ? [] : [`expected ${name} to be called ${times} times, and it was called ${count} times`]
    })
  ]
}

function late (what: string, budgetMs: number | undefined, ms: number | undefined): string[] {
  if (budgetMs === undefined) return []
  if (ms === undefined) return [`expected the ${what} within ${budgetMs} ms, and it never came`]
  return ms <= budgetMs ? [] : [`expected the ${what} within ${budgetMs} ms, and it came after ${Math.round(ms)} ms`]
}

function list (texts: string | string[] | undefined): string[] {
  return texts === undefined ? [] : [texts].flat()
}

function quote (part: string): string {
  return toPattern(part) === undefined ? JSON.stringify(part) : part
}
