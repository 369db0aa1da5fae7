/**
 * Calls with tools of every kind of schema, over both providers and a model on the loopback.
 */
import t from 'tap'
import * as z from 'zod'
import { Type } from '@sinclair/typebox'
import { tool, type ToolOptions } from '../../lib/tools/tool.js'
import type { JsonSchema } from '../../lib/tools/parameters.js'
import { deferred } from '../helpers/app.js'
import { useClock } from '../helpers/clock.js'
import type { ModelRequest } from '../../lib/testing/scripted-model.js'
import { calling, messagesOf, openLine } from '../helpers/model-line.js'

const PROVIDERS = ['retell', 'millis'] as const

const find = tool({
  name: 'find',
  description: 'Finds slots.',
  parameters: { type: 'object', properties: { day: { enum: ['Mon', 'Tue'] }, name: { type: ['string', 'null'] } }, required: ['day'] },
  execute: ({ day }) => `free on ${String(day)}`
})

/** A tool whose arguments are checked as long as the test wants. */
function slow (options: Partial<ToolOptions<z.ZodObject<{ day: z.ZodString }>>> = {}) {
  const door = deferred<boolean>()
  const parameters = z.object({ day: z.string().refine(() => door.promise, { message: 'that day is taken' }) })
  return { door, made: tool({ name: 'book', description: 'Books.', parameters, execute: ({ day }) => `booked ${day}`, ...options }) }
}

/** What the model was told of its tools. */
function resultsIn (request: ModelRequest): unknown[] {
  return messagesOf(request).filter(({ role }) => role === 'tool').map(({ content }) => content)
}

for (const provider of PROVIDERS) {
  t.test(`tools of every kind of schema are called in one answer on ${provider}`, async t => {
    const parameters = Type.Object({ day: Type.String() })
    const look = tool({ name: 'look', description: 'Looks.', parameters, execute: ({ day }) => `open on ${day}` })
    const { door, made } = slow({ say: 'Let me see.' })
    door.resolve(true)
    const { server, hear } = await openLine(t, provider, [look, find, made])
    server.next(calling('look({"day":"Mon"})', 'find({"day":"Tue","mood":"good"})', 'book({"day":"Tue"})'), ['Done.'])
    t.equal(await hear(1, 'Tuesday'), 'Let me see. Done.')
    t.strictSame(resultsIn(server.requests[1]!), ['open on Mon', 'free on Tue', 'booked Tue'])
  })

  t.test(`the model gets an error for wrong arguments on ${provider}, and calls again`, async t => {
    const { door, made } = slow()
    door.resolve(false)
    const { server, hear } = await openLine(t, provider, [find, made])
    server.next(calling('find({"day":"Sun"})', 'book({"day":"Tue"})'), calling('find({"day":"Mon"})'), ['Done.'])
    t.equal(await hear(1, 'Sunday'), 'Done.')
    t.strictSame(resultsIn(server.requests[1]!), [
      '{"error":"the arguments do not fit: /day: must be equal to one of the allowed values: [\\"Mon\\",\\"Tue\\"]"}',
      '{"error":"the arguments do not fit: /day: that day is taken"}'
    ])
  })
}

t.test('a null for an optional member is the same call as its absence, in every kind of schema', async t => {
  for (const parameters of [
    Type.Object({ name: Type.Optional(Type.Union([Type.String(), Type.Null()])) }),
    { type: 'object', properties: { name: { type: ['string', 'null'] } } },
    z.object({ name: z.string().nullish() })
  ]) {
    const runs: unknown[] = []
    const add = tool({ name: 'add', description: 'Adds.', parameters: parameters as JsonSchema, execute: args => { runs.push(args) } })
    const { server, hear } = await openLine(t, 'retell', [add])
    server.next(calling('add({"name":null})', 'add({})'), calling('add({"name":"Ann"})'), ['Done.'])
    await hear(1, 'Add it')
    t.strictSame(runs, [{ name: null }, { name: 'Ann' }])
  }
})

t.test('the default filler is spoken if the tool\'s own needs arguments that are still being checked', async t => {
  const clock = useClock(t)
  const { door, made } = slow({ say: ({ day }) => `${day}!`, filler: ({ day }) => `${day}...`, fillerMs: 100 })
  const { server, line, ask, said, asked } = await openLine(t, 'retell', [made])
  server.next(calling('book({"day":"Tue"})'), ['Done.'])
  ask(1, 'Tuesday')
  await asked(1)
  while (!line.frames.some(frame => frame['response_type'] === 'tool_call_invocation')) await clock.pass(0)
  await clock.pass(100)
  t.equal(said(1), 'One moment, please. ')
  door.resolve(true)
  await line.completed(1)
  t.equal(said(1), 'One moment, please. Done.')
})
