/**
 * A call that goes on on another node: what that node knows, what it says, and who is told. Each node is a line of its own;
 * a node that dies is one that is left as it is.
 */
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import { endCall, filler, toolCall, transferCall, type Call, type ChatMessage, type Reply, type Turn } from '../../lib/contract/agent.js'
import { runTool } from '../../lib/tools/run-tool.js'
import { tool } from '../../lib/tools/tool.js'
import { decline } from '../../lib/call/answer.js'
import type { LiveCall } from '../../lib/call/call.js'
import { CallRegistry } from '../../lib/call/registry.js'
import { callChannel } from '../../lib/telemetry/channels.js'
import type { CallSummary } from '../../lib/telemetry/report.js'
import { deferred } from '../helpers/app.js'
import { openCall, tick, toMillis, toRetell, type CallOptions, type Line } from '../helpers/call.js'
import { millis, retell, type Frame } from '../helpers/caller.js'
import { useClock } from '../helpers/clock.js'
import { MemoryCluster } from '../helpers/memory-cluster.js'

type Provider = 'retell' | 'millis'

/** Nodes that the provider's calls reach, in whatever order. */
function nodes (t: Test, provider: Provider, agent: (turn: Turn) => Reply, options: CallOptions = {}) {
  const cluster = new MemoryCluster()
  const told: string[] = []
  const summaries: CallSummary[] = []
  const registries = new Map<string, CallRegistry<LiveCall>>()
  let sockets = 0

  /** The provider dials, and a node answers. */
  async function dial (name: string): Promise<Line> {
    const node = cluster.node(name)
    const calls = registries.get(name) ?? new CallRegistry<LiveCall>()
    registries.set(name, calls)
    const claim = provider === 'retell' ? await node.claim({ provider, id: 'call_1' }) : undefined
    return openCall(t, provider, agent, {
      reconnectGraceMs: 30_000,
      ...options,
      calls,
      cluster: node,
      ...(claim !== undefined && { claim }),
      id: provider === 'retell' ? 'call_1' : `made-up ${++sockets}`,
      hooks: {
        onCallStart: () => { told.push(`${name} started`) },
        onCallResume: () => { told.push(`${name} resumed`) },
        onCallEnd: (_call, summary) => {
          told.push(`${name} ended`)
          summaries.push(summary)
        },
        ...options.hooks
      }
    })
  }
  return { cluster, told, summaries, registries, dial }
}

const says = (turn: Turn): string => `${turn.reason} ${turn.id}`

/** Has the call introduce itself. */
const start = (provider: Provider): Frame => provider === 'retell' ? retell.details({ from_number: '+15550100001', metadata: { tenant: 'a' } }) : millis.start(0, 'ses_1', { metadata: { tenant: 'a' } })

const ask = (provider: Provider, id: number, ...words: string[]): Frame => provider === 'retell' ? retell.request(id, ...words) : millis.request(id, ...words)

t.test('the node that answers when Retell dials again goes on with the call: state, counters, what it was told, and no second greeting', async t => {
  const states: unknown[] = []
  const { told, summaries, dial, cluster } = nodes(t, 'retell', turn => {
    states.push({ ...turn.call.state })
    turn.call.state['turns'] = states.length
    return says(turn)
  })
  const first = await dial('a')
  first.receive(start('retell'))
  first.receive(retell.request(1, 'Hi'))
  t.equal(first.frames.length, 3)
  t.strictSame(cluster.names('call_1'), ['call', 'facts', 'said:0', 'said:1', 'state'])

  const second = await dial('b')
  t.strictSame(second.frames, [toRetell.config, toRetell.complete(0)], 'nothing that is waited for, and an empty begin message')
  const { call } = second
  t.equal(call.from, '+15550100001', 'Retell need not tell again')
  t.strictSame(call.metadata, { tenant: 'a' })
  t.equal(call.completedTurns, 2)
  t.equal(call.startedAt <= Date.now(), true)
  second.receive(retell.request(1, 'Hi'))
  t.strictSame(second.frames.slice(2), [toRetell.complete(1, 'response 1')])
  t.strictSame(states, [{}, { turns: 1 }, { turns: 2 }])
  second.hangUp(1000)
  await tick()
  t.strictSame(told, ['a started', 'b resumed', 'b ended'])
  t.match(summaries, [{ code: 1000, turns: 3, reconnects: 1 }])
  t.equal(cluster.entries.size, 0, 'nothing is kept of it')
})

t.test('the same on Millis, whose first frame says which call it is', async t => {
  const { told, dial } = nodes(t, 'millis', says)
  const first = await dial('a')
  first.receive(start('millis'))
  await tick()
  t.strictSame(first.frames, [toMillis.complete(0, 'greeting 0')])
  first.receive(millis.request(1, 'Hi'))

  const second = await dial('b')
  second.receive(millis.start(7, 'ses_1'))
  await tick()
  t.strictSame(second.frames, [toMillis.complete(7)])
  second.receive(millis.request(8, 'Hi', 'response 1', 'And now?'))
  t.strictSame(second.frames.slice(1), [toMillis.complete(8, 'response 8')])
  t.strictSame(told, ['a started', 'b resumed'])
})

t.test('while the other nodes are asked for a Millis call, the newest request waits, and nothing else is said', async t => {
  const { cluster, dial, told } = nodes(t, 'millis', says)
  const first = await dial('a')
  first.receive(start('millis'), ask('millis', 1, 'Hi'), ask('millis', 2, 'Hi there'), start('millis'))
  t.strictSame(first.frames, [])
  await tick()
  t.strictSame(first.frames, [toMillis.complete(2, 'response 2')])
  t.strictSame(told, ['a started'])

  const other = await dial('b')
  other.receive(millis.start(0, 'ses_2'))
  other.hangUp(1006)
  await tick()
  t.strictSame(other.frames, [], 'who is gone by then is not talked to')
  t.strictSame(told, ['a started'])
  t.equal(cluster.entries.get('ses_2')?.owner, undefined)
})

t.test('a Millis call that was ended before it was known is ended once, and not greeted', async t => {
  const { dial } = nodes(t, 'millis', says)
  const line = await dial('a')
  line.receive(start('millis'))
  await line.call.end()
  await tick()
  t.strictSame(line.frames, [toMillis.endCall(0), toMillis.complete(0)])
})

t.test('Millis dials the same node again while the others are asked: it is greeted there', async t => {
  const { dial } = nodes(t, 'millis', says)
  const first = await dial('a')
  const second = await dial('a')
  first.receive(start('millis'))
  second.receive(millis.start(7, 'ses_1'))
  await tick()
  t.strictSame(second.frames, [toMillis.complete(7, 'greeting 7')])
})

