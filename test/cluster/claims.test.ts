import { spawnSync } from 'node:child_process'
import t from 'tap'
import type { CallKey, Claim } from '../../lib/cluster/cluster.js'
import { TIMINGS } from '../../lib/cluster/redis.js'
import { startNode } from '../helpers/cluster.js'
import { noRedis, until } from '../helpers/redis.js'
import { sharedRedis } from '../helpers/shared-redis.js'

const KEY: CallKey = { provider: 'retell', id: 'call_1' }
const skip = noRedis

t.test('the first claim of a call is new', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const { lease, ...claim } = await a.cluster.claim(KEY)
  t.strictSame(claim, { status: 'new', previousNode: undefined, fields: {}, isAdmitted: false })
  t.strictSame(a.lines, [])
})

t.test('another node is told what was saved, and the one that had the call that it is fenced', { skip }, async t => {
  const redis = await sharedRedis(t)
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' })]
  const first = await a.take(KEY)
  first.save({ state: '{"n":1}', said: 'Hello' })
  first.save({ said: 'Hello there' })
  await until(async () => await redis.client.hget('voice-agent:{call_1}:retell', 'f:said') === 'Hello there')
  const { lease, ...claim } = await b.cluster.claim(KEY)
  t.strictSame(claim, { status: 'resumed', previousNode: 'a', fields: { state: '{"n":1}', said: 'Hello there' }, isAdmitted: false })
  await until(() => first.told.length > 0)
  t.strictSame(first.told, ['fenced'])
})

t.test('a fenced lease writes nothing but reports, of which the node is told that has the call', { skip }, async t => {
  const redis = await sharedRedis(t)
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' })]
  const first = await a.take(KEY)
  const second = await b.take(KEY)
  first.save({ said: 'by a' })
  first.claim.lease.report({ tool: 'done' })
  await until(() => second.reports.length > 0)
  second.save({ said: 'by b' })
  second.claim.lease.flush()
  first.save({ said: 'by a again' })
  first.claim.lease.leave()
  first.claim.lease.end()
  await until(async () => await redis.client.hget('voice-agent:{call_1}:retell', 'f:said') !== null)
  t.strictSame([first.told, second.told, second.reports], [['fenced'], [], [{ tool: 'done' }]])
  const { fields } = await a.cluster.claim(KEY)
  t.strictSame(fields, { said: 'by b', tool: 'done' })
})

t.test('a lease whose message was lost learns from its next save that it is fenced', { skip }, async t => {
  const redis = await sharedRedis(t)
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' })]
  const first = await a.take(KEY)
  // From now on it hears nothing.
  await redis.cutListeners({ forGood: true })
  const second = await b.take(KEY)
  t.strictSame([first.told, second.claim.status], [[], 'resumed'])
  first.save({ said: 'by a' })
  await until(() => first.told.length > 0)
  t.strictSame(first.told, ['fenced'])
  t.strictSame(await redis.client.hget('voice-agent:{call_1}:retell', 'f:said'), null)
})

t.test('when a node listens again, it finds out what it was not told', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const first = await a.take(KEY)
  const second = await a.take({ provider: 'millis', id: 'call_1' })
  // As another node's claim would leave it.
  await redis.client.hset('voice-agent:{call_1}:retell', 'node', 'b', 'token', 'b:1', 'epoch', '9000000000000000')
  await redis.cutListeners()
  await until(() => first.told.length > 0)
  t.strictSame([first.told, second.told], [['fenced'], []])
})

t.test('what is said before a lease is owned is said then', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const b = await startNode(t, { redis: redis.url, node: 'b' })
  const { lease } = await a.cluster.claim(KEY)
  const second = await b.take(KEY)
  lease.save({ state: 'late' })
  // Until it is on its list no more.
  await until(async () => (await redis.client.keys('*{node:a}:calls')).length === 0)
  const told: string[] = []
  lease.own({ snapshot: () => ({}), fenced: () => { told.push('fenced') }, answered: () => {}, reported: () => {} })
  t.strictSame(told, [])
  await Promise.resolve()
  t.strictSame([told, second.claim.status, second.claim.previousNode, second.told], [['fenced'], 'resumed', 'a', []])
})

t.test('a node that claims its own call anew tells nobody: whoever has it will own that claim', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const first = await a.take(KEY)
  first.save({ state: '1' })
  const second = await a.take(KEY)
  first.save({ state: 'lost' })
  t.strictSame([first.told, second.claim.status, second.claim.previousNode, second.claim.fields], [[], 'resumed', 'a', {}])
})

t.test('what the claim before had not written is written by whoever owns it anew', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const owner = await a.take(KEY)
  owner.save({ state: '1' })
  const { lease } = await a.cluster.claim(KEY)
  lease.flush()
  lease.own(owner)
  await until(async () => await redis.client.hget('voice-agent:{call_1}:retell', 'f:state') === '1')
  t.strictSame(owner.told, [])
})

t.test('a report reaches the call on its own node without Redis', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const first = await a.take(KEY)
  const second = await a.take(KEY)
  first.claim.lease.report({ tool: 'done' })
  t.strictSame(second.reports, [{ tool: 'done' }])
})

