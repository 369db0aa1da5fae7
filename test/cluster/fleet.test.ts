import t from 'tap'
import type { CallKey } from '../../lib/cluster/cluster.js'
import { TIMINGS } from '../../lib/cluster/redis.js'
import { EXPIRY_MS, startNode, type TestNode } from '../helpers/cluster.js'
import { noRedis, until } from '../helpers/redis.js'
import { sharedRedis } from '../helpers/shared-redis.js'

const skip = noRedis

async function listed ({ cluster }: TestNode): Promise<string[]> {
  const names: string[] = []
  for await (const { node, provider, id } of cluster.calls.list()) names.push(`${node} ${provider}:${id}`)
  return names.sort()
}

t.test('the calls of all nodes are listed, and each is found', { skip }, async t => {
  const redis = await sharedRedis(t)
  const since = Date.now()
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' })]
  t.strictSame(await listed(a), [])
  const keys: CallKey[] = [{ provider: 'retell', id: 'call_1' }, { provider: 'millis', id: 'call_1' }, { provider: 'millis', id: 'b:{2}' }]
  await a.take(keys[0]!)
  const owner = await b.take(keys[1]!)
  await b.take(keys[2]!)
  const all = ['a retell:call_1', 'b millis:b:{2}', 'b millis:call_1']
  t.strictSame([await listed(a), await listed(b)], [all, all])
  t.equal((await b.cluster.calls.get('call_1'))?.node, 'b')
  const call = (await a.cluster.calls.get('b:{2}'))!
  t.match(call, { node: 'b', provider: 'millis', id: 'b:{2}' })
  t.ok(call.startedAt >= since && call.startedAt <= Date.now())
  t.equal(await a.cluster.calls.get('call_2'), undefined)
  owner.claim.lease.leave()
  await until(async () => (await listed(a)).length === 2)
  t.equal((await a.cluster.calls.get('call_1'))?.node, 'a')
  t.equal((await b.cluster.calls.get('call_1'))?.node, 'a')
})

t.test('a call that moves began when it began', { skip }, async t => {
  const redis = await sharedRedis(t)
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' })]
  await a.take({ provider: 'retell', id: 'call_1' })
  const { startedAt } = (await b.cluster.calls.get('call_1'))!
  await until(() => Date.now() > startedAt)
  await b.take({ provider: 'retell', id: 'call_1' })
  t.equal((await b.cluster.calls.get('call_1'))?.startedAt, startedAt)
})

t.test('a call that was left is nobody\'s, and found by nobody', { skip }, async t => {
  const redis = await sharedRedis(t)
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' })]
  const owner = await a.take({ provider: 'retell', id: 'call_1' })
  owner.claim.lease.leave()
  await until(async () => await b.cluster.calls.get('call_1') === undefined)
  t.equal(await a.cluster.calls.get('call_1'), undefined)
})

t.test('nodes say how many calls they have', { skip }, async t => {
  const redis = await sharedRedis(t)
  const since = Date.now()
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' })]
  a.load = 2
  b.load = 3
  await a.pass(TIMINGS.heartbeatMs - 1)
  await b.pass(TIMINGS.heartbeatMs - 1)
  t.equal(await a.cluster.calls.size(), 0)
  await a.pass(1)
  await b.pass(1)
  await until(async () => await a.cluster.calls.size() === 5)
  const nodes = (await a.cluster.calls.nodes()).sort((one, other) => one.id < other.id ? -1 : 1)
  t.strictSame(nodes.map(({ id, calls }) => [id, calls]), [['a', 2], ['b', 3]])
  t.ok(nodes.every(({ startedAt }) => startedAt >= since && startedAt <= Date.now()))
})

