import { once } from 'node:events'
import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { failover, openAIAgent, type Turn, type TurnReport } from '../../lib/index.js'
import { failures, MillisCaller, RetellCaller, startScriptedModel } from '../../lib/testing/index.js'
import { build } from '../helpers/app.js'

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
  json: 'One',
  noHeaders: APOLOGY,
  stalledAfterHeaders: APOLOGY,
  stalledMidStream: `One ${APOLOGY}`
}

const CALLERS = { Retell: RetellCaller, Millis: MillisCaller } as const

/** Asks, and returns the words of the answer, which comes to its end by the book. */
async function ask (t: Test, app: FastifyInstance, provider: keyof typeof CALLERS): Promise<string> {
  const call = await CALLERS[provider].dial(app)
  t.teardown(() => call.hangUp())
  const { outcome, text } = await call.say('Hi')
  t.equal(outcome, 'completed')
  t.strictSame(call.findings, [])
  return text
}

async function setup (t: Test) {
  const server = await startScriptedModel()
  t.teardown(() => server.close())
  const reports: TurnReport[] = []
  return { server, reports, onTurnEnd: ({ reason }: Turn, report: TurnReport) => { if (reason === 'response') reports.push(report) } }
}

for (const provider of ['Retell', 'Millis'] as const) {
  t.test(`each failure of a model has one end for the caller, on ${provider}`, async t => {
    for (const [name, heard] of Object.entries(HEARD)) {
      const { server, reports, onTurnEnd } = await setup(t)
      const { app, logs } = await build(t, undefined, { openai: { baseURL: server.url }, onTurnEnd, deadlines: { firstTokenMs: 100, tokenGapMs: 100 } })
      // Twice, for a request that is sent again.
      server.next(failures[name as keyof typeof failures], failures[name as keyof typeof failures])
      t.equal(await ask(t, app, provider), heard, name)
      const outcome = !heard.endsWith(APOLOGY) ? 'completed' : /noHeaders|stalled/.test(name) ? 'deadline' : 'error'
      t.match(reports, [{ outcome }])
      t.ok(outcome === 'completed' || logs.some(({ level, msg }) => level >= 40 && /agent failed|deadline/.test(msg)), 'the operator is told')
    }
  })

  t.test(`where nothing was said another model answers instead, on ${provider}`, async t => {
    for (const [name, heard] of Object.entries(HEARD)) {
      const { server: first, reports, onTurnEnd } = await setup(t)
      const { server: second } = await setup(t)
      const agents = [first, second].map(({ url }) => openAIAgent({ baseURL: url }))
      const agent = failover(agents, { firstTokenMs: 100 })
      t.teardown(() => agent.close())
      const { app } = await build(t, agent, { onTurnEnd, deadlines: { tokenGapMs: 100 } })
      first.next(failures[name as keyof typeof failures], failures[name as keyof typeof failures])
      const answered = heard.startsWith('One')
      t.equal(await ask(t, app, provider), answered ? heard : 'You said: Hi', name)
      t.equal(second.requests.length, answered ? 0 : 1)
      // Of a request that is cancelled the model hears a little later.
      if (/noHeaders|stalled/.test(name) && first.cancelled === 0) await once(first.events, 'cancelled')
      t.equal(reports.length, 1)
    }
  })

  t.test(`a model that cannot be reached is apologised for, on ${provider}`, async t => {
    const { server, onTurnEnd, reports } = await setup(t)
    await server.close()
    const { app } = await build(t, undefined, { openai: { baseURL: server.url }, onTurnEnd })
    t.equal(await ask(t, app, provider), APOLOGY)
    t.match(reports, [{ outcome: 'error' }])
  })
}