t.test('the same where it had been asked for something, or cannot be greeted', async t => {
  const { dial } = nodes(t, 'millis', says)
  const [first, second, third] = [await dial('a'), await dial('a'), await dial('a')]
  first.receive(start('millis'), millis.request(1, 'Hi'))
  second.receive(millis.start(7, 'ses_1'))
  third.receive(millis.start(null, 'ses_1'), millis.start(8, 'ses_1'))
  await tick()
  t.strictSame(second.frames, [toMillis.complete(7)])
  t.strictSame(third.frames, [toMillis.complete(8, 'greeting 8')])
})

t.test('a Millis call that says late which it is is known to the others by that id', async t => {
  for (const late of [false, true]) {
    const { dial, cluster, told } = nodes(t, 'millis', says)
    const first = await dial('a')
    first.receive(millis.request(1, 'Hi'))
    if (late) await tick()
    first.receive(millis.start(0, 'ses_1'))
    await tick()
    t.strictSame([...cluster.entries.keys()], ['ses_1'])
    t.equal(cluster.names('ses_1').includes('call'), true)
    const second = await dial('b')
    second.receive(millis.start(7, 'ses_1'))
    await tick()
    t.strictSame(first.closes.length, 1)
    t.strictSame(told, ['a started', 'b resumed'])
  }
})

t.test('a Millis call that goes on is ended with an id of the socket it is on', async t => {
  const { dial } = nodes(t, 'millis', says)
  const a = await dial('a')
  a.receive(start('millis'))
  await tick()
  a.receive(millis.request(1, 'Hi'))
  const b = await dial('b')
  b.receive(millis.start(70, 'ses_1'))
  await tick()
  await b.call.end()
  t.strictSame(b.frames, [toMillis.complete(70), toMillis.endCall(70)])
})

t.test('a greeting that was cut off before its first word is said by the next node', async t => {
  const { cluster, dial } = nodes(t, 'retell', async function * ({ signal, call }) {
    if (call.state['tried'] === undefined) {
      call.state['tried'] = true
      await new Promise(resolve => signal.addEventListener('abort', resolve))
    }
    yield 'Hello!'
  })
  const first = await dial('a')
  first.receive(start('retell'))
  await tick()
  t.equal(cluster.read('call_1', 'call').isGreeted, false)
  first.hangUp(1006)
  t.equal(cluster.entries.size, 1, 'it waits')

  const second = await dial('b')
  // What was set in a turn that never ended is not kept.
  second.call.state['tried'] = true
  await second.completed(0)
  t.equal(second.frames.map(frame => frame['content'] ?? '').join(''), 'Hello!')
})

t.test('a greeting is known to be said before its first word leaves', async t => {
  const known: unknown[] = []
  const { cluster, dial } = nodes(t, 'retell', async function * ({ signal }) {
    yield 'Hel'
    await new Promise(resolve => signal.addEventListener('abort', resolve))
  })
  const first = await dial('a')
  const { connection } = first
  const { send } = connection
  connection.send = frame => {
    if (frame.includes('Hel')) known.push(cluster.read('call_1', 'call').isGreeted)
    send.call(connection, frame)
  }
  first.receive(start('retell'))
  await first.wrote(frame => frame['content'] === 'Hel')
  t.strictSame(known, [true])
  const second = await dial('b')
  t.strictSame(second.frames, [toRetell.config, toRetell.complete(0)])
})

t.test('the newer claim wins: the older node says nothing more, and takes its end for none', async t => {
  const { told, dial, registries } = nodes(t, 'retell', async function * ({ signal, id }) {
    yield 'One, '
    await new Promise(resolve => signal.addEventListener('abort', resolve))
    yield `never ${id}`
  })
  const first = await dial('a')
  first.receive(start('retell'))
  first.receive(retell.request(1, 'Hi'))
  await first.wrote(frame => frame['response_id'] === 1)
  const before = first.frames.length
  const second = await dial('b')
  await tick()
  t.equal(first.frames.length, before)
  t.strictSame(first.closes, ['terminate'])
  t.equal(registries.get('a')?.size, 0)
  first.hangUp(1006)
  second.hangUp(1000)
  await tick()
  t.strictSame(told, ['a started', 'b resumed', 'b ended'])
})

t.test('a call that comes back to a node after it was elsewhere is what it was there', async t => {
  const { told, dial, registries } = nodes(t, 'retell', turn => {
    turn.call.state['said'] = `${String(turn.call.state['said'] ?? '')}${turn.id}`
    return says(turn)
  })
  const a = await dial('a')
  a.receive(start('retell'))
  a.hangUp(1006)
  const stale = registries.get('a')!.get('call_1')
  const b = await dial('b')
  b.receive(retell.request(1, 'Hi'))
  t.equal(stale?.state['said'], '0')
  const again = await dial('a')
  t.not(again.call, stale)
  t.equal(again.call.state['said'], '01')
  t.equal(registries.get('a')!.get('call_1'), again.call)
  t.strictSame(told, ['a started', 'b resumed', 'a resumed'])
})

t.test('a node that was not told yet of the other one learns it when it is dialled', async t => {
  const { cluster, dial, registries } = nodes(t, 'retell', says)
  const a = await dial('a')
  a.receive(start('retell'))
  a.hangUp(1006)
  const stale = registries.get('a')!.get('call_1')
  // The message is lost.
  cluster.entries.get('call_1')!.owner = undefined
  const b = await dial('b')
  b.receive(retell.request(1, 'Hi'))
  t.equal(registries.get('a')!.get('call_1'), stale)
  const again = await dial('a')
  t.not(again.call, stale)
  t.equal(again.call.completedTurns, 2)
  t.equal(registries.get('a')!.size, 1)
})

t.test('Retell dials the same node again: the call goes on, and is kept anew', async t => {
  const { cluster, told, dial } = nodes(t, 'retell', says)
  const first = await dial('a')
  first.receive(start('retell'))
  first.hangUp(1006)
  const second = await dial('a')
  t.equal(second.call, first.call)
  second.receive(retell.request(1, 'Hi'))
  t.match(cluster.read('call_1', 'call'), { turns: 2, reconnects: 1, isGreeted: true })
  t.equal(cluster.entries.get('call_1')?.epoch, 2)
  t.strictSame(told, ['a started'])
})

t.test('a closing node leaves its calls to the others, and does not say that they ended', async t => {
  for (const how of ['the socket', 'the wait']) {
    let isClosing = false
    const { told, dial, cluster, registries } = nodes(t, 'retell', says, { isClosing: () => isClosing })
    const first = await dial('a')
    first.receive(start('retell'))
    if (how === 'the wait') first.hangUp(1006)
    isClosing = true
    if (how === 'the wait') first.call.stopWaiting()
    else first.call.leave()
    first.hangUp(1006)
    await tick()
    t.strictSame(told, ['a started'], how)
    t.equal(registries.get('a')?.size, 0)
    t.equal(cluster.entries.size, 1)
    isClosing = false
    const second = await dial('b')
    second.receive(retell.request(1, 'Hi'))
    t.strictSame(second.frames.slice(1), [toRetell.complete(0), toRetell.complete(1, 'response 1')])
  }
})

