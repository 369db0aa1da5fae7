import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { CallKey } from '../../lib/cluster/cluster.js'
import { TIMINGS } from '../../lib/cluster/redis.js'
import { startNode, TestNode } from '../helpers/cluster.js'
import { createRedis, noRedis, startRedis, until } from '../helpers/redis.js'
import { sharedRedis } from '../helpers/shared-redis.js'

const KEY: CallKey = { provider: 'retell', id: 'call_1' }
const RECORD = 'voice-agent:{call_1}:retell'
const LOST = 'Redis is lost: calls go on with what this node knows of them'
const BACK = 'Redis is back: it knows what this node knows'
const skip = noRedis

/** A client that connects when the test says so. */
function manualClient (t: Test, url: string): Redis {
  const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  return client
}

t.test('a Redis that hangs keeps nobody waiting, and is told everything when it goes on', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const known = await a.take({ provider: 'millis', id: 'call_2' })
  redis.pause()
  const taken = a.take(KEY)
  await a.pass(TIMINGS.claimTimeoutMs)
  const owner = await taken
  t.equal(owner.claim.status, 'unanswered')
  t.strictSame([a.failures, a.lines], [[], []], 'no command is late yet')
  owner.save({ said: 'Hello' })
  known.save({ said: 'Hi' })
  await a.pass(TIMINGS.commandTimeoutMs)
  await a.says(LOST)
  // From now on it is not even asked.
  for (const id of ['call_3', 'call_4']) t.equal((await a.cluster.claim({ provider: 'retell', id })).status, 'unanswered')
  known.save({ said: 'Hi there' })
  t.equal(await a.cluster.mayTake(), true)
  t.equal(await a.cluster.admit('call_5', 1_000), false)
  redis.resume()
  await a.says(BACK)
  t.strictSame([owner.told, owner.claim.status, owner.claim.isBelated], [['answered new'], 'new', true])
  t.strictSame(a.lines, [LOST, BACK])
  t.equal(await redis.client.hget(RECORD, 'f:said'), 'Hello')
  t.equal(await redis.client.hget('voice-agent:{call_2}:millis', 'f:said'), 'Hi there')
  t.strictSame((await redis.client.hkeys('voice-agent:{node:a}:calls')).sort(), ['millis:call_2', 'retell:call_1', 'retell:call_3', 'retell:call_4'])
  t.ok(a.failures.includes('claim') && a.failures.includes('admit'))
})

t.test('a claim that is answered late is told what was saved', { skip }, async t => {
  const redis = await sharedRedis(t)
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' })]
  const first = await a.take(KEY)
  first.save({ said: 'by a', tool: 'done' })
  first.claim.lease.flush()
  await until(async () => await redis.client.hget(RECORD, 'f:said') === 'by a')
  redis.pause()
  const taken = b.take(KEY)
  await b.pass(TIMINGS.claimTimeoutMs)
  const second = await taken
  second.save({ said: 'by b' })
  t.equal(second.claim.status, 'unanswered')
  redis.resume()
  await until(async () => await redis.client.hget(RECORD, 'f:said') === 'by b')
  t.strictSame([second.told, second.claim.fields, second.claim.previousNode], [['answered resumed'], { said: 'by a', tool: 'done' }, 'a'])
  t.equal(second.claim.isBelated, undefined)
  // It took no longer than a command may.
  t.strictSame([a.lines, b.lines], [[], []])
})

for (const order of ['the older', 'the newer'] as const) {
  t.test(`after an outage the newer claim has the call, though ${order} was asked again first`, { skip }, async t => {
    const redis = await createRedis(t)
    const clients = [manualClient(t, redis.url), manualClient(t, redis.url)] as const
    const [a, b] = [await startNode(t, { redis: clients[0], node: 'a' }), await startNode(t, { redis: clients[1], node: 'b' })]
    const older = await a.take(KEY)
    older.save({ said: 'by a' })
    // No provider dials again faster than clocks can tell.
    for (const node of [a, b]) await node.pass(50)
    const newer = await b.take(KEY)
    newer.save({ said: 'by b' })
    t.strictSame([older.claim.status, newer.claim.status], ['unanswered', 'unanswered'])
    await redis.start()
    const nodes = [[clients[0], a], [clients[1], b]] as const
    for (const [client, node] of order === 'the older' ? nodes : nodes.toReversed()) {
      await client.connect()
      await node.says(BACK)
    }
    older.save({ said: 'by a again' })
    await until(() => older.told.includes('fenced'))
    t.strictSame([older.told, newer.told], order === 'the older' ? [['answered new', 'fenced'], ['answered resumed']] : [['fenced'], ['answered new']])
    t.strictSame(await redis.client.hmget(RECORD, 'node', 'f:said'), ['b', 'by b'])
  })
}

