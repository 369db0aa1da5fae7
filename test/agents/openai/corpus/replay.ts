/**
 * Replays answers of models' servers to a caller: server, agent, plugin and provider are real, and so are the sockets between agent and server.
 */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { isDeepStrictEqual } from 'node:util'
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import voiceAgentPlugin, { openAIAgent, tool, type Provider } from '../../../../lib/index.js'
import { MillisCaller, RetellCaller } from '../../../../lib/testing/index.js'
import type { Cut, Delivery } from './cuts.js'
import type { ExpectedCall, Recording } from './recording.js'

const FALLBACK = 'Excuse me?'

/** What the model says behind the results of its tools. */
const LAST_WORDS = 'That is all.'

/** One app whose callers hear recorded answers. */
export interface Replay {
  /** @returns what is wrong with what a caller hears and what is called; undefined where nothing is */
  play (recording: Recording, cut: Cut): Promise<string | undefined>
  close (): Promise<void>
}

/** Starts an app and a model's server. The caller closes them. */
export async function openReplay (provider: Provider, speakable: boolean): Promise<Replay> {
  const model = await startModel()
  const called: ExpectedCall[] = []
  const options = { sideEffects: false, filler: '' } as const
  const tools = [
    tool({ ...options, name: 'find', description: 'Finds a city.', parameters: Type.Object({ city: Type.String() }), execute: args => { called.push(['find', args]) } }),
    tool({ ...options, name: 'time', description: 'Tells the time.', parameters: Type.Object({}), execute: args => { called.push(['time', args]) } })
  ]
  const agent = openAIAgent({ baseURL: model.url, greeting: '', tools, speakable })
  const app = Fastify()
  app.decorate('agent', agent)
  await app.register(voiceAgentPlugin, { fallback: FALLBACK, drainTimeoutMs: 0, reconnectGraceMs: 0, retell: { allowlist: '*' }, millis: { allowlist: '*' } })
  await app.ready()
  return {
    async play (recording, cut) {
      called.length = 0
      model.next(cut.deliver(recording))
      const caller = provider === 'retell' ? await RetellCaller.dial(app) : await MillisCaller.dial(app)
      const { text: heard } = await caller.say('Are you open?')
      await caller.hangUp()
      return difference(recording, speakable, heard, called)
    },
    async close () {
      await app.close()
      await agent.close()
      model.close()
    }
  }
}

function difference ({ words, spoken = words, calls = [], fails }: Recording, speakable: boolean, heard: string, called: readonly ExpectedCall[]): string | undefined {
  const parts = [speakable ? spoken : words, ...(calls.length > 0 ? [LAST_WORDS] : []), ...(fails ? [FALLBACK] : [])]
  const expected = withSingleBlanks(parts.join(' '))
  if (withSingleBlanks(heard) !== expected) return `heard ${JSON.stringify(heard)} and not ${JSON.stringify(expected)}`
  return isDeepStrictEqual(called, calls) ? undefined : `called ${JSON.stringify(called)} and not ${JSON.stringify(calls)}`
}

// What stands between two parts of an answer is not the server's.
function withSingleBlanks (words: string): string {
  return words.replace(/\s+/g, ' ').trim()
}

async function startModel () {
  let next: Delivery | undefined
  const server = createServer((request, response) => {
    text(request).then(body => {
      const { messages } = JSON.parse(body) as { messages: ReadonlyArray<{ role: string }> }
      return write(response, messages.at(-1)?.role === 'tool' ? lastWords : next!)
    }).catch((error: unknown) => response.destroy(error as Error))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    next (delivery: Delivery) { next = delivery },
    close () {
      server.close()
      server.closeAllConnections()
    }
  }
}

const lastWords: Delivery = {
  pieces: [Buffer.from(`data: ${JSON.stringify({ choices: [{ delta: { content: LAST_WORDS }, finish_reason: 'stop' }] })}\n\ndata: [DONE]\n\n`)],
  ending: 'end'
}

// The callback comes when the kernel has the bytes, so that no two pieces are merged here.
async function write (response: ServerResponse, { pieces, ending }: Delivery): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const piece of pieces) {
    if (response.destroyed) return
    await new Promise(resolve => response.write(piece, resolve))
  }
  if (ending === 'end') response.end()
  if (ending === 'close') response.socket?.end()
}