t.test('a closing node leaves a Millis call by closing its socket', async t => {
  let isClosing = false
  const { told, dial, cluster } = nodes(t, 'millis', says, { isClosing: () => isClosing })
  const first = await dial('a')
  first.receive(start('millis'))
  await tick()
  isClosing = true
  first.call.leave()
  t.match(first.closes, [{ code: 1001 }])
  first.hangUp(1001)
  await tick()
  t.strictSame(told, ['a started'])
  t.equal(cluster.entries.size, 1)
})

t.test('a call that was being ended is ended by the next node, and one that was being transferred is transferred', async t => {
  for (const [action, frame] of [
    [endCall({ say: 'Bye.' }), { end_call: true }],
    [transferCall('+15550100009', { say: 'One moment.' }), { transfer_number: '+15550100009' }]
  ] as const) {
    const { dial } = nodes(t, 'retell', turn => turn.reason === 'greeting' ? 'Hello?' : [action])
    const first = await dial('a')
    first.receive(start('retell'))
    first.receive(retell.request(1, 'Bye'))
    await first.completed(1)
    const second = await dial('b')
    t.match(second.frames.slice(2), [{ response_type: 'agent_interrupt', content: '', ...frame }])
  }
})

t.test('a call that was being transferred before it was greeted is transferred', async t => {
  const { dial } = nodes(t, 'retell', says, { hooks: { onCallStart: call => call.transfer('+15550100009') } })
  const a = await dial('a')
  a.receive(start('retell'))
  t.match(a.frames.at(-1), { transfer_number: '+15550100009' })
  const b = await dial('b')
  t.match(b.frames, [toRetell.config, toRetell.complete(0), { response_type: 'agent_interrupt', transfer_number: '+15550100009' }])
})

t.test('a transfer that the caller spoke over is not carried out by the next node', async t => {
  const { dial } = nodes(t, 'retell', async function * (turn) {
    if (turn.reason === 'greeting') return yield 'Hello?'
    if (turn.id === 1) return yield transferCall('+15550100009', { say: 'One moment.' })
    await new Promise(resolve => turn.signal.addEventListener('abort', resolve))
  })
  const first = await dial('a')
  first.receive(start('retell'))
  first.receive(retell.request(1, 'Transfer me'))
  await first.completed(1)
  first.receive(retell.request(2, 'Transfer me', 'One moment.', 'No, wait!'))
  await tick()
  const second = await dial('b')
  t.strictSame(second.frames, [toRetell.config, toRetell.complete(0)])
})

t.test('Millis dials the same node again: it is claimed anew, and what another node did meanwhile is known', async t => {
  const { runs, book } = heldTool()
  const { cluster, dial, registries } = nodes(t, 'millis', booker(book))
  const a = await dial('a')
  a.receive(start('millis'))
  await a.completed(0)
  a.hangUp(1006)
  // The message that it is elsewhere is lost.
  cluster.entries.get('ses_1')!.owner = undefined
  const b = await dial('b')
  b.receive(millis.start(5, 'ses_1'))
  await b.completed(5)
  b.receive(ask('millis', 6, 'Hello?', 'Book it'))
  await tick()
  runs[0]!.settle('booked')
  await b.completed(6)
  cluster.kill('b')
  const again = await dial('a')
  again.receive(millis.start(9, 'ses_1'))
  t.equal(registries.get('a')!.get('ses_1'), a.call)
  await tick()
  t.equal(cluster.entries.get('ses_1')!.node, 'a')
  again.receive(ask('millis', 10, 'Hello?', 'Book it', 'booked', 'Book it'))
  await tick()
  t.match(await heard(again, 10), /^booked/)
  t.equal(runs.length, 1)
})

t.test('a call that is dialled in vain goes on where it is, if it is there', async t => {
  const key = { provider: 'retell', id: 'call_1' } as const
  const { cluster, dial, registries } = nodes(t, 'retell', says)
  const a = await dial('a')
  a.receive(start('retell'))
  const calls = registries.get('a')!
  decline(calls, key, await cluster.node('a').claim(key))
  a.receive(retell.request(1, 'Hi'))
  t.equal(cluster.read('call_1', 'call').turns, 2)
  // The message that it is elsewhere is lost.
  cluster.entries.get('call_1')!.owner = undefined
  await dial('b')
  decline(calls, key, await cluster.node('a').claim(key))
  t.strictSame(a.closes, ['terminate'])
  t.equal(calls.size, 0)
  decline(calls, key, await cluster.node('a').claim(key))
  t.equal(cluster.entries.get('call_1')?.owner, undefined)
})

// Tools

const none = Type.Object({})

/** A tool whose runs the test settles. */
function heldTool (options: { idempotent?: boolean, sideEffects?: boolean } = {}) {
  const runs: Array<{ key: string, settle: (result: string) => void, fail: (error: Error) => void }> = []
  const book = tool({
    name: 'book',
    description: 'Books.',
    parameters: none,
    ...options,
    execute: async (_args, { idempotencyKey, signal }) => {
      const { promise, resolve, reject } = deferred<string>()
      if (options.sideEffects === false) signal.addEventListener('abort', () => reject(signal.reason))
      runs.push({ key: idempotencyKey, settle: resolve, fail: reject })
      return await promise
    }
  })
  return { runs, book }
}

/** An agent that runs a tool in each turn but the greeting, and says what came of it. */
function booker (book: ReturnType<typeof heldTool>['book'], messages: ChatMessage[][] = []) {
  return async function * (turn: Turn): AsyncGenerator<string> {
    if (turn.reason === 'greeting') return yield 'Hello?'
    messages.push(turn.messages)
    const { content } = await runTool(turn, book, {})
    yield content
  }
}

/** What the agent said in a turn, to its end. */
async function heard (line: Line, id: number): Promise<string> {
  await line.completed(id)
  return line.frames.map(frame => frame['response_id'] === id ? frame['content'] : frame['data']?.stream_id === id ? frame['data'].content ?? '' : '').join('')
}

for (const provider of ['retell', 'millis'] as const) {
  t.test(`${provider}: what a tool did on a node that is gone is not done again, and stands in the messages`, async t => {
    const { runs, book } = heldTool()
    const messages: ChatMessage[][] = []
    const { dial } = nodes(t, provider, booker(book, messages))
    const first = await dial('a')
    first.receive(start(provider))
    await first.completed(0)
    first.receive(ask(provider, 1, 'Hello?', 'Book it'))
    await tick()
    runs[0]!.settle('booked')
    t.equal(await heard(first, 1), 'booked')

    const second = await dial('b')
    if (provider === 'millis') second.receive(millis.start(0, 'ses_1'))
    await tick()
    second.receive(ask(provider, 2, 'Hello?', 'Book it', 'booked', 'Book it'))
    t.equal(await heard(second, 2), 'booked\n(Not run again: this was done earlier in the call.)')
    t.equal(runs.length, 1)
    t.match(messages[1]!.filter(({ role }) => role === 'tool'), [{ content: 'booked' }])
  })
}