t.test('a client that gives up listening is made to', { skip }, async t => {
  const redis = await createRedis(t)
  const client = manualClient(t, redis.url)
  const a = await startNode(t, { redis: client, node: 'a' })
  await redis.start()
  await client.connect()
  await a.says(BACK)
  t.equal(await redis.client.publish('voice-agent:to:a', 'x'), 0)
  await a.beat()
  await until(async () => await redis.client.publish('voice-agent:to:a', 'x') === 1)
})

t.test('a Redis that is not there at the start is joined when it is', { skip }, async t => {
  const redis = await createRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const owner = await a.take(KEY)
  t.strictSame([owner.claim.status, a.lines], ['unanswered', [LOST]])
  await t.rejects(a.cluster.calls.nodes(), { code: 'VOICE_AGENT_ERR_CLUSTER' })
  await redis.start()
  await a.says(BACK)
  t.strictSame([owner.told, (await a.cluster.calls.nodes()).map(({ id }) => id)], [['answered new'], ['a']])
})

t.test('a Redis that forgot everything is told it again', { skip }, async t => {
  const redis = await startRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const owner = await a.take(KEY)
  owner.save({ said: 'Hello' })
  owner.claim.lease.flush()
  const gone = await a.take({ provider: 'retell', id: 'call_2' })
  await redis.kill()
  await a.says(LOST)
  owner.save({ said: 'Hello there' })
  gone.claim.lease.end()
  await redis.start()
  await a.says(BACK)
  t.strictSame(owner.told, [])
  t.equal(await redis.client.hget(RECORD, 'f:said'), 'Hello there')
  t.equal(await redis.client.exists('voice-agent:{call_2}:retell'), 0)
  t.strictSame(await redis.client.hkeys('voice-agent:{node:a}:calls'), ['retell:call_1'])
  const b = await startNode(t, { redis: redis.url, node: 'b' })
  t.strictSame((await b.cluster.claim(KEY)).fields, { said: 'Hello there' })
  await until(() => owner.told.length > 0)
  t.strictSame(owner.told, ['fenced'])
})

t.test('a record that is lost without a word is written again with the next save', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const owner = await a.take(KEY)
  owner.save({ said: 'Hello', tool: 'done' })
  owner.claim.lease.flush()
  await until(async () => await redis.client.hget(RECORD, 'f:said') === 'Hello')
  await redis.client.flushall()
  owner.save({ said: 'Hello there' })
  await until(async () => await redis.client.hget(RECORD, 'f:said') === 'Hello there')
  t.strictSame([await redis.client.hget(RECORD, 'f:tool'), owner.told, a.lines], ['done', [], []])
})

t.test('a Redis that fell back to an earlier time is told who has the call', { skip }, async t => {
  const redis = await sharedRedis(t)
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' })]
  const first = await a.take(KEY)
  const before = await redis.client.dump(RECORD)
  const second = await b.take(KEY)
  await until(() => first.told.length > 0)
  await redis.client.call('restore', RECORD, 0, await redis.client.dumpBuffer(RECORD), 'REPLACE')
  t.ok(before)
  // As the record was before b claimed it.
  await redis.client.hset(RECORD, 'node', 'a', 'token', 'a:1', 'epoch', '1', 'claimedAt', '1')
  second.save({ said: 'by b' })
  await until(async () => await redis.client.hget(RECORD, 'f:said') === 'by b')
  t.strictSame([await redis.client.hget(RECORD, 'node'), second.told], ['b', []])
})

t.test('a Redis that is full takes nothing, is warned of once, and is told when there is room', { skip }, async t => {
  const redis = await startRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const known = await a.take(KEY)
  await redis.client.config('SET', 'maxmemory', 1)
  known.save({ said: 'Hello' })
  await a.says(LOST)
  const owners = await Promise.all(['call_2', 'call_3'].map(id => a.take({ provider: 'retell', id })))
  t.strictSame(owners.map(({ claim }) => claim.status), ['unanswered', 'unanswered'])
  known.save({ said: 'Hello there' })
  known.claim.lease.flush()
  await until(() => a.failures.filter(operation => operation === 'heartbeat').length > 2)
  await redis.client.config('SET', 'maxmemory', 0)
  await a.says(BACK)
  t.strictSame(owners.map(({ told }) => told), [['answered new'], ['answered new']])
  t.equal(await redis.client.hget(RECORD, 'f:said'), 'Hello there')
  t.strictSame(a.lines, [LOST, BACK])
  t.strictSame(a.logs.find(({ msg }) => msg === LOST)?.['reason'], 'OOM')
})

