/**
 * Calls survive their servers: real nodes behind a real HAProxy, with a real Redis, and callers that dial again as the
 * providers do. `npm run bench -- --only chaos` is the same with many calls, at random.
 */
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { hold, MillisCaller, RetellCaller, type Clock, type Reply } from '../../lib/testing/index.js'
import { Cluster, noCluster, type ClusterOptions } from '../helpers/real-cluster/cluster.js'
import type { Node } from '../helpers/real-cluster/node.js'
import { gate } from '../helpers/real-cluster/office.js'
import { booked, bookingOf, question, readAnswer, UNKNOWN, type Heard } from '../helpers/real-cluster/talk.js'
import { until } from '../helpers/redis.js'

const skip = noCluster

type Caller = RetellCaller | MillisCaller

async function start (t: Test, options: Partial<ClusterOptions> = {}): Promise<Cluster> {
  const cluster = await Cluster.start({
    nodes: 3,
    redis: 'kept',
    gapMs: 1,
    ...options,
    env: { DRAIN_TIMEOUT_MS: '300', ...options.env }
  })
  t.teardown(() => cluster.stop())
  return cluster
}

/** How long a caller waits for an answer. */
const TIMEOUT_MS = 15_000

let dialled = 0

/** Calls of both providers in turn, which the balancer gives to the nodes in turn. They hang up when the test ends. */
async function dial (t: Test, { balancer: { url } }: Cluster, count: number, more: { clock?: Clock, headers?: Record<string, string> } = {}): Promise<Caller[]> {
  const options = { redialMs: 50, timeoutMs: TIMEOUT_MS, ...more }
  const calls: Caller[] = []
  for (let i = 0; i < count; i++) {
    calls.push(i % 2 === 0
      ? await RetellCaller.dial(`${url}/llm-websocket`, { callId: `call_${++dialled}`, ...options })
      : await MillisCaller.dial(`${url}/millis`, { sessionId: `ses_${++dialled}`, redials: 4, ...options }))
  }
  t.teardown(() => Promise.all(calls.map(call => call.hangUp())))
  return calls
}

function idOf (call: Caller): string {
  return call instanceof RetellCaller ? call.callId : call.sessionId
}

function heardIn (reply: Reply): Heard {
  const heard = readAnswer(reply.text)
  if (heard === undefined || reply.outcome !== 'completed') throw new Error(`${reply.outcome}: ${JSON.stringify(reply.text)}`)
  return heard
}

async function say (call: Caller, text: string): Promise<Heard> {
  return heardIn(await call.say(text))
}

async function sayAll (calls: readonly Caller[], text = question(1)): Promise<Heard[]> {
  return await Promise.all(calls.map(call => say(call, text)))
}

/** Those of the calls that are on this node, by an answer of each. */
function on (node: Node, calls: readonly Caller[], answers: readonly Heard[]): Caller[] {
  return calls.filter((_, index) => answers[index]!.node === node.name)
}

/** No caller has noticed more than a line that broke, as often as it did. */
function unnoticed (t: Test, calls: readonly Caller[], breaks: (call: Caller) => number): void {
  for (const call of calls) {
    t.strictSame(call.findings.map(({ code }) => code), Array(breaks(call)).fill('broken-connection'), idOf(call))
    t.equal(call.replies.filter(({ reason, text }) => reason === 'greeting' && text !== '').length, 1)
    t.equal(call.end, undefined)
  }
}