t.test('what a node that is silent had vanishes', { skip }, async t => {
  const redis = await sharedRedis(t)
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' })]
  await a.take({ provider: 'retell', id: 'call_1' })
  await b.take({ provider: 'retell', id: 'call_2' })
  t.strictSame(await listed(b), ['a retell:call_1', 'b retell:call_2'])
  // As it would be had its heartbeat come earlier by so many ms.
  const beatAt = Number(await redis.client.zscore('voice-agent:{nodes}:alive', 'a'))
  const silentFor = async (ms: number): Promise<void> => { await redis.client.zadd('voice-agent:{nodes}:alive', beatAt - ms, 'a') }
  await silentFor(EXPIRY_MS / 2)
  t.strictSame(await listed(b), ['a retell:call_1', 'b retell:call_2'])
  await silentFor(EXPIRY_MS)
  t.strictSame((await b.cluster.calls.nodes()).map(({ id }) => id), ['b'])
  t.strictSame(await listed(b), ['b retell:call_2'])
  t.equal(await b.cluster.calls.get('call_1'), undefined)
  const ttlMs = await redis.client.pttl('voice-agent:{node:a}:calls')
  t.ok(ttlMs > EXPIRY_MS / 2 && ttlMs <= EXPIRY_MS, `Redis forgets its list in ${ttlMs} ms`)
  await b.beat()
  await until(async () => await redis.client.hexists('voice-agent:{nodes}:load', 'a') === 0)
  t.strictSame(await redis.client.hkeys('voice-agent:{nodes}:load'), ['b'])
  // What was saved stays for whoever the provider dials.
  t.equal((await b.cluster.claim({ provider: 'retell', id: 'call_1' })).previousNode, 'a')
})

t.test('what was silent and is not any more is there again', { skip }, async t => {
  const redis = await sharedRedis(t)
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' })]
  await a.take({ provider: 'retell', id: 'call_1' })
  await redis.client.del('voice-agent:{node:a}:calls', 'voice-agent:{nodes}:alive')
  t.strictSame(await listed(b), [])
  await a.beat()
  await until(async () => (await listed(b)).length === 1)
  t.strictSame(a.lines, [])
})

t.test('the record of a call that is silent for long stays', { skip }, async t => {
  const redis = await sharedRedis(t)
  const heartbeatMs = TIMINGS.recordTtlMs / 12
  const a = await startNode(t, { redis: redis.url, node: 'a', timings: { heartbeatMs } })
  await a.take({ provider: 'retell', id: 'call_1' })
  const commands = await redis.watch(t)
  for (const round of [1, 2]) {
    await redis.client.pexpire('voice-agent:{call_1}:retell', 60_000)
    for (let beats = 0; beats < 4; beats++) await a.beat()
    t.ok(await redis.client.pttl('voice-agent:{call_1}:retell') > TIMINGS.recordTtlMs / 2, `round ${round}`)
  }
  const entries = commands.map(args => args[3 + Number(args[2])]).filter(entry => entry === 'beat' || entry === 'write')
  // With every fourth heartbeat.
  const round = ['beat', 'beat', 'beat', 'beat', 'write']
  t.strictSame(entries, [...round, ...round])
})

t.test('a silent call that another node has is found out with the next heartbeat that asks', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a', timings: { heartbeatMs: TIMINGS.recordTtlMs / 2 } })
  const owner = await a.take({ provider: 'retell', id: 'call_1' })
  await redis.client.hset('voice-agent:{call_1}:retell', 'node', 'b', 'token', 'b:1', 'epoch', '9000000000000000')
  await a.beat()
  await until(() => owner.told.length > 0)
  t.strictSame([owner.told, await listed(a)], [['fenced'], []])
})

t.test('a node that closes is gone at once, and its calls stay for others', { skip }, async t => {
  const redis = await sharedRedis(t)
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' })]
  const owner = await a.take({ provider: 'retell', id: 'call_1' })
  owner.save({ said: 'Hello' })
  await a.cluster.close()
  await a.cluster.close()
  t.strictSame((await b.cluster.calls.nodes()).map(({ id }) => id), ['b'])
  t.strictSame((await redis.client.keys('*')).sort(), ['voice-agent:{call_1}:retell', 'voice-agent:{nodes}:alive', 'voice-agent:{nodes}:load', 'voice-agent:{nodes}:since'])
  t.strictSame((await b.cluster.claim({ provider: 'retell', id: 'call_1' })).fields, { said: 'Hello' })
  t.equal((await a.cluster.claim({ provider: 'retell', id: 'call_1' })).status, 'unanswered')
  t.equal(await a.cluster.admit('call_2', 1_000), false)
  t.equal(await a.cluster.mayTake(), true)
  t.strictSame(a.failures, [])
})