t.test('of a tool that ran when its node was lost the model is told that nobody knows, each time it asks', async t => {
  const { runs, book } = heldTool()
  const messages: ChatMessage[][] = []
  const { cluster, dial } = nodes(t, 'retell', booker(book, messages))
  const first = await dial('a')
  first.receive(start('retell'))
  await first.completed(0)
  first.receive(retell.request(1, 'Book it'))
  await tick()
  t.equal(runs.length, 1)
  t.strictSame(cluster.names('call_1'), ['call', 'facts', 'run', 'said:0', 'said:1', 'state'])

  const second = await dial('b')
  second.receive(retell.request(2, 'Book it', '', 'Book it'))
  const unknown = '{"error":"the server that ran it is gone: whether it took effect is not known"}'
  t.equal(await heard(second, 2), unknown)
  second.receive(retell.request(3, 'Book it', '', 'Book it', '', 'Did you?'))
  t.equal(await heard(second, 3), unknown)
  t.equal(runs.length, 1)
  t.match(messages[1]!.filter(({ role }) => role === 'tool'), [{ content: /whether it took effect is not known/ }])
})

t.test('a tool that is safe to repeat runs again, with the same key, and so does a look-up', async t => {
  for (const options of [{ idempotent: true }, { sideEffects: false }]) {
    const { runs, book } = heldTool(options)
    const { dial } = nodes(t, 'retell', booker(book))
    const first = await dial('a')
    first.receive(start('retell'))
    first.receive(retell.request(1, 'Book it'))
    await tick()
    const second = await dial('b')
    second.receive(retell.request(2, 'Book it', '', 'Book it'))
    await tick()
    t.equal(runs.length, 2)
    t.equal(runs[0]!.key, runs[1]!.key)
    runs[1]!.settle('booked')
    t.equal(await heard(second, 2), 'booked')
  }
})

t.test('what failed on a node that is gone may be tried again, with a key of its own only where it is known to have come to nothing', async t => {
  const { runs, book } = heldTool()
  const { dial } = nodes(t, 'retell', booker(book))
  const first = await dial('a')
  first.receive(start('retell'))
  first.receive(retell.request(1, 'Book it'))
  await tick()
  runs[0]!.fail(new Error('no'))
  await first.completed(1)
  const second = await dial('b')
  second.receive(retell.request(2, 'Book it', '', 'Book it'))
  await tick()
  t.equal(runs.length, 2)
  t.equal(runs[0]!.key, runs[1]!.key)
})

t.test('a tool that comes to its end on a node that gave the call away is reported to the one that has it', async t => {
  for (const isAsked of [true, false]) {
    const { runs, book } = heldTool()
    const messages: ChatMessage[][] = []
    const { dial } = nodes(t, 'retell', booker(book, messages))
    const first = await dial('a')
    first.receive(start('retell'))
    first.receive(retell.request(1, 'Book it'))
    await tick()
    const second = await dial('b')
    if (isAsked) {
      second.receive(retell.request(2, 'Book it', '', 'Book it'))
      await second.completed(2)
    }
    runs[0]!.settle('booked')
    await tick()
    second.receive(retell.request(3, 'Book it', '', 'Well?'))
    t.match(await heard(second, 3), /^booked\n/)
    t.equal(runs.length, 1)
    t.match(messages.at(-1)!.filter(({ role }) => role === 'tool')[0], { content: 'booked' })
  }
})

t.test('an action that a tool returned is kept with its result', async t => {
  const leave = tool({ name: 'leave', description: 'x', parameters: none, execute: () => endCall({ say: 'Bye.' }) })
  const { dial } = nodes(t, 'retell', async function * (turn) {
    if (turn.reason === 'greeting') return yield 'Hello?'
    const { action } = await runTool(turn, leave, {})
    yield 'Well. '
    if (turn.id === 2) yield action
  })
  const first = await dial('a')
  first.receive(start('retell'))
  first.receive(retell.request(1, 'Bye'))
  await first.completed(1)
  const second = await dial('b')
  second.receive(retell.request(2, 'Bye', 'Well.', 'Bye'))
  await second.completed(2)
  t.match(second.frames.at(-1), { content: 'Bye.', end_call: true })
})

// When the others do not answer

t.test('a call whose claim goes unanswered goes on with what is known here, and is kept once there is an answer', async t => {
  const { cluster, told, dial } = nodes(t, 'retell', says)
  cluster.silence()
  const line = await dial('a')
  line.receive(start('retell'))
  line.receive(retell.request(1, 'greeting 0', 'Hi'))
  t.strictSame(line.frames.slice(1), [toRetell.complete(0, 'greeting 0'), toRetell.complete(1, 'response 1')])
  t.equal(cluster.entries.size, 0)
  cluster.answer()
  await tick()
  t.strictSame(cluster.names('call_1'), ['call', 'facts', 'said:0', 'said:1', 'state'])
  t.strictSame(told, ['a started'])
  const next = await dial('b')
  t.equal(next.call.completedTurns, 2)
})

t.test('a late answer brings what another node left: what was set here is newer', async t => {
  const { cluster, dial, told } = nodes(t, 'retell', turn => {
    turn.call.state['last'] = turn.id
    if (turn.reason === 'greeting') turn.call.state['name'] = 'Ada'
    return says(turn)
  })
  const a = await dial('a')
  a.receive(start('retell'))
  a.receive(retell.request(1, 'Hi'))
  cluster.silence()
  const b = await dial('b')
  b.receive(retell.details({ call_status: 'ongoing' }))
  b.receive(retell.request(5, 'Hi', 'response 1', 'Again'))
  t.strictSame(b.frames.slice(1), [toRetell.complete(0), toRetell.complete(5, 'response 5')], 'Retell says that it began long ago')
  t.strictSame(b.call.state, { last: 5 })
  cluster.answer()
  t.strictSame({ ...b.call.state }, { last: 5, name: 'Ada' })
  t.match(b.call.figures, { completedTurns: 3, turns: 3, isGreeted: true })
  await tick()
  t.strictSame(cluster.names('call_1'), ['call', 'facts', 'incomplete', 'said:0', 'said:1', 'said:2', 'state'])
  t.equal(cluster.read('call_1', 'said:2').text, 'response 5')
  t.strictSame(a.closes, ['terminate'])
  t.strictSame(told, ['a started', 'b resumed'])
})

/** Nodes of which one takes a call while nobody answers it; its caller is greeted. */
async function greetedInSilence (t: Test, provider: Provider, agent: (turn: Turn) => Reply) {
  const all = nodes(t, provider, agent)
  all.cluster.silence()
  const a = await all.dial('a')
  a.receive(start(provider))
  await a.completed(0)
  return { a, ...all }
}

