/**
 * The examples of docs/tools.md, as they stand.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import type { Call } from '../../lib/contract/agent.js'
import { fakeTurn } from '../helpers/fake-turn.js'
import { compileSnippet, snippetsOf } from '../helpers/snippets.js'
// The snippets import the package by its name: these are its own classes.
import { runTool, type Tool } from 'fastify-voice-agent'

const PAGE = 'docs/tools.md'

const [typeBox, json, mcp, zod, standard] = await Promise.all(snippetsOf(PAGE)
  .map(async snippet => await import(pathToFileURL(compileSnippet(PAGE, snippet)).href) as Record<string, unknown>))

/** What the model is told when it calls a tool. */
async function told (tool: unknown, args: object): Promise<unknown> {
  const call = { id: 'call_1', provider: 'retell', completedTurns: 0, record: () => true, waitUntil: () => {} } as Partial<Call> as Call
  const { content } = await runTool(fakeTurn({ call }), tool as Tool, args)
  return content
}

t.test('the tool of TypeBox', async t => {
  t.equal(await told(typeBox!['order'], { rolls: 3, note: 'dark' }), 'Ordered 3 rolls: dark.')
  t.equal(await told(typeBox!['order'], { rolls: '3' }), '{"error":"the arguments do not fit: /rolls: Expected integer"}')
})

t.test('the tool in JSON Schema', async t => {
  t.equal(await told(json!['weather'], { city: 'Kiel' }), 'Sunny in Kiel, today.')
  t.equal(await told(json!['weather'], { city: 'Kiel', on: 'Monday' }),
    '{"error":"the arguments do not fit: /on: must match format \\"date\\""}')
})

t.test('the tool of Zod', async t => {
  t.equal(await told(zod!['book'], { on: '2026-01-31', name: ' Ann ' }), 'Booked for Ann, 2 guests, Sat, 31 Jan 2026.')
  t.match(await told(zod!['book'], { on: 'Monday', name: 'Ann' }), /the arguments do not fit: \/on: Invalid ISO date/)
})

t.test('the tool of a library that only validates', async t => {
  t.equal(await told(standard!['reserve'], { place: '12C' }), 'Reserved row 12, seat C.')
  t.equal(await told(standard!['reserve'], { place: '12Z' }), '{"error":"the arguments do not fit: /place: such as 12C"}')
})

/** A client of a server of MCP on the loopback, over HTTP, as far as tools need it. */
async function startMcp (t: Test) {
  const server = createServer(async (request, response) => {
    const { id, method, params } = JSON.parse(Buffer.concat(await request.toArray()).toString())
    const $schema = 'http://json-schema.org/draft-07/schema#'
    const properties = { isbn: { type: 'string', pattern: '^\\d{3}$' } }
    const inputSchema = { type: 'object', properties, required: ['isbn'], additionalProperties: false, $schema }
    const find = { name: 'find_book', description: 'Finds a book.', inputSchema, annotations: { readOnlyHint: true } }
    const { name, arguments: args = {} } = params
    const result = method === 'tools/list'
      ? { tools: [find, { name: 'ping', inputSchema: { type: 'object' } }] }
      : { isError: args.isbn === '404', content: [{ type: 'text', text: name === 'ping' ? 'pong' : `book ${args.isbn}` }] }
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ jsonrpc: '2.0', id, result }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const ask = async (method: string, params: object): Promise<unknown> => {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const response = await fetch(url, { method: 'POST', body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }) })
    return (await response.json() as { result: unknown }).result
  }
  return { listTools: () => ask('tools/list', {}), callTool: (call: object) => ask('tools/call', call) }
}

t.test('the tools of an MCP server', async t => {
  const toolsOf = mcp!['toolsOf'] as (client: unknown) => Promise<Tool[]>
  const [find, ping] = await toolsOf(await startMcp(t))
  t.match(find, { name: 'find_book', sideEffects: false, parameters: { properties: { isbn: { type: 'string' } }, required: ['isbn'] } })
  t.match(ping, { name: 'ping', description: 'ping', sideEffects: true })
  t.equal(await told(find, { isbn: '123' }), 'book 123')
  t.equal(await told(find, { isbn: '404' }), '{"error":"book 404"}')
  t.match(await told(find, { isbn: 'x' }), /the arguments do not fit: \/isbn: must match pattern/)
  t.equal(await told(ping, {}), 'pong')
})
