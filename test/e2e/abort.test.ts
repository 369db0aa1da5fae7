import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import type { Agent, Reply, Turn, VoiceAgentOptions } from '../../lib/index.js'
import { build, deferred } from '../helpers/app.js'
import { dialUrl, millis, retell, type Caller, type Frame } from '../helpers/caller.js'
import { hold, startScriptedModel, type ScriptedModel } from '../../lib/testing/scripted-model.js'

/** What both protocols have, so that one test plays either. */
interface Side {
  readonly provider: 'retell' | 'millis'
  readonly path: string
  /** Introduces the call and reads the greeting. */
  start (caller: Caller): Promise<unknown>
  request (id: number, ...words: string[]): Frame
  answer (caller: Caller, id: number): Promise<Frame[]>
  /** The turn a frame belongs to. */
  idOf (frame: Frame): unknown
}

const RETELL: Side = {
  provider: 'retell',
  path: '/llm-websocket/call_1',
  start: caller => {
    caller.send(retell.details())
    return caller.response(0)
  },
  request: retell.request,
  answer: (caller, id) => caller.response(id),
  idOf: frame => frame['response_id']
}

const MILLIS: Side = {
  provider: 'millis',
  path: '/millis',
  start: caller => {
    caller.send(millis.start(0, 'call_1'))
    return caller.stream(0)
  },
  request: millis.request,
  answer: (caller, id) => caller.stream(id),
  idOf: frame => frame['data']?.stream_id
}

/** The client's socket of each request to the model, in the order in which they were sent. */
function requestSockets (t: Test): Socket[] {
  const sockets: Socket[] = []
  const onHeaders = (message: unknown) => { sockets.push((message as { socket: Socket }).socket) }
  subscribe('undici:client:sendHeaders', onHeaders)
  t.teardown(() => { unsubscribe('undici:client:sendHeaders', onHeaders) })
  return sockets
}

async function cancelledBy (model: ScriptedModel, count: number): Promise<number> {
  while (model.cancelled < count) await once(model.events, 'cancelled')
  return model.cancelled
}

/** A listening app whose built-in agent asks a scripted model. `onAsked` is called as the agent is, on reading a request. */
async function listen (t: Test, options: VoiceAgentOptions & { onAsked?: (turn: Turn) => void, onClosed?: (turn: Turn) => void } = {}) {
  const { onAsked, onClosed, ...pluginOptions } = options
  const model = await startScriptedModel()
  t.teardown(() => model.close())
  const sockets = requestSockets(t)
  const { app } = await build(t, undefined, { openai: { baseURL: model.url, greeting: 'Hello.' }, ...pluginOptions })
  const builtIn = app.agent
  const watched: Agent = function (turn): Reply {
    onAsked?.(turn)
    return speak(this, turn)
  }
  async function * speak (fastify: FastifyInstance, turn: Turn) {
    try {
      yield * builtIn.call(fastify, turn) as AsyncIterable<string>
    } finally {
      onClosed?.(turn)
    }
  }
  app.agent = watched
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  return { app, model, sockets, dial: (path: string) => dialUrl(t, `ws://127.0.0.1:${port}${path}`) }
}

// What ends a turn from outside of it

type Running = { app: FastifyInstance, caller: Caller, side: Side }

