import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Agent } from '../../lib/index.js'
import { build, deferred } from '../helpers/app.js'
import { dialUrl, retell, type Caller, type Frame } from '../helpers/caller.js'

/** A started call over a real socket, and the server's end of it. */
async function call (t: Test, agent: Agent) {
  const { app } = await build(t, agent)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const connected = once(app.server, 'connection') as Promise<[Socket]>
  const caller = await dialUrl(t, `ws://127.0.0.1:${(app.server.address() as AddressInfo).port}/llm-websocket/call_1`)
  const [serverSocket] = await connected
  caller.send(retell.details())
  await caller.response(0)
  return { caller, serverSocket }
}

/** Sends frames in one piece, so that the server reads them in one turn of its event loop. */
function sendAtOnce (caller: Caller, ...frames: Frame[]): void {
  const { _socket: socket } = caller.socket as unknown as { _socket: Socket }
  socket.cork()
  caller.send(...frames)
  socket.uncork()
}

const isPong = (frame: Frame) => frame['response_type'] === 'ping_pong'
const pong = (timestamp: number): Frame => ({ response_type: 'ping_pong', timestamp })
const words = (frame: Frame): Frame | string => isPong(frame) ? frame : frame['content']

t.test('a keepalive is answered while a reply streams, between its tokens', async t => {
  const agent = { talks: true }
  const { caller } = await call(t, async function * (turn) {
    if (turn.reason === 'greeting') return yield 'Hello.'
    while (agent.talks) {
      yield 'word '
      await nextLoopTurn()
    }
    yield 'end.'
  })

  caller.send(retell.request(1, 'Talk'))
  for (let n = 1; n <= 20; n++) {
    await caller.next()
    caller.send(retell.ping(n))
    const read = await caller.until(isPong)
    t.strictSame(read.at(-1), pong(n))
    t.notOk(read.some(frame => frame['content_complete']))
  }
  agent.talks = false
  t.match((await caller.response(1)).map(frame => frame['content']).join(''), /^(word )*end\.$/, 'no token is lost to it')
})

t.test('a keepalive is answered while the agent has everything ready and never waits', async t => {
  const agent = { talks: true }
  const { caller } = await call(t, function * (turn) {
    if (turn.reason === 'greeting') return yield 'Hello.'
    while (agent.talks) yield 'x'
  })

  caller.send(retell.request(1, 'Talk'), retell.ping(7))
  t.strictSame((await caller.until(isPong)).at(-1), pong(7))
  agent.talks = false
  t.equal((await caller.response(1)).at(-1)?.['content_complete'], true)
})

t.test('a keepalive is answered while a slow agent is waited for', async t => {
  const gates = [deferred<string>(), deferred<string>()] as const
  const { caller } = await call(t, async turn => {
    if (turn.reason === 'greeting') return 'Hello.'
    return gates[turn.id === 1 ? 0 : 1].promise
  })

  caller.send(retell.request(1, 'Think'))
  for (let n = 1; n <= 5; n++) {
    caller.send(retell.ping(n))
    t.strictSame(await caller.next(), pong(n))
  }
  gates[0].resolve('Done.')
  t.strictSame((await caller.response(1)).map(words), ['Done.'])
})

t.test('a keepalive is answered while onCallStart is waited for', async t => {
  const looked = deferred()
  const { app } = await build(t, () => 'Hello.', { onCallStart: () => looked.promise })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const caller = await dialUrl(t, `ws://127.0.0.1:${(app.server.address() as AddressInfo).port}/llm-websocket/call_1`)
  await caller.next()

  caller.send(retell.details(), retell.request(1, 'Hi'), retell.ping(7))
  t.strictSame((await caller.until(isPong)).map(words), ['', pong(7)], 'behind the begin message, which is owed')
  looked.resolve()
  t.strictSame((await caller.response(1)).map(words), ['Hello.'])
})

t.test('a keepalive is answered in the turn of the event loop that read it', async t => {
  const { caller } = await call(t, async function * (turn) {
    if (turn.reason === 'greeting') return yield 'Hello.'
    yield 'One '
    yield 'two.'
  })

  // An update that is not read, a keepalive, a request, another keepalive: the second is answered before the agent's
  // generator, which was called when the request was read, has had its first turn.
  sendAtOnce(caller, retell.update('Hi'), retell.ping(1), retell.request(1, 'Hi'), retell.ping(2))
  t.strictSame([...await caller.until(frame => frame['response_id'] === 1), ...await caller.response(1)].map(words),
    [pong(1), pong(2), 'One ', 'two.'])
})

t.test('a keepalive has left before the agent is called for the request behind it', async t => {
  const bytesWritten = { now: () => 0 }
  const written: number[] = []
  const { caller, serverSocket } = await call(t, turn => {
    written.push(bytesWritten.now())
    return turn.reason === 'greeting' ? 'Hello.' : 'Yes.'
  })
  bytesWritten.now = () => serverSocket.bytesWritten
  const before = serverSocket.bytesWritten

  sendAtOnce(caller, retell.ping(1), retell.request(1, 'Hi'), retell.ping(2))

  t.strictSame((await caller.until(frame => frame['timestamp'] === 2)).map(words), [pong(1), 'Yes.', pong(2)])
  // A short frame from a server has two bytes before its payload.
  t.equal(written.at(-1), before + 2 + JSON.stringify(pong(1)).length)
})

t.test('words that are ready leave before the answer to a keepalive, not behind it', async t => {
  const gate = deferred()
  const { caller } = await call(t, async function * (turn) {
    if (turn.reason === 'greeting') return yield 'Hello.'
    yield 'One '
    await gate.promise
    yield 'two '
    yield 'three '
    await once(turn.signal, 'abort')
  })
  caller.send(retell.request(1, 'Hi'))
  await caller.until(frame => frame['response_id'] === 1)
  gate.resolve()
  await gate.promise
  caller.send(retell.ping(1))
  t.strictSame((await caller.until(isPong)).map(words), ['two three ', pong(1)])
})

t.test('keepalives of every age are answered, also in a call that has ended its turn', async t => {
  const { caller } = await call(t, turn => turn.reason === 'greeting' ? 'Hello.' : '')
  const timestamps = [0, -1, 1.5, 1_760_000_002_000, Number.MAX_SAFE_INTEGER, 1e308]
  for (const timestamp of timestamps) {
    caller.send(retell.ping(timestamp))
    t.strictSame(await caller.next(), pong(timestamp))
  }
  caller.send({ interaction_type: 'ping_pong' }, { interaction_type: 'ping_pong', timestamp: null }, { interaction_type: 'pingpong', timestamp: 5 })
  for (const timestamp of [Number, Number, 5]) t.match(await caller.next(), { response_type: 'ping_pong', timestamp })
})

t.test('hundreds of keepalives during a reply change none of its words', async t => {
  const { caller } = await call(t, async function * (turn) {
    if (turn.reason === 'greeting') return yield 'Hello.'
    for (let n = 0; n < 200; n++) {
      yield `${n} `
      if (n % 3 === 0) await nextLoopTurn()
    }
  })
  caller.send(retell.request(1, 'Count'))
  for (let n = 0; n < 300; n++) caller.send(retell.ping(n))
  const frames = await caller.response(1)
  while (frames.filter(isPong).length < 300) frames.push(await caller.next())

  t.strictSame(frames.filter(isPong).map(({ timestamp }) => timestamp), Array.from({ length: 300 }, (_, n) => n))
  t.equal(frames.filter(frame => !isPong(frame)).map(words).join(''), Array.from({ length: 200 }, (_, n) => `${n} `).join(''))
})