t.test('a tool with side effects waits for what another node may have done, and a look-up does not', async t => {
  for (const sideEffects of [true, false]) {
    const { runs, book } = heldTool({ sideEffects })
    const { cluster, dial } = nodes(t, 'retell', booker(book))
    const a = await dial('a')
    a.receive(start('retell'))
    a.receive(retell.request(1, 'Hello?', 'Book it'))
    await tick()
    runs[0]!.settle('booked')
    await a.completed(1)
    cluster.silence()
    const b = await dial('b')
    b.receive(retell.request(2, 'Hello?', 'Book it', 'booked', 'Book it'))
    await tick()
    t.equal(runs.length, sideEffects ? 1 : 2, 'words of ours that were not said here: it was elsewhere')
    cluster.answer()
    if (!sideEffects) runs[1]!.settle('booked')
    t.match(await heard(b, 2), /^booked/)
    t.equal(runs.length, sideEffects ? 1 : 2)
  }
})

t.test('on Millis, which does not say that it dials again, words of ours show it, also where the caller was greeted once more', async t => {
  for (const isGreeted of [true, false]) {
    const { runs, book } = heldTool()
    const { cluster, dial } = nodes(t, 'millis', booker(book))
    const a = await dial('a')
    a.receive(start('millis'))
    await a.completed(0)
    a.receive(ask('millis', 1, 'Hello?', 'Book it'))
    await tick()
    t.equal(runs.length, 1)
    cluster.silence()
    const b = await dial('b')
    b.receive(millis.start(2, 'ses_1'))
    if (isGreeted) await b.completed(2)
    b.receive(ask('millis', 3, 'Hello?', 'Book it', 'Well, ', 'Book it'))
    await tick()
    t.equal(runs.length, 1)
    cluster.answer()
    t.match(await heard(b, 3), /not known/)
    t.equal(runs.length, 1)
  }
})

t.test('what a node may have done that could tell nobody any more is not done by the next one before the model was told', async t => {
  for (const provider of ['retell', 'millis'] as const) {
    for (const isIdempotent of [false, true]) {
      const { runs, book } = heldTool({ idempotent: isIdempotent })
      const { a, cluster, dial } = await greetedInSilence(t, provider, booker(book))
      a.receive(ask(provider, 1, 'Hello?', 'Book it'))
      await tick()
      t.equal(runs.length, 1)
      cluster.kill('a')
      const b = await dial('b')
      if (provider === 'millis') b.receive(millis.start(2, 'ses_1'))
      await tick()
      cluster.answer()
      b.receive(ask(provider, 3, 'Hello?', 'Book it', 'Well, ', 'Book it'))
      await tick()
      t.equal(runs.length, isIdempotent ? 2 : 1)
      runs[1]?.settle('booked')
      t.match(await heard(b, 3), isIdempotent ? /^booked/ : /not known/)
      b.receive(ask(provider, 4, 'Hello?', 'Book it', 'Well, ', 'Book it', 'I do not know.', 'Book it all the same'))
      await tick()
      t.equal(runs.length, 2, 'who asks again has been told')
      runs[1]!.settle('booked')
      t.match(await heard(b, 4), /^booked/)
    }
  }
})

t.test('that is known to the node after it, too', async t => {
  const { runs, book } = heldTool()
  const books = booker(book)
  const { a, cluster, dial } = await greetedInSilence(t, 'retell', turn => turn.id === 2 ? new Promise<string>(() => {}) : books(turn))
  a.receive(retell.request(1, 'Hello?', 'Book it'))
  await tick()
  cluster.kill('a')
  const b = await dial('b')
  b.receive(retell.request(2, 'Hello?', 'Book it', 'Well, ', 'Hello?'))
  cluster.answer()
  await tick()
  cluster.kill('b')
  const c = await dial('c')
  c.receive(retell.request(3, 'Hello?', 'Book it', 'Well, ', 'Book it'))
  t.match(await heard(c, 3), /not known/)
  t.equal(runs.length, 1)
  cluster.kill('c')
  const d = await dial('d')
  d.receive(retell.request(4, 'Hello?', 'Book it', 'Well, ', 'Book it', 'I do not know.', 'Book it all the same'))
  await tick()
  t.equal(runs.length, 2)
})

/** An agent that books where the last that was heard says so, and else is heard to listen. */
function willing (book: ReturnType<typeof heldTool>['book'], greeting = 'Hello?') {
  const books = booker(book)
  return (turn: Turn) => turn.reason === 'greeting' ? greeting : /book/i.test(turn.transcript.at(-1)!.content) ? books(turn) : 'Yes?'
}

t.test('so it is until the model was told, whatever is said before', async t => {
  const { runs, book } = heldTool()
  const { a, cluster, dial } = await greetedInSilence(t, 'retell', willing(book))
  a.receive(retell.request(1, 'Hello?', 'Book it'))
  await tick()
  cluster.kill('a')
  const b = await dial('b')
  b.receive(retell.details({ call_status: 'ongoing' }))
  cluster.answer()
  b.receive(retell.request(2, 'Hello?', 'Book it', '', 'Are you there?'))
  t.equal(await heard(b, 2), 'Yes?')
  b.receive(retell.request(3, 'Hello?', 'Book it', '', 'Are you there?', 'Yes?', 'So did you book it?'))
  t.match(await heard(b, 3), /not known/)
  t.equal(runs.length, 1)
})

t.test('what is asked for after that is done at once', async t => {
  const booked: string[] = []
  const book = tool({
    name: 'book',
    description: 'Books.',
    parameters: Type.Object({ day: Type.String() }),
    execute: ({ day }) => `booked ${booked.push(day)}`
  })
  const { a, cluster, dial } = await greetedInSilence(t, 'retell', async function * (turn) {
    if (turn.reason === 'greeting') return yield 'Hello?'
    for (const day of turn.transcript.at(-1)!.content.split(' and ')) yield (await runTool(turn, book, { day })).content
  })
  a.receive(retell.request(1, 'Hello?', 'Monday and Tuesday'))
  await a.completed(1)
  cluster.kill('a')
  const b = await dial('b')
  b.receive(retell.details({ call_status: 'ongoing' }))
  cluster.answer()
  b.receive(retell.request(2, 'Hello?', 'Monday and Tuesday', '', 'Monday and Tuesday'))
  await b.completed(2)
  t.strictSame(booked, ['Monday', 'Tuesday'])
  b.receive(retell.request(3, 'Hello?', 'Monday and Tuesday', '', 'Monday and Tuesday', 'I do not know.', 'Friday'))
  await b.completed(3)
  t.strictSame(booked, ['Monday', 'Tuesday', 'Friday'])
})