const ENDINGS: ReadonlyArray<{ name: string, outcome: string, sides: Side[], end: (running: Running) => unknown }> = [
  {
    name: 'is superseded',
    outcome: 'superseded',
    sides: [RETELL, MILLIS],
    end: ({ caller, side }) => caller.send(side.request(2, 'Newer'))
  },
  {
    name: 'is superseded by a reminder',
    outcome: 'superseded',
    sides: [RETELL],
    end: ({ caller }) => caller.send(retell.reminder(2, 'Newer'))
  },
  {
    name: 'is interrupted',
    outcome: 'interrupted',
    sides: [MILLIS],
    end: ({ caller }) => caller.send(millis.interrupt(1))
  },
  {
    name: 'is hung up on',
    outcome: 'hang-up',
    sides: [RETELL, MILLIS],
    end: ({ caller }) => caller.socket.close(1000)
  },
  {
    name: 'loses its socket',
    outcome: 'hang-up',
    sides: [RETELL, MILLIS],
    end: ({ caller }) => caller.socket.terminate()
  },
  {
    name: 'is ended by the app',
    outcome: 'ended',
    sides: [RETELL, MILLIS],
    end: ({ app }) => app.calls.get('call_1')!.end({ say: 'Bye.' })
  },
  {
    name: 'is transferred by the app',
    outcome: 'ended',
    sides: [RETELL, MILLIS],
    end: ({ app }) => app.calls.get('call_1')!.transfer('+14155550177')
  },
  {
    name: 'is interjected',
    outcome: 'interjected',
    sides: [RETELL],
    end: ({ app }) => app.calls.get('call_1')!.interject('Wait.')
  },
  {
    name: 'is live when the server closes',
    outcome: 'hang-up',
    sides: [RETELL, MILLIS],
    end: ({ app }) => { app.close() }
  }
]

for (const { name, outcome, sides, end } of ENDINGS) {
  for (const side of sides) {
    for (const stage of ['has not answered yet', 'is streaming']) {
      t.test(`a ${side.provider} turn that ${name} while the model ${stage} cancels its request at once`, async t => {
        const order: string[] = []
        const nextLoopTurn = deferred()
        let older: Turn | undefined
        const state = () => `signal ${older?.signal.reason?.reason}, connection ${sockets[0]?.destroyed ? 'cut' : 'open'}`
        const { app, model, sockets, dial } = await listen(t, {
          onAsked: turn => {
            if (turn.id === 1) older = turn
            if (turn.id === 2) order.push(`the newer turn is asked: ${state()}`)
          },
          onClosed: turn => { if (turn.id === 1) order.push('the generator is closed') },
          onTurnEnd: (turn, report) => {
            if (turn.id !== 1) return
            order.push(`the turn has ended ${report.outcome}: ${state()}`)
            setImmediate(() => {
              order.push('the event loop turns')
              nextLoopTurn.resolve()
            })
          }
        })
        const held = hold()
        t.teardown(held.release)
        const caller = await dial(side.path)
        await side.start(caller)
        model.next(stage === 'is streaming' ? ['One ', held, 'two.'] : { steps: ['One ', 'two.'], before: held })
        const asked = once(model.events, 'request')
        caller.send(side.request(1, 'Hi'))
        await asked
        if (stage === 'is streaming') await caller.until(frame => side.idOf(frame) === 1)
        t.equal(state(), 'signal undefined, connection open')

        end({ app, caller, side })
        await nextLoopTurn.promise

        t.equal(order.pop(), 'the event loop turns')
        // In which order the hook is run and the generator is closed was promised to nobody.
        t.strictSame(order.sort(), [
          'the generator is closed',
          ...(outcome === 'superseded' ? ['the newer turn is asked: signal superseded, connection cut'] : []),
          `the turn has ended ${outcome}: signal ${outcome}, connection cut`
        ])
        if (outcome === 'superseded') await side.answer(caller, 2)
        t.equal(await cancelledBy(model, 1), 1)
      })
    }
  }
}

t.test('a turn that is over before its request left the house asks no model', async t => {
  const { app, model, dial } = await listen(t, {
    onAsked: turn => { if (turn.id === 1) queueMicrotask(() => { turn.call.interject('Wait.') }) }
  })
  const caller = await dial(RETELL.path)
  await RETELL.start(caller)

  caller.send(retell.request(1, 'One'))
  await caller.until(frame => frame['response_type'] === 'agent_interrupt')
  caller.send(retell.request(2, 'Two'))
  await caller.response(2)

  t.strictSame(model.requests.map(({ body }) => body.messages.at(-1)?.content), ['Two'])
  t.equal(app.calls.size, 1)
})

