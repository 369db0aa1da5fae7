/**
 * A model that needs no key: a server on the loopback that speaks OpenAI's streaming chat completions, and knows just
 * enough English to make an appointment. Leave it out of your app.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'
import type { ChatMessage } from 'fastify-voice-agent'

/** What it is sent. */
export type Message = ChatMessage | { readonly role: 'system', readonly content: string }

/** A tool, with what it is to be called with. */
export interface ToolCall {
  readonly name: string
  readonly args: Readonly<Record<string, string>>
}

const APOLOGY = 'I am sorry, can you say that again?'
const WHICH_DAY = 'Which day would you like to come?'
const GOODBYE: ToolCall = { name: 'end_call', args: { message: 'Thank you for calling. Goodbye!' } }
const HOURS = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'eleven', 'twelve']

/** What it answers: words, or a tool call. All that it goes by is in the messages. */
export function answer (messages: readonly Message[]): string | ToolCall {
  const last = messages.at(-1)
  const at = messages.findLastIndex(({ role }) => role === 'tool')
  const call = callAt(messages, at - 1)
  const result = String(messages[at]?.content)
  // A caller who speaks before they were told of their booking would book once more.
  const isUntold = call?.name === 'book_slot' && !messages.slice(at).some(({ role }) => role === 'assistant')
  if (call !== undefined && (last?.role === 'tool' || isUntold)) return tell(call, result)

  const said = String(last?.content).toLowerCase()
  const has = (words: RegExp): boolean => words.test(said)
  const day = /\b(mon|tues|wednes|thurs|fri|satur|sun)day\b/.exec(said)?.[0].replace(/^./, letter => letter.toUpperCase())
  if (call?.name === 'find_slot' && result.startsWith('[') && (day === undefined || day === call.args['day'])) {
    const offered: string[] = JSON.parse(result)
    const time = offered.find(time => names(said, time)) ?? (has(/\b(yes|yeah|sure|okay)\b/) ? offered[0] : undefined)
    if (time !== undefined) return { name: 'book_slot', args: { message: 'One moment, I am writing that down.', ...call.args, time } }
  }
  if (day !== undefined) return { name: 'find_slot', args: { day } }
  if (has(/\b(good)?bye\b|\bno,? thank|\bthat is all\b/)) return GOODBYE
  if (has(/\b(appointment|book|come|another|yes)\b/)) return WHICH_DAY
  if (has(/\bno\b/)) return call?.name === 'book_slot' ? GOODBYE : WHICH_DAY
  return APOLOGY
}

/** What came of a tool, in words; or the next step. */
function tell (call: ToolCall, result: string): string | ToolCall {
  const { day, time } = call.args
  // Superseded while it ran, or still running.
  if (/^\{"(status|error":"cancelled)/.test(result)) return call
  if (result.startsWith('{"error"')) return `I am sorry, ${JSON.parse(result).error}. ${WHICH_DAY}`
  switch (call.name) {
    case 'find_slot': {
      const times: string[] = JSON.parse(result)
      if (times.length === 0) return `${day} is fully booked. ${WHICH_DAY}`
      return `On ${day} I have ${times.join(' or ')}. Shall I book ${times[0]}?`
    }
    case 'book_slot':
      return `${day} at ${time} is booked. Is there anything else?`
    default:
      return call // the goodbye was talked over
  }
}

function callAt (messages: readonly Message[], index: number): ToolCall | undefined {
  const message = messages[index]
  if (message === undefined || !('tool_calls' in message)) return undefined
  const { name, arguments: args } = message.tool_calls[0]!.function
  return { name, args: JSON.parse(args) }
}

/** Recognisers write `2 pm` as well as `two PM`. */
function names (said: string, time: string): boolean {
  const hour = parseInt(time)
  return new RegExp(`\\b(${hour}|${HOURS[hour - 1]})\\b`).test(said)
}

/** As server-sent events, one a word. */
function * events (reply: string | ToolCall): Generator<string, void, undefined> {
  const event = (delta: object, reason: string | null = null): string => `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: reason }] })}\n\n`
  if (typeof reply === 'string') {
    for (const content of reply.match(/\S+\s*/g)!) yield event({ content })
    return yield `${event({}, 'stop')}data: [DONE]\n\n`
  }
  const { name, args } = reply
  yield event({ tool_calls: [{ index: 0, id: randomUUID(), type: 'function', function: { name, arguments: JSON.stringify(args) } }] })
  yield `${event({}, 'tool_calls')}data: [DONE]\n\n`
}

async function stream (reply: string | ToolCall, response: ServerResponse, msPerWord: number): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const event of events(reply)) {
    if (response.destroyed) return
    response.write(event)
    await setTimeout(msPerWord)
  }
  response.end()
}

/**
 * Starts it on a free port of the loopback, under a path that only its URL tells. The caller closes it.
 * @param msPerWord how long it thinks about each word
 */
export async function startScriptedModel (msPerWord = 0): Promise<{ url: string, close (): Promise<void> }> {
  // Web pages can reach the loopback, and bodies of any size are read.
  const path = `/${randomUUID()}/v1`
  const server = createServer((request, response) => {
    if (request.url !== `${path}/chat/completions`) {
      response.writeHead(404, { connection: 'close' }).end()
      return
    }
    json(request).then(body => stream(answer((body as { messages: Message[] }).messages), response, msPerWord)).catch(() => response.destroy()) // who asked has left
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`,
    async close () {
      server.close()
      await once(server, 'close')
    }
  }
}