t.test('a call that comes back to a node while nobody answers was elsewhere if it has words that were not said here', async t => {
  for (const hasAnswered of [true, false]) {
    const { runs, book } = heldTool()
    const { cluster, dial } = nodes(t, 'retell', willing(book))
    const a = await dial('a')
    a.receive(start('retell'))
    await a.completed(0)
    if (hasAnswered) {
      a.receive(retell.request(1, 'Hello?', 'Hi'))
      await a.completed(1)
    }
    const earlier = hasAnswered ? ['Hello?', 'Hi', 'Yes?'] : ['Hello?']
    a.hangUp(1006)
    // The message that it is elsewhere is lost.
    cluster.entries.get('call_1')!.owner = undefined
    const b = await dial('b')
    b.receive(retell.request(2, ...earlier, 'Book it'))
    await tick()
    runs[0]!.settle('booked')
    await b.completed(2)
    cluster.kill('b')
    cluster.silence()
    const again = await dial('a')
    again.receive(retell.details({ call_status: 'ongoing' }))
    again.receive(retell.request(4, ...earlier, 'Book it', 'booked', 'Did you book it?'))
    t.match(await heard(again, 4), /not known/)
    t.equal(runs.length, 1)
  }
})

t.test('a call that Retell says goes on was elsewhere, though nobody has said a word and the others answer by then', async t => {
  const { runs, book } = heldTool()
  const { a, cluster, dial } = await greetedInSilence(t, 'retell', willing(book, ''))
  a.receive(retell.request(1, '', 'Book it'))
  await tick()
  cluster.kill('a')
  const b = await dial('b')
  cluster.answer()
  b.receive(retell.details({ call_status: 'ongoing' }))
  b.receive(retell.request(2, '', 'Book it'))
  t.match(await heard(b, 2), /not known/)
  t.equal(runs.length, 1)
})

t.test('a call that was never elsewhere books, though Retell dials it again while nobody answers', async t => {
  for (const isAnswered of [false, true]) {
    const { runs, book } = heldTool()
    const { a, cluster, dial, told } = await greetedInSilence(t, 'retell', willing(book))
    a.hangUp(1006)
    const again = await dial('a')
    again.receive(retell.details({ call_status: 'ongoing' }))
    if (isAnswered) cluster.answer()
    await tick()
    again.receive(retell.request(2, 'Hello?', 'Book it'))
    await tick()
    t.equal(runs.length, 1)
    t.strictSame(told, ['a started'])
  }
})

t.test('a new call books where the others are slow, whatever Millis itself has said in it', async t => {
  const { runs, book } = heldTool()
  const { a, cluster } = await greetedInSilence(t, 'millis', willing(book))
  cluster.answer(false)
  await tick()
  a.receive(millis.request(1, 'Hello?', '', 'Are you still there?', 'Book it'))
  await tick()
  t.equal(runs.length, 1)
})

t.test('a caller who was greeted twice in the same words was elsewhere, too', async t => {
  const { runs, book } = heldTool()
  const { a, cluster, dial } = await greetedInSilence(t, 'millis', booker(book))
  a.receive(ask('millis', 1, 'Hello?', 'Book it'))
  await tick()
  t.equal(runs.length, 1)
  cluster.kill('a')
  const b = await dial('b')
  b.receive(millis.start(2, 'ses_1'))
  await b.completed(2)
  b.receive(ask('millis', 3, 'Hello?', 'Book it', 'Hello?', 'Book it'))
  cluster.answer()
  t.match(await heard(b, 3), /not known/)
  t.equal(runs.length, 1)
})

t.test('a tool that waited for the others for too long is not run behind the model\'s back', async t => {
  const { pass } = useClock(t)
  const { runs, book } = heldTool()
  const { cluster, dial } = nodes(t, 'retell', booker(book))
  cluster.silence()
  const b = await dial('b')
  b.receive(retell.request(2, 'Hello?', 'Book it', 'Well, ', 'Book it'))
  await pass(book.timeoutMs)
  t.match(await heard(b, 2), /no result within 10000 ms/)
  cluster.answer()
  await tick()
  t.equal(runs.length, 0)
})

t.test('a new call books at once, though nobody answers', async t => {
  const { runs, book } = heldTool()
  const { a } = await greetedInSilence(t, 'retell', booker(book))
  a.receive(retell.request(1, 'Hello?', 'Book it'))
  await tick()
  t.equal(runs.length, 1)
})

t.test('a node that is dialled again while nobody answers counts nothing twice once there is an answer', async t => {
  const { cluster, told, dial } = nodes(t, 'retell', says)
  const first = await dial('a')
  first.receive(start('retell'))
  first.receive(retell.request(1, 'greeting 0', 'Hi'))
  first.hangUp(1006)
  cluster.silence()
  const second = await dial('a')
  t.equal(second.call, first.call)
  second.receive(retell.request(1, 'greeting 0', 'Hi', 'response 1', 'Again'))
  cluster.answer()
  await tick()
  t.match(second.call.figures, { turns: 3, completedTurns: 3, reconnects: 1 })
  t.equal(second.call.spoken.length, 3)
  t.equal(second.call.isForeign, false)
  t.strictSame(cluster.names('call_1'), ['call', 'facts', 'said:0', 'said:1', 'said:2', 'state'])
  t.strictSame(told, ['a started'])
})

t.test('what another node left is known, though this one is dialled again before it was told', async t => {
  const { runs, book } = heldTool()
  const { cluster, dial } = nodes(t, 'retell', booker(book))
  const a = await dial('a')
  a.receive(start('retell'))
  a.receive(retell.request(1, 'Hello?', 'Book it'))
  await tick()
  runs[0]!.settle('booked')
  await a.completed(1)
  cluster.silence()
  const b = await dial('b')
  b.receive(retell.details({ call_status: 'ongoing' }))
  b.hangUp(1006)
  // Redis has carried out the first claim of this node, and what it answered is not listened to.
  cluster.answerNobody()
  const again = await dial('b')
  t.equal(again.call, b.call)
  again.receive(retell.request(2, 'Hello?', 'Book it', 'booked', 'Book it'))
  await tick()
  t.match(await heard(again, 2), /^booked\n/)
  t.equal(runs.length, 1)
})

t.test('what was done while nobody answered is not forgotten, though by the record another node has the call', async t => {
  const { runs, book } = heldTool()
  const { cluster, dial } = nodes(t, 'retell', booker(book))
  const a = await dial('a')
  a.receive(start('retell'))
  cluster.silence()
  const b = await dial('b')
  // It was told in time that it is going on, or it was not.
  b.receive(start('retell'))
  await b.completed(0)
  b.receive(retell.request(1, 'Hello?', 'Book it'))
  await tick()
  runs[0]!.settle('booked')
  await b.completed(1)
  b.hangUp(1006)
  cluster.forget()
  const again = await dial('b')
  again.receive(retell.request(2, 'Hello?', 'Book it', 'booked', 'Book it'))
  await tick()
  t.equal(runs.length, 1)
})

