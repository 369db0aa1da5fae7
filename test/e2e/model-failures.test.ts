import { once } from 'node:events'
import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { failover, openAIAgent, type TurnReport } from '../../lib/index.js'
import { build } from '../helpers/app.js'
import { dial, dialRetell, millis, retell } from '../helpers/caller.js'
import { failures, startModelServer } from '../helpers/model-server.js'

const APOLOGY = 'I am sorry, can you say that again?'

/** What the caller hears of each failure: what the model said, and an apology, unless it came to its end. */
const HEARD: Record<keyof typeof failures, string> = {
  unauthorized: APOLOGY,
  rateLimited: APOLOGY,
  serverError: APOLOGY,
  filteredPrompt: APOLOGY,
  filteredAtOnce: APOLOGY,
  filteredMidStream: `One ${APOLOGY}`,
  cutBeforeHeaders: APOLOGY,
  resetBeforeHeaders: APOLOGY,
  cutAfterHeaders: APOLOGY,
  cutMidStream: `One ${APOLOGY}`,
  errorAtOnce: APOLOGY,
  errorMidStream: `One ${APOLOGY}`,
  garbage: `One ${APOLOGY}`,
  oddChunks: APOLOGY,
  empty: APOLOGY,
  blank: APOLOGY,
  outOfTokensAtOnce: APOLOGY,
  outOfTokens: 'One ',
  endlessAtOnce: APOLOGY,
  endless: 'One ',
  html: APOLOGY,
  json: APOLOGY,
  noHeaders: APOLOGY,
  stalledAfterHeaders: APOLOGY,
  stalledMidStream: `One ${APOLOGY}`
}

interface Side {
  readonly provider: string
  /** Asks, and returns the words of the answer, which is completed once and by its last frame. */
  ask (t: Test, app: FastifyInstance): Promise<string>
}

const SIDES: Side[] = [
  {
    provider: 'Retell',
    async ask (t, app) {
      const caller = await dialRetell(t, app)
      caller.send(retell.request(1, 'Hi'))
      const frames = (await caller.response(1)).filter(frame => frame['response_id'] === 1)
      t.equal(frames.filter(frame => frame['content_complete']).length, 1)
      return frames.map(frame => frame['content']).join('')
    }
  },
  {
    provider: 'Millis',
    async ask (t, app) {
      const caller = await dial(t, app, '/millis')
      caller.send(millis.request(1, 'Hi'))
      const frames = await caller.stream(1)
      t.equal(frames.filter(({ data }) => data.end_of_stream).length, 1)
      return frames.map(({ data }) => data.content).join('')
    }
  }
]

async function setup (t: Test) {
  const server = await startModelServer()
  t.teardown(() => server.close())
  const reports: TurnReport[] = []
  return { server, reports, onTurnEnd: (_turn: unknown, report: TurnReport) => { reports.push(report) } }
}

for (const side of SIDES) {
  t.test(`each failure of a model has one end for the caller, on ${side.provider}`, async t => {
    for (const [name, heard] of Object.entries(HEARD)) {
      const { server, reports, onTurnEnd } = await setup(t)
      const { app, logs } = await build(t, undefined, { openai: { baseURL: server.url }, onTurnEnd, deadlines: { firstTokenMs: 100, tokenGapMs: 100 } })
      // Twice, for a request that is sent again.
      server.next(failures[name as keyof typeof failures], failures[name as keyof typeof failures])
      t.equal(await side.ask(t, app), heard, name)
      const outcome = !heard.endsWith(APOLOGY) ? 'completed' : /noHeaders|stalled/.test(name) ? 'deadline' : 'error'
      t.match(reports, [{ outcome }])
      t.ok(outcome === 'completed' || logs.some(({ level, msg }) => level >= 40 && /agent failed|deadline/.test(msg)), 'the operator is told')
    }
  })

  t.test(`where nothing was said another model answers instead, on ${side.provider}`, async t => {
    for (const [name, heard] of Object.entries(HEARD)) {
      const { server: first, reports, onTurnEnd } = await setup(t)
      const { server: second } = await setup(t)
      const agents = [first, second].map(({ url }) => openAIAgent({ baseURL: url }))
      const agent = failover(agents, { firstTokenMs: 100 })
      t.teardown(() => agent.close())
      const { app } = await build(t, agent, { onTurnEnd, deadlines: { tokenGapMs: 100 } })
      first.next(failures[name as keyof typeof failures], failures[name as keyof typeof failures])
      const answered = heard.startsWith('One ')
      t.equal(await side.ask(t, app), answered ? heard : 'You said: Hi', name)
      t.equal(second.requests.length, answered ? 0 : 1)
      // Of a request that is cancelled the model hears a little later.
      if (/noHeaders|stalled/.test(name) && first.cancelled === 0) await once(first.events, 'cancelled')
      t.equal(reports.length, 1)
    }
  })

  t.test(`a model that cannot be reached is apologised for, on ${side.provider}`, async t => {
    const { server, onTurnEnd, reports } = await setup(t)
    await server.close()
    const { app } = await build(t, undefined, { openai: { baseURL: server.url }, onTurnEnd })
    t.equal(await side.ask(t, app), APOLOGY)
    t.match(reports, [{ outcome: 'error' }])
  })
}