t.test('an interrupt of another turn, or of none, cancels nothing', async t => {
  const { model, dial } = await listen(t)
  const held = hold()
  const caller = await dial(MILLIS.path)
  await MILLIS.start(caller)
  model.next(['One ', held, 'two.'])
  caller.send(millis.request(1, 'Hi'))
  await caller.until(frame => MILLIS.idOf(frame) === 1)

  caller.send(millis.interrupt(0), millis.interrupt(2), millis.interrupt('1'))
  await caller.settled()
  held.release()

  t.equal((await caller.stream(1)).map(({ data }) => data.content).join(''), 'two.')
  t.equal(model.cancelled, 0)
})

t.test('when the server closes, the request of every call is cancelled', async t => {
  const { app, model, dial } = await listen(t)
  const held = hold()
  t.teardown(held.release)
  model.handler = () => ['One ', held]
  const callers = await Promise.all(['/llm-websocket/a', '/llm-websocket/b', '/millis', '/millis'].map(dial))
  for (const [n, caller] of callers.entries()) {
    const side = n < 2 ? RETELL : MILLIS
    caller.send(side.request(1, 'Hi'))
    await caller.until(frame => side.idOf(frame) === 1)
  }

  await app.close()

  t.equal(await cancelledBy(model, 4), 4)
  t.strictSame(await Promise.all(callers.map(({ closed }) => closed)).then(ends => ends.map(({ code }) => code)), [1006, 1006, 1001, 1001])
})

// Rapid supersedes

const LAST = 50

/** A model that talks and talks, but for the last question. */
function talkative (t: Test, model: ScriptedModel): void {
  const held = hold()
  t.teardown(held.release)
  model.handler = ({ body }) => body.messages.at(-1)?.content === `Question ${LAST}`
    ? ['The ', 'end.']
    : [...Array.from({ length: 50 }, () => 'word '), held]
}

for (const side of [RETELL, MILLIS]) {
  for (const burst of [false, true]) {
    t.test(`of ${LAST} ${side.provider} requests ${burst ? 'at once' : 'in a row'} all but the last are cancelled, and say nothing more`, async t => {
      const outcomes: string[] = []
      const { model, dial } = await listen(t, {
        // A frame that is written on reading the request, before its agent is called.
        onAsked: turn => { if (turn.call.provider === 'retell') turn.call.sendMetadata({ asked: turn.id }) },
        onTurnEnd: (_turn, { outcome }) => { outcomes.push(outcome) }
      })
      talkative(t, model)
      const caller = await dial(side.path)
      await side.start(caller)
      outcomes.length = 0
      // Which frames were there when the server had read the request.
      const read = new Map<number, number>()
      caller.socket.on('pong', data => read.set(Number(String(data)), caller.frames.length))

      for (let id = 1; id <= LAST; id++) {
        caller.send(side.request(id, `Question ${id}`))
        caller.socket.ping(String(id))
        if (!burst && id < LAST) await caller.until(frame => side.idOf(frame) === id)
      }
      const answer = await side.answer(caller, LAST)

      await cancelledBy(model, model.requests.length - 1)
      t.strictSame(model.requests.filter(({ cancelled }) => !cancelled).map(({ body }) => body.messages.at(-1)?.content), [`Question ${LAST}`])
      if (!burst) t.equal(model.requests.length, LAST, 'each was asked')
      t.strictSame(outcomes, [...Array(LAST - 1).fill('superseded'), 'completed'])
      t.equal(answer.filter(frame => side.idOf(frame) === LAST).map(frame => (frame['data'] ?? frame).content).join(''), 'The end.')

      t.equal(read.size, LAST)
      if (side === RETELL) caller.frames.forEach(({ metadata }, n) => { if (metadata !== undefined) read.set(metadata.asked, n) })
      const late = [...read].flatMap(([id, from]) => caller.frames.slice(from).filter(frame => Number(side.idOf(frame)) < id))
      t.strictSame(late, [], 'nothing of a dead turn behind a newer request')
      const completions = caller.frames.filter(frame => Number(side.idOf(frame)) > 0 && (frame['content_complete'] ?? frame['data']?.end_of_stream))
      t.strictSame(completions.map(side.idOf), [LAST], 'only the last is completed')
    })
  }
}