t.test('a Millis call that was asked for something at once, or was greeted once more, waits for what another node may have done', async t => {
  for (const isGreeted of [false, true]) {
    const { runs, book } = heldTool()
    const { cluster, dial } = nodes(t, 'millis', booker(book))
    const a = await dial('a')
    a.receive(start('millis'))
    await a.completed(0)
    a.receive(ask('millis', 1, 'Hello?', 'Book it'))
    await tick()
    runs[0]!.settle('booked')
    await a.completed(1)
    cluster.silence()
    const b = await dial('b')
    b.receive(millis.start(7, 'ses_1'))
    if (isGreeted) await b.completed(7)
    b.receive(ask('millis', 8, 'Hello?', 'Book it', 'booked', 'Book it'))
    await tick()
    t.equal(runs.length, 1, String(isGreeted))
    cluster.answer()
    await tick()
    t.equal(runs.length, 1)
    runs[1]?.settle('x')
    t.match(await heard(b, 8), /^booked/)
  }
})

t.test('words that are just being said are nobody else\'s', async t => {
  const { runs, book } = heldTool()
  const { cluster, dial } = nodes(t, 'retell', async function * (turn) {
    yield 'Hello?'
    if (turn.reason === 'greeting') await new Promise(resolve => turn.signal.addEventListener('abort', resolve))
    else await runTool(turn, book, {})
  })
  cluster.silence()
  const a = await dial('a')
  a.receive(start('retell'))
  await a.wrote(frame => frame['content'] === 'Hello?')
  a.receive(retell.request(1, 'Hello', 'Book it'))
  await tick()
  t.equal(runs.length, 1)
})

t.test('a call that begins with words of ours is resumed', async t => {
  const { cluster, dial, told } = nodes(t, 'retell', says)
  cluster.silence()
  const b = await dial('b')
  b.receive(retell.update('Hello?', 'greeting 0'))
  t.strictSame(told, ['b resumed'])
})

t.test('a call of which it turns out in time that it was greeted is not greeted', async t => {
  const { cluster, dial, told } = nodes(t, 'retell', says)
  const a = await dial('a')
  a.receive(start('retell'))
  cluster.silence()
  const b = await dial('b')
  cluster.answer()
  b.receive(start('retell'))
  t.strictSame(b.frames, [toRetell.config, toRetell.complete(0)])
  t.strictSame(told, ['a started', 'b resumed'])
})

t.test('a transfer that turns up late is carried out, unless the caller has spoken since', async t => {
  for (const hasSpoken of [false, true]) {
    const { cluster, dial } = nodes(t, 'retell', turn => turn.reason === 'greeting' ? 'Hello?' : turn.id === 1 ? [transferCall('+15550100009', { say: 'One moment.' })] : 'Yes?')
    const a = await dial('a')
    a.receive(start('retell'))
    a.receive(retell.request(1, 'Transfer me'))
    await a.completed(1)
    cluster.silence()
    const b = await dial('b')
    b.receive(retell.details({ call_status: 'ongoing' }))
    if (hasSpoken) b.receive(retell.request(2, 'Hello?', 'Transfer me', 'One moment.', 'No'))
    const before = b.frames.length
    cluster.answer()
    await tick()
    if (!hasSpoken) t.match(b.frames.slice(before), [{ response_type: 'agent_interrupt', transfer_number: '+15550100009' }])
    else {
      t.strictSame(b.frames.slice(before), [])
      await b.call.end()
      t.match(b.frames.slice(before), [{ end_call: true }])
    }
  }
})

t.test('a transfer that turns up while the provider is away is carried out when it is back', async t => {
  const { cluster, dial } = nodes(t, 'retell', turn => turn.reason === 'greeting' ? 'Hello?' : [transferCall('+15550100009')])
  const a = await dial('a')
  a.receive(start('retell'))
  a.receive(retell.request(1, 'Transfer me'))
  cluster.silence()
  const b = await dial('b')
  b.receive(retell.details({ call_status: 'ongoing' }))
  b.hangUp(1006)
  cluster.answer()
  const again = await dial('b')
  t.match(again.frames.slice(2), [{ response_type: 'agent_interrupt', transfer_number: '+15550100009' }])
})

t.test('of a call that never began nothing is kept, nor told, and who else had it keeps what it was', async t => {
  const ends: unknown[] = []
  const listen = (message: unknown): void => { ends.push(message) }
  callChannel.subscribe(listen)
  t.teardown(() => callChannel.unsubscribe(listen))
  const { cluster, dial } = nodes(t, 'retell', says)
  const a = await dial('a')
  await dial('a')
  t.equal(Object.keys(cluster.entries.get('call_1')!.fields).length, 0)
  const b = await dial('b')
  t.strictSame(a.calls.size, 0)
  b.hangUp(1006)
  t.equal(cluster.entries.size, 0)
  t.strictSame(ends, [])
})

t.test('a tool that runs while the claim is answered stands in the messages of the next node', async t => {
  const { runs, book } = heldTool()
  const messages: ChatMessage[][] = []
  const { a, cluster, dial } = await greetedInSilence(t, 'retell', booker(book, messages))
  a.receive(retell.request(1, 'Hello?', 'Book it'))
  await tick()
  t.equal(runs.length, 1)
  cluster.answer()
  await tick()
  cluster.kill('a')
  const b = await dial('b')
  b.receive(retell.request(2, 'Hello?', 'Book it', '', 'Well?'))
  await b.completed(2)
  t.match(messages.at(-1)!.filter(({ role }) => role === 'tool'), [{ content: /whether it took effect is not known/ }])
})

t.test('a tool that was called while nobody answered is told from another node\'s of the same id', async t => {
  const messages: ChatMessage[][] = []
  const { runs, book } = heldTool()
  const { cluster, dial } = nodes(t, 'retell', async function * (turn) {
    if (turn.reason === 'greeting') return yield 'Hello?'
    messages.push(turn.messages)
    if (turn.id === 3) return yield 'Well.'
    const { content } = await runTool(turn, tool({ name: turn.id === 1 ? 'first' : 'second', description: 'x', parameters: none, sideEffects: turn.id === 1, execute: book.execute }), {}, 'same')
    yield content
  })
  const a = await dial('a')
  a.receive(start('retell'))
  a.receive(retell.request(1, 'Hello?', 'Book it'))
  await tick()
  runs[0]!.settle('booked first')
  await a.completed(1)
  cluster.silence()
  const b = await dial('b')
  b.receive(retell.details({ call_status: 'ongoing' }))
  b.receive(retell.request(2, 'Hello?', 'Book it', 'booked first', 'Look'))
  await tick()
  t.equal(runs.length, 2)
  cluster.answer()
  await tick()
  runs[1]!.settle('looked second')
  await b.completed(2)
  b.receive(retell.request(3, 'Hello?', 'Book it', 'booked first', 'Look', 'looked second', 'Well?'))
  await tick()
  t.match(messages.at(-1)!.filter(({ role }) => role === 'tool'), [{ content: 'booked first' }, { content: 'looked second' }])
})

