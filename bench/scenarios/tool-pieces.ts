/**
 * One answer of a model's in thousands of pieces: does twice as many take twice as long? Everything runs in this process: a server on
 * loopback that writes the whole answer at once, and the built-in agent that reads it.
 */
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Type } from '@sinclair/typebox'
import { openAIAgent } from '../../lib/agents/openai/agent.js'
import { tool } from '../../lib/tools/tool.js'
import { fakeTurn } from '../../test/helpers/fake-turn.js'
import { type Drill, type Figure, lower, note } from './scenario.js'

const PIECES = 16_000
const RUNS = 9
/** Twice as many may take so many times as long. */
const MOST = 2.5

const event = (choice: object): string => `data: ${JSON.stringify({ choices: [{ index: 0, ...choice }] })}\n\n`
const called = (id: string | undefined, name: string | undefined, args: string, index = 0): string =>
  event({ delta: { tool_calls: [{ index, id, function: { name, arguments: args } }] } })
const ending = (reason: string): string => `${event({ delta: {}, finish_reason: reason })}data: [DONE]\n\n`
const all = (piece: (n: number) => string, many: number): string => Array.from({ length: many }, (_, n) => piece(n)).join('')
const oneCall = (piece: (n: number) => string, many: number): string =>
  called('a', 'look_up', '{"day":"') + all(piece, many) + called(undefined, undefined, '"}') + ending('tool_calls')

/** Answers in so many pieces. */
const ANSWERS: Readonly<Record<string, (many: number) => string>> = {
  'pieces of one call': many => oneCall(() => called(undefined, undefined, 'x'), many),
  'pieces with its name': many => oneCall(() => called(undefined, 'look_up', 'x'), many),
  'pieces with ids of their own': many => oneCall(n => called(`a${n}`, 'look_up', 'x'), many),
  'calls with a number each': many => all(n => called(`a${n}`, 'look_up', '{}', n), many) + ending('tool_calls'),
  'calls of one number': many => all(n => called(`a${n}`, 'look_up', '{}'), many) + ending('tool_calls'),
  words: many => event({ delta: { content: 'one *word* ' } }).repeat(many) + ending('stop')
}

export const toolPieces: Drill = {
  name: 'tool-pieces',
  alone: true,
  once: true,
  async perform ({ size, progress }) {
    const pieces = size.quick ? PIECES / 10 : PIECES
    const figures: Figure[] = []
    const steep: string[] = []
    for (const [what, answer] of Object.entries(ANSWERS)) {
      const some = Buffer.from(answer(pieces))
      const twice = Buffer.from(answer(2 * pieces))
      let [few, many] = [Infinity, Infinity]
      // The minimum of alternating runs: other work on the machine only adds time.
      for (let run = 0; run < RUNS; run++) {
        few = Math.min(few, await cpuMs(some))
        many = Math.min(many, await cpuMs(twice))
      }
      figures.push(
        note(`${what}: ${pieces}`, 'ms of CPU', few),
        note(`${what}: ${2 * pieces}`, 'ms of CPU', many),
        lower(`${what}: ratio`, 'times', many / few)
      )
      progress(`${what}: ${(many / few).toFixed(2)} times\n`)
      if (many / few > MOST) steep.push(what)
    }
    if (steep.length > 0 && !size.quick) throw new Error(`twice as many take more than ${MOST} times as long: ${steep.join(', ')}`)
    return figures
  }
}

/** How much CPU time one answer takes, in ms. An answer that calls too many tools fails once it is read, which counts as well. */
async function cpuMs (answer: Buffer): Promise<number> {
  let asked = 0
  const server = createServer((request, response) => {
    request.resume()
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end(asked++ === 0 ? answer : event({ delta: { content: 'Done.' } }) + ending('stop'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const parameters = Type.Object({ day: Type.String() })
  const look = tool({ name: 'look_up', description: 'Looks it up.', parameters, sideEffects: false, execute: () => 'done' })
  const { port } = server.address() as AddressInfo
  const agent = openAIAgent({ apiKey: 'none', baseURL: `http://127.0.0.1:${port}/v1`, tools: [look] })
  const before = process.cpuUsage()
  try {
    for await (const piece of agent(fakeTurn())) void piece // eslint-disable-line no-void
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'VOICE_AGENT_ERR_MODEL') throw error
  }
  const { user, system } = process.cpuUsage(before)
  await agent.close()
  server.close()
  return (user + system) / 1_000
}