t.test('all nodes share a ceiling', { skip }, async t => {
  const redis = await sharedRedis(t)
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a', maxCalls: 4 }), await startNode(t, { redis: redis.url, node: 'b', maxCalls: 4 })]
  const answers: boolean[] = []
  for (const node of [a, a, b, b, b]) {
    const mayTake = await node.cluster.mayTake()
    answers.push(mayTake)
    if (mayTake) node.load++
  }
  t.strictSame(answers, [true, true, true, true, false])
  t.equal(await a.cluster.mayTake(), false)
  a.load = 1
  t.equal(await a.cluster.mayTake(), true)
  await redis.client.zadd('voice-agent:{nodes}:alive', 1, 'b')
  a.load = 3
  // A node that is dead has no calls.
  t.equal(await a.cluster.mayTake(), true)
})

t.test('without a ceiling nobody is asked', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const commands = await redis.watch(t)
  t.equal(await a.cluster.mayTake(), true)
  await a.cluster.admit('call_1', 1_000)
  await until(() => commands.length > 0)
  t.strictSame(commands.map(([name]) => name), ['set'])
})

t.test('where the ceiling is not known in time a call may be taken', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a', maxCalls: 0 })
  t.equal(await a.cluster.mayTake(), false)
  redis.pause()
  const mayTake = a.cluster.mayTake()
  await a.pass(TIMINGS.claimTimeoutMs)
  t.equal(await mayTake, true)
  t.strictSame(a.failures, [], 'no command is late yet')
  await a.pass(TIMINGS.commandTimeoutMs)
  await until(() => a.failures.includes('ceiling'))
  t.equal(await a.cluster.mayTake(), true)
  redis.resume()
})

t.test('a call is admitted for all nodes, for as long as it was said', { skip }, async t => {
  const redis = await sharedRedis(t)
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' })]
  t.equal(await a.cluster.admit('call_1', 60_000), true)
  t.equal(await a.cluster.admit('call_2', 1), true)
  await until(async () => await redis.client.exists('voice-agent:{call_2}:admitted') === 0)
  t.equal((await b.cluster.claim({ provider: 'retell', id: 'call_1' })).isAdmitted, true)
  // Whoever takes it over finds the same.
  t.equal((await a.cluster.claim({ provider: 'retell', id: 'call_1' })).isAdmitted, true)
  t.equal((await b.cluster.claim({ provider: 'retell', id: 'call_2' })).isAdmitted, false)
})

t.test('what a call costs: so many commands and no more', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const commands = await redis.watch(t)
  const { claim: { lease } } = await a.take({ provider: 'retell', id: 'call_1' })
  lease.save({ turn: '1' })
  lease.flush()
  lease.save({ turn: '2' })
  lease.save({ said: 'Hello' })
  await until(() => commands.length === 4)
  lease.end()
  await until(() => commands.length === 6)
  // Of a script: its hash, how many keys, the keys, and which of its entries.
  t.strictSame(commands.map(args => args[0] === 'evalsha' ? args[3 + Number(args[2])] : args[0]), ['claim', 'enlist', 'write', 'write', 'hdel', 'finish'])
})

t.test('nodes with another prefix have nothing to do with each other', { skip }, async t => {
  const redis = await sharedRedis(t)
  const [a, b] = [await startNode(t, { redis: redis.url }), await startNode(t, { redis: redis.url, prefix: 'other' })]
  await a.take({ provider: 'retell', id: 'call_1' })
  t.equal((await b.cluster.claim({ provider: 'retell', id: 'call_1' })).status, 'new')
  t.strictSame((await a.cluster.calls.nodes()).map(({ id }) => id), [a.cluster.calls.node])
})