t.test('a report whose message was lost is found by the next save', { skip }, async t => {
  const redis = await sharedRedis(t)
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' })]
  const first = await a.take(KEY)
  first.save({ said: 'by a' })
  first.claim.lease.flush()
  const second = await b.take(KEY)
  await redis.cutListeners({ forGood: true })
  first.claim.lease.report({ tool: 'done' })
  await until(async () => await redis.client.hget('voice-agent:{call_1}:retell', 'f:tool') === 'done')
  t.strictSame(second.reports, [])
  second.save({ said: 'by b' })
  await until(() => second.reports.length > 0)
  t.strictSame(second.reports, [{ tool: 'done' }])
  second.save({ said: 'by b again' })
  await until(async () => await redis.client.hget('voice-agent:{call_1}:retell', 'f:said') === 'by b again')
  t.strictSame(second.reports, [{ tool: 'done' }])
})

t.test('what is saved in a tick, be it by promises that settle in it, is one command; what is flushed leaves at once', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const { claim: { lease } } = await a.take(KEY)
  const commands = await redis.watch(t)
  const saves = (): string[][] => commands.filter(([name]) => name === 'evalsha').map(args => args.slice(14))
  lease.save({ a: '1', b: '1' })
  Promise.resolve().then(() => lease.save({ b: '2' })).then(() => lease.save({ c: '3' }))
  await until(() => saves().length > 0)
  lease.save({ d: '4' })
  lease.flush()
  lease.save({ e: '5' })
  await until(() => saves().length > 2)
  t.strictSame(saves(), [['3', 'a', '1', 'b', '2', 'c', '3'], ['1', 'd', '4'], ['1', 'e', '5']])
})

t.test('of a call that is over nothing is kept, of one that is left all of it', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const millis: CallKey = { provider: 'millis', id: 'call_2' }
  t.equal(await a.cluster.admit('call_1', 60_000), true)
  const [first, second] = [await a.take(KEY), await a.take(millis)]
  t.strictSame([first.claim.isAdmitted, second.claim.isAdmitted], [true, false])
  for (const owner of [first, second]) owner.save({ said: 'Hello' })
  first.claim.lease.end()
  second.claim.lease.leave()
  await until(async () => await redis.client.exists('voice-agent:{call_1}:retell', 'voice-agent:{call_1}:admitted', 'voice-agent:{node:a}:calls') === 0)
  await until(async () => await redis.client.hget('voice-agent:{call_2}:millis', 'left') === '1')
  const ttlMs = await redis.client.pttl('voice-agent:{call_2}:millis')
  t.ok(ttlMs > 590_000 && ttlMs <= 600_000)
  const { lease, ...claim } = await a.cluster.claim(millis)
  t.strictSame(claim, { status: 'resumed', previousNode: 'a', fields: { said: 'Hello' }, isAdmitted: false })
  t.equal(await redis.client.hget('voice-agent:{call_2}:millis', 'left'), null)
})

t.test('a call of many hours is written at once', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const owner = await a.take(KEY)
  owner.save(Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`said:${i}`, 'x'])))
  await until(async () => await redis.client.hget('voice-agent:{call_1}:retell', 'f:said:9999') === 'x' || a.lines.length > 0)
  t.strictSame(a.logs, [])
  const b = await startNode(t, { redis: redis.url, node: 'b' })
  t.equal(Object.keys((await b.take(KEY)).claim.fields).length, 10_000)
})

t.test('an id may hold anything', { skip }, async t => {
  const redis = await sharedRedis(t)
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' })]
  for (const id of ['', '{}', '}{', '%7B', 'a:b', 'ä\n"\\', 'x'.repeat(10_000)]) {
    const key: CallKey = { provider: 'millis', id }
    t.equal((await a.cluster.claim(key)).status, 'new')
    const owner = await b.take(key)
    t.strictSame([owner.claim.status, owner.claim.previousNode], ['resumed', 'a'])
    t.equal((await b.cluster.calls.get(id))?.node, 'b')
  }
})

t.test('what Redis said in time is heard in time, though the event loop stood still meanwhile', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  let claim: Promise<Claim> | undefined
  // Timers go off before what has arrived is read.
  setTimeout(() => {
    claim = a.cluster.claim(KEY)
    // Redis answers this one after the claim.
    spawnSync('redis-cli', ['-p', String(redis.port), 'PING'])
    a.wind(TIMINGS.commandTimeoutMs)
  })
  await until(() => claim !== undefined)
  t.match(await claim, { status: 'new' })
  t.strictSame([a.lines, a.failures], [[], []])
})

t.test('what is reported and saved again in the same tick has its last value', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const { claim: { lease } } = await a.take(KEY)
  lease.save({ tool: 'asked' })
  lease.report({ tool: 'done' })
  lease.save({ tool: 'told' })
  lease.flush()
  lease.flush()
  await until(async () => await redis.client.hget('voice-agent:{call_1}:retell', 'f:tool') === 'told')
  t.equal(await redis.client.hget('voice-agent:{call_1}:retell', 'sequence'), '1')
})

t.test('what was reported to a claim that is no more, or before it, is no news', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const owner = await a.take(KEY)
  const epoch = (await redis.client.hget('voice-agent:{call_1}:retell', 'epoch'))!
  for (const [of, number, tool] of [['1', 1, 'a'], [epoch, 1, 'b'], [epoch, 1, 'c'], [epoch, 3, 'd']] as const) {
    await redis.client.publish('voice-agent:to:a', JSON.stringify({ type: 'report', ...KEY, epoch: of, number, fields: { tool } }))
  }
  await until(() => owner.reports.length > 1)
  t.strictSame(owner.reports, [{ tool: 'b' }, { tool: 'd' }])
})