t.test('a call that is left while Redis is away is there when it is back', { skip }, async t => {
  const redis = await createRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const [left, ended] = [await a.take(KEY), await a.take({ provider: 'retell', id: 'call_2' })]
  left.save({ said: 'Hello' })
  left.claim.lease.leave()
  ended.claim.lease.end()
  await redis.start()
  await a.says(BACK)
  t.strictSame(await redis.client.hmget(RECORD, 'left', 'f:said'), ['1', 'Hello'])
  t.equal(await redis.client.exists('voice-agent:{call_2}:retell'), 0)
})

t.test('a call for which nobody came while Redis was away is not taken from who has it', { skip }, async t => {
  const redis = await startRedis(t)
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' })]
  const first = await a.take(KEY)
  first.save({ said: 'Hello' })
  await redis.kill()
  await b.says(LOST)
  const { status, lease } = await b.cluster.claim(KEY)
  t.equal(status, 'unanswered')
  lease.leave()
  await redis.start()
  await Promise.all([a.says(BACK), b.says(BACK)])
  t.equal(await redis.client.hget(RECORD, 'node'), 'a')
  t.strictSame(first.told, [])
})

t.test('many calls catch up', { skip }, async t => {
  const redis = await startRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  await redis.kill()
  await a.says(LOST)
  const owners = await Promise.all(Array.from({ length: 500 }, (_, n) => a.take({ provider: 'retell', id: `call_${n}` })))
  for (const owner of owners) owner.save({ said: 'Hello' })
  await redis.start()
  await a.says(BACK)
  t.strictSame(new Set(owners.map(({ told }) => told.join())), new Set(['answered new']))
  t.equal(await redis.client.hlen('voice-agent:{node:a}:calls'), 500)
  for (const { claim } of owners) t.equal(await redis.client.hget(`voice-agent:{${claim.lease === owners[0]!.claim.lease ? 'call_0' : 'call_499'}}:retell`, 'f:said'), 'Hello')
})

t.test('neither a password nor what is said is logged', { skip }, async t => {
  const redis = await startRedis(t)
  const a = await startNode(t, { redis: redis.url.replace('redis://', 'redis://user:secret@'), node: 'a' })
  await a.says(LOST)
  const b = await startNode(t, { redis: redis.url, node: 'b' })
  const owner = await b.take(KEY)
  await redis.client.config('SET', 'maxmemory', 1)
  owner.save({ said: 'a secret' })
  await b.says(LOST)
  await redis.client.publish('voice-agent:to:b', 'a secret')
  await until(() => b.logs.some(({ msg }) => msg === 'message of another node ignored'))
  t.notOk(JSON.stringify([a.logs, b.logs]).includes('secret'))
})

t.test('a node that is closed before it joined has not joined', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = new TestNode({ redis: redis.url, node: 'a' })
  const started = a.cluster.start(a)
  await a.cluster.close()
  await started
  t.strictSame(await redis.client.keys('*'), [])
})

t.test('a node that has nothing to do finds out all the same', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  redis.pause()
  await a.pass(TIMINGS.heartbeatMs)
  await a.pass(TIMINGS.commandTimeoutMs)
  await a.says(LOST)
  redis.resume()
  await a.says(BACK)
})

t.test('a call that is left while its claim is on its way is left', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  redis.pause()
  const taken = a.take(KEY)
  await a.pass(TIMINGS.claimTimeoutMs)
  const owner = await taken
  owner.save({ said: 'Hello' })
  owner.claim.lease.report({ tool: 'done' })
  owner.claim.lease.flush()
  owner.claim.lease.leave()
  owner.claim.lease.flush()
  redis.resume()
  await until(async () => await redis.client.hget(RECORD, 'left') === '1')
  t.strictSame(await redis.client.hmget(RECORD, 'f:said', 'f:tool'), ['Hello', 'done'])
})

t.test('a server that became a replica takes no writes until it leads again', { skip }, async t => {
  const [redis, other] = [await startRedis(t), await startRedis(t, ['--repl-diskless-sync-delay', '0'])]
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const owner = await a.take(KEY)
  await redis.client.replicaof('127.0.0.1', other.port)
  await until(async () => (await redis.client.info('replication')).includes('master_link_status:up'))
  owner.save({ said: 'Hello' })
  await a.says(LOST)
  await redis.client.replicaof('NO', 'ONE')
  await a.says(BACK)
  t.equal(await redis.client.hget(RECORD, 'f:said'), 'Hello')
  t.strictSame(a.lines, [LOST, BACK])
})

t.test('a list of calls that is something else is made anew', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  await a.take(KEY)
  await redis.client.set('voice-agent:{node:a}:calls', 'x')
  await a.beat()
  await a.says(BACK)
  t.strictSame(await redis.client.hkeys('voice-agent:{node:a}:calls'), ['retell:call_1'])
})