// What is written

t.test('what cannot be read is left out, and complained of by name', async t => {
  const { cluster, dial } = nodes(t, 'retell', says)
  const a = await dial('a')
  a.receive(start('retell'))
  const { fields } = cluster.entries.get('call_1')!
  Object.assign(fields, { facts: '{"from":1}', state: '[', 'said:0': '{}', 'run:x': '{}', 'run:y': '[' })
  const b = await dial('b')
  t.match(b.complaints, [{ msg: 'what another node left of the call cannot all be read', fields: ['facts', 'said:0', 'state'] }])
  t.equal(b.call.from, undefined)
  t.strictSame({ ...b.call.state }, {})
  t.equal(b.call.completedTurns, 1)
})

t.test('a run that cannot be read is as good as none', async t => {
  const { runs, book } = heldTool()
  const { cluster, dial } = nodes(t, 'retell', booker(book))
  const a = await dial('a')
  a.receive(start('retell'))
  await a.completed(0)
  Object.assign(cluster.entries.get('call_1')!.fields, { 'run:x': '[', 'run:y': '{"key":1}' })
  const b = await dial('b')
  b.receive(retell.request(1, 'Hello?', 'Book it'))
  await tick()
  t.equal(runs.length, 1)
})

t.test('an action that no node knows, or that leaves no call, does not end the call', async t => {
  for (const leaving of [{ action: 'fly' }, { action: 'press-digits', digits: '1' }]) {
    const { cluster, dial } = nodes(t, 'retell', says)
    const a = await dial('a')
    a.receive(start('retell'))
    const entry = cluster.entries.get('call_1')!
    entry.fields['call'] = JSON.stringify({ ...cluster.read('call_1', 'call'), leaving })
    const b = await dial('b')
    t.strictSame(b.frames, [toRetell.config, toRetell.complete(0)])
  }
})

t.test('a record without figures is that of a call which never began', async t => {
  const { cluster, told, dial } = nodes(t, 'retell', says)
  await cluster.node('a').claim({ provider: 'retell', id: 'call_1' })
  const b = await dial('b')
  b.receive(start('retell'))
  t.strictSame(b.frames.slice(1), [toRetell.complete(0, 'greeting 0')])
  t.strictSame(told, ['b started'])
})

t.test('a state that is no JSON is complained of once, and the rest is kept', async t => {
  const { cluster, dial } = nodes(t, 'retell', turn => {
    turn.call.state['self'] = turn.call.state
    return says(turn)
  })
  const a = await dial('a')
  a.receive(start('retell'))
  a.receive(retell.request(1, 'Hi'))
  t.match(a.complaints, [{ msg: "the call's state cannot be written as JSON: another node would not have it" }])
  t.equal(cluster.read('call_1', 'call').turns, 2)
})

t.test('what is said outside of turns is kept', async t => {
  const { cluster, dial } = nodes(t, 'retell', says)
  const a = await dial('a')
  a.receive(start('retell'))
  await a.call.interject('By the way.')
  await a.call.transfer('+15550100009', { say: 'Off you go.' })
  t.equal(cluster.read('call_1', 'said:1').text, 'By the way.')
  t.equal(cluster.read('call_1', 'said:2').text, 'Off you go.')
  t.match(cluster.read('call_1', 'call'), { controls: 2, leaving: { action: 'transfer-call' } })
})

t.test('fillers that another node said are not history', async t => {
  const messages: ChatMessage[][] = []
  const { pass } = useClock(t)
  const { dial } = nodes(t, 'retell', async function * (turn) {
    if (turn.reason === 'greeting') return yield 'Hello?'
    messages.push(turn.messages)
    await new Promise(resolve => setTimeout(resolve, 2_000))
    yield 'Tuesday.'
  }, { filler: 'Let me see.', deadlines: { fillerMs: 1_000 } })
  const a = await dial('a')
  a.receive(start('retell'))
  a.receive(retell.request(1, 'Hello?', 'When?'))
  await pass(2_000)
  await a.completed(1)
  const b = await dial('b')
  b.receive(retell.request(2, 'Hello?', 'When?', 'Let me see. Tuesday.', 'Fine'))
  t.strictSame(messages[1], [
    { role: 'user', content: '(The call has connected.)' },
    { role: 'assistant', content: 'Hello?' },
    { role: 'user', content: 'When?' },
    { role: 'assistant', content: 'Tuesday.' },
    { role: 'user', content: 'Fine' }
  ])
})

for (const source of ['the deadline', 'a tool'] as const) {
  t.test(`a filler of ${source} is not history where its node dies before the turn ends`, async t => {
    const messages: ChatMessage[][] = []
    const { pass } = useClock(t)
    const { cluster, dial } = nodes(t, 'retell', async function * (turn) {
      if (turn.reason === 'greeting') return yield 'Hello?'
      messages.push(turn.messages)
      if (turn.id === 2) return yield 'Sorry?'
      if (source === 'a tool') {
        yield toolCall('call_book', 'book', {})
        yield filler('One moment.')
      }
      yield await deferred<string>().promise
    }, { filler: 'One moment.', deadlines: { fillerMs: 1_000 } })
    const a = await dial('a')
    a.receive(start('retell'))
    a.receive(retell.request(1, 'Hello?', 'Tuesday, please'))
    await tick()
    await pass(2_000)
    t.match(a.frames.at(-1), { content: 'One moment. ' })
    cluster.kill('a')
    const b = await dial('b')
    b.receive(retell.request(2, 'Hello?', 'Tuesday, please', 'One moment.', 'Hello?'))
    t.notMatch(JSON.stringify(messages.at(-1)), 'One moment')
    t.match(messages.at(-1)!.at(-1), { role: 'user', content: /Hello\?$/ })
  })
}

// Who is expected

t.test('a Millis call that another node was told to expect is taken, and one that nobody expects is refused', async t => {
  const expected: Call[] = []
  const { cluster, dial, registries } = nodes(t, 'millis', says, { expects: () => false, hooks: { onCallStart: call => { expected.push(call) } } })
  cluster.admitted.add('ses_1')
  const line = await dial('a')
  line.receive(millis.start(0, 'ses_1'))
  await tick()
  t.strictSame(line.frames, [toMillis.complete(0, 'greeting 0')])
  const other = await dial('a')
  other.receive(millis.start(0, 'ses_2'))
  await tick()
  t.match(other.closes, [{ code: 1008 }])
  t.strictSame(expected.map(({ id }) => id), ['ses_1'])
  t.equal(registries.get('a')?.refusals.call, 1)
})