t.test('many nodes', { skip }, async t => {
  // Whoever waited until a command of Redis is late would be answered too late.
  const cluster = await start(t, { env: { CLUSTER_TIMINGS: JSON.stringify({ commandTimeoutMs: TIMEOUT_MS * 4 }) } })
  const { nodes, office, model, redis, balancer } = cluster
  const normal = model.handler
  const [first] = nodes as [Node, Node, Node]

  t.test('a node that is killed in mid-answer takes no call with it', async t => {
    const calls = await dial(t, cluster, 12)
    const lost = on(first, calls, await sayAll(calls))
    t.equal(lost.length, 4)

    const held = hold()
    model.handler = () => ({ steps: ['You ', held, 'asked.'] })
    const replies = calls.map(call => call.ask(question(2)))
    await Promise.all(replies.map(reply => reply.words(7)))
    model.handler = normal
    await first.end('SIGKILL')
    held.release()
    const answers = await Promise.all(replies.map(async (reply, index) => heardIn(await calls[index]!.hear(reply))))
    t.strictSame(answers.map(({ number }) => number), Array(12).fill(2), 'what was said is known, and nothing else')
    t.notOk(answers.some(({ node }) => node === first.name))
    t.strictSame(replies.filter(({ outcome }) => outcome === 'lost').length, 4)
    unnoticed(t, calls, call => lost.includes(call) ? 1 : 0)

    await cluster.revive(first)
    t.strictSame((await sayAll(calls)).map(({ number }) => number), Array(12).fill(3))
    for (const call of calls) await call.hangUp()
    while (office.ends.length < 12) await once(office.events, 'end')
    t.strictSame(office.ends.toSorted(), calls.map(idOf).toSorted(), 'each has one end')
  })

  t.test('what a node that is killed was doing is not done again, and the model is told that nobody knows', async t => {
    const calls = await dial(t, cluster, 6)
    const lost = on(first, calls, await sayAll(calls))
    t.equal(lost.length, 2)
    office.bookings.length = 0
    const held = office.gate = gate()
    const replies = lost.map(call => call.ask(bookingOf(idOf(call))))
    while (office.bookings.length < 2) await once(office.events, 'booking')
    model.requests.length = 0
    await first.end('SIGKILL')
    const answers = await Promise.all(replies.map(async (reply, index) => heardIn(await lost[index]!.hear(reply))))
    t.strictSame(answers.map(({ words }) => words), [UNKNOWN, UNKNOWN])
    t.strictSame(model.requests.map(({ body: { messages } }) => messages.at(-1)!['content']).toSorted(), [
      ...Array(2).fill('{"error":"no result was recorded: whether it took effect is not known"}'),
      ...Array(2).fill('{"error":"the server that ran it is gone: whether it took effect is not known"}')
    ], 'what is on record, and what the tool says when it is called all the same')
    office.gate = undefined
    held.open()
    t.strictSame((await Promise.all(lost.map(call => say(call, bookingOf(idOf(call)))))).map(({ words }) => words), [UNKNOWN, UNKNOWN])
    t.strictSame(office.bookings.map(({ call }) => call).toSorted(), lost.map(idOf).toSorted())
    unnoticed(t, calls, call => lost.includes(call) ? 1 : 0)
    await cluster.revive(first)
  })

  t.test('a node that drains gives its calls away, and what it has done with them', async t => {
    const calls = await dial(t, cluster, 6)
    const moved = on(first, calls, await sayAll(calls))
    await Promise.all(calls.map(call => say(call, bookingOf(idOf(call)))))
    office.bookings.length = office.ends.length = 0
    const redialled = moved.map(call => once(call.events, 'redialled'))
    t.equal(await first.end('SIGTERM'), 0)
    await Promise.all(redialled)
    const answers = await Promise.all(calls.map(call => say(call, bookingOf(idOf(call)))))
    t.strictSame(answers.map(({ number, words }) => [number, words]), calls.map(call => [3, booked(idOf(call))]))
    t.strictSame(office.bookings, [])
    t.strictSame(office.ends, [])
    unnoticed(t, calls, call => moved.includes(call) ? 1 : 0)
    await cluster.revive(first)
  })

  t.test('a call is controlled from any node', async t => {
    const calls = await dial(t, cluster, 3)
    const [here] = await sayAll(calls)
    const [call] = calls
    const elsewhere = nodes.find(({ name }) => name !== here!.node)!
    const interjected = once(call!.events, 'reply')
    const { status } = await fetch(`${elsewhere.url}/calls/${idOf(call!)}/interject`, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ text: 'Your taxi is here.' })
    })
    t.equal(status, 200)
    t.match((await interjected)[0], { reason: 'interjection' })
    t.match(call!.reply, { text: 'Your taxi is here.', outcome: 'completed' })
    t.match(await say(call!, question(2)), { number: 2 })
  })

  t.test('a node that freezes loses its calls, and hears of it when it goes on', async t => {
    const { now } = performance
    // As on Retell, but twice as fast.
    const clock: Clock = { now: () => now.call(performance), setTimeout: (act, ms) => setTimeout(act, ms / 2), clearTimeout: (timer: NodeJS.Timeout | undefined) => clearTimeout(timer) }
    const calls = (await dial(t, cluster, 6, { clock })).filter(call => call instanceof RetellCaller)
    const [call] = on(first, calls, await sayAll(calls)) as [RetellCaller]
    office.bookings.length = 0
    const held = office.gate = gate()
    const reply = call.ask(bookingOf(idOf(call)))
    await once(office.events, 'booking')
    office.gate = undefined
    first.freeze()
    t.match(heardIn(await call.hear(reply)), { words: UNKNOWN })
    t.strictSame(call.findings.map(({ code }) => code), ['no-keepalive'])
    held.open()
    first.thaw()
    await until(async () => /"state":"done"/.test(JSON.stringify(await redis!.client.hgetall(`voice-agent:{${idOf(call)}}:retell`)).replaceAll('\\', '')))
    t.match(await say(call, bookingOf(idOf(call))), { words: booked(idOf(call)) }, 'what became known meanwhile is told')
    t.equal(office.bookings.length, 1)
    t.equal(call.findings.length, 1)
    await balancer.knows(first.name, 'UP')
  })

  t.test('while Redis does not answer, or is gone, calls go on as ever', async t => {
    const calls = await dial(t, cluster, 12)
    let number = 0
    const goOn = async (): Promise<void> => {
      const answers = await sayAll(calls, question(++number))
      t.strictSame(answers.map(({ number }) => number), Array(12).fill(number))
    }
    await goOn()
    redis!.pause()
    await goOn()
    const [newcomer] = await dial(t, cluster, 1)
    t.match(await say(newcomer!, question(1)), { number: 1 })
    await goOn()
    redis!.resume()
    await goOn()
    await redis!.kill()
    await goOn()
    await redis!.start()
    await goOn()
    // By then it knows all again.
    const state = `{"answers":${number}}`
    for (const call of calls) {
      const key = `voice-agent:{${idOf(call)}}:${call instanceof RetellCaller ? 'retell' : 'millis'}`
      await until(async () => await redis!.client.hget(key, 'f:state') === state)
    }
    await first.end('SIGKILL')
    await goOn()
    unnoticed(t, calls, call => call.findings.length)
    await cluster.revive(first)
  })
})

t.test('a balancer of requests takes whoever a closing node refuses to another one', { skip }, async t => {
  // Retell's own address, as a proxy ahead of this one would tell it.
  const cluster = await start(t, { nodes: 2, mode: 'http', env: { RETELL_ALLOWLIST: '100.20.5.228', MILLIS_ALLOWLIST: '100.20.5.228', DRAIN_TIMEOUT_MS: '60000' } })
  const headers = { 'x-forwarded-for': '100.20.5.228' }
  const [first] = cluster.nodes as [Node]
  const calls = await dial(t, cluster, 2, { headers })
  const answers = await sayAll(calls)
  const [old] = on(first, calls, answers) as [Caller]
  const ended = first.end('SIGTERM')
  await until(async () => (await fetch(`${first.url}/ready`)).status === 503)
  const newcomers = await dial(t, cluster, 6, { headers })
  t.notOk((await sayAll(newcomers)).some(({ node }) => node === first.name))
  t.match(await say(old, question(2)), { number: 2, node: first.name }, 'who is there goes on')
  await old.hangUp()
  t.equal(await ended, 0)
})