t.test('where a node may not write its list, it goes on trying', { skip }, async t => {
  const redis = await startRedis(t)
  await redis.client.acl('SETUSER', 'node', 'on', '>secret', '~*', '&*', '+@all', '-del')
  const a = await startNode(t, { redis: redis.url.replace('redis://', 'redis://node:secret@'), node: 'a' })
  await a.take(KEY)
  await redis.client.del('voice-agent:{node:a}:calls')
  await a.beat()
  await a.says(LOST)
  await until(() => a.failures.filter(operation => operation === 'list').length > 2)
  await redis.client.acl('SETUSER', 'node', '+del')
  await a.says(BACK)
  t.strictSame(await redis.client.hkeys('voice-agent:{node:a}:calls'), ['retell:call_1'])
})

t.test('a call that could not be taken off the list is taken off later', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const owner = await a.take(KEY)
  redis.pause()
  owner.claim.lease.leave()
  await a.pass(TIMINGS.commandTimeoutMs)
  await a.says(LOST)
  redis.resume()
  await a.says(BACK)
  t.equal(await redis.client.exists('voice-agent:{node:a}:calls'), 0)
})

t.test('of calls that are over some are forgotten: the oldest, and those whose records expired', { skip }, async t => {
  const redis = await startRedis(t)
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' })]
  await redis.kill()
  for (const node of [a, b]) await node.says(LOST)
  const live = await a.take(KEY)
  for (const [node, length] of [[a, 10_002], [b, 5]] as const) {
    const claims = await Promise.all(Array.from({ length }, (_, n) => node.cluster.claim({ provider: 'millis', id: `${n} of ${node.cluster.calls.node}` })))
    for (const { lease } of claims) lease.end()
  }
  await b.pass(TIMINGS.recordTtlMs)
  await redis.start()
  for (const node of [a, b]) await node.says(BACK)
  const stats = await redis.client.info('commandstats')
  // Each is one look at its record.
  t.match(stats, /cmdstat_hget:calls=10000,/)
  t.strictSame([live.told, await redis.client.hget(RECORD, 'node')], [['answered new'], 'a'])
})

t.test('a call that comes before the node joined is taken when it does', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = new TestNode({ redis: redis.url, node: 'a' })
  t.teardown(() => a.cluster.close())
  const owner = await a.take(KEY)
  t.strictSame([owner.claim.status, await a.cluster.mayTake(), await a.cluster.admit('call_2', 1_000)], ['unanswered', true, false])
  const call = (await a.cluster.calls.get('call_1'))!
  await t.rejects(call.end(), { code: 'VOICE_AGENT_ERR_CALL_ENDED' })
  await a.cluster.start(a)
  t.strictSame(owner.told, ['answered new'])
  await new TestNode({ redis: redis.url }).cluster.close()
})

t.test('what fails without a word for why is lost all the same', { skip }, async t => {
  const redis = await sharedRedis(t)
  const client = manualClient(t, redis.url)
  await client.connect()
  const a = await startNode(t, { redis: client, node: 'a' })
  const { call } = client
  client.call = async () => { throw new Error('said by a caller') }
  await a.cluster.admit('call_1', 1_000)
  client.call = call
  await a.says(BACK)
  t.strictSame(a.logs.find(({ msg }) => msg === LOST)?.['reason'], 'unknown')
})

t.test('a call that ends while the list is made anew is not in it', { skip }, async t => {
  const redis = await sharedRedis(t)
  const client = manualClient(t, redis.url)
  await client.connect()
  const a = await startNode(t, { redis: client, node: 'a' })
  const owners = await Promise.all(Array.from({ length: 40 }, (_, n) => a.take({ provider: 'retell', id: String(n) })))
  const call = client.call.bind(client) as (...args: unknown[]) => Promise<unknown>
  client.call = async (...args: unknown[]) => {
    if (args.includes('enlist')) owners[39]!.claim.lease.end()
    return await call(...args)
  }
  await redis.client.del('voice-agent:{node:a}:calls')
  await a.beat()
  await until(async () => await redis.client.hlen('voice-agent:{node:a}:calls') === 39)
  t.equal(await redis.client.hexists('voice-agent:{node:a}:calls', 'retell:39'), 0)
})

t.test('a record that is something else is written when it is not', { skip }, async t => {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const owner = await a.take(KEY)
  await redis.client.set(RECORD, 'x')
  owner.save({ said: 'Hello' })
  await a.says(LOST)
  await until(() => a.failures.filter(operation => operation === 'save').length > 2)
  await redis.client.del(RECORD)
  await a.says(BACK)
  t.equal(await redis.client.hget(RECORD, 'f:said'), 'Hello')
  t.strictSame([owner.told, a.lines], [[], [LOST, BACK]])
})
