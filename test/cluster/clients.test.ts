import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { Cluster, Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { CallKey } from '../../lib/cluster/cluster.js'
import type { RedisClient } from '../../lib/cluster/redis-client.js'
import { TIMINGS } from '../../lib/cluster/redis.js'
import { startNode } from '../helpers/cluster.js'
import { runNode } from '../helpers/process.js'
import { noRedis, startRedis, startRedisCluster, until } from '../helpers/redis.js'
import { sharedRedis } from '../helpers/shared-redis.js'

const KEY: CallKey = { provider: 'retell', id: 'call_1' }
const skip = noRedis

function clientOf (t: Test, url: string, options: { lazyConnect?: boolean, keyPrefix?: string, enableAutoPipelining?: boolean, protocol?: 2 | 3 } = {}): Redis {
  const client = new Redis(url, options)
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  return client
}

/** What two nodes do that share a Redis, each with a client of its own. */
async function handOver (t: Test, clients: readonly [RedisClient, RedisClient]): Promise<void> {
  const [a, b] = [await startNode(t, { redis: clients[0], node: 'a' }), await startNode(t, { redis: clients[1], node: 'b' })]
  t.equal(await a.cluster.admit(KEY.id, 60_000), true)
  const first = await a.take(KEY)
  first.save({ said: 'Hello' })
  first.claim.lease.flush()
  a.onCommand = async () => {}
  const call = (await b.cluster.calls.get(KEY.id))!
  await call.interject('Hi')
  t.strictSame(a.commands, [[KEY, { method: 'interject', args: ['Hi'] }]])
  for await (const { id, node } of b.cluster.calls.list()) t.strictSame([id, node], ['call_1', 'a'])
  const second = await b.take(KEY)
  t.strictSame([second.claim.status, second.claim.previousNode, second.claim.isAdmitted, second.claim.fields], ['resumed', 'a', true, { said: 'Hello' }])
  await until(() => first.told.length > 0)
  first.claim.lease.report({ tool: 'done' })
  await until(() => second.reports.length > 0)
  t.strictSame([first.told, second.reports], [['fenced'], [{ tool: 'done' }]])
  second.claim.lease.end()
  await a.cluster.close()
  await b.cluster.close()
  t.strictSame([...a.lines, ...b.lines, ...a.failures, ...b.failures], [])
}

t.test('a client that was handed in is used, and left open', { skip }, async t => {
  const redis = await sharedRedis(t)
  const client = clientOf(t, redis.url)
  const listeners = client.eventNames().map(name => [name, client.listenerCount(name)])
  await handOver(t, [client, clientOf(t, redis.url)])
  t.equal(await client.ping(), 'PONG')
  t.strictSame(client.eventNames().map(name => [name, client.listenerCount(name)]), listeners)
})

t.test('a client may connect later, begin its keys with a prefix, or gather its commands', { skip }, async t => {
  const redis = await sharedRedis(t)
  const options = { lazyConnect: true, keyPrefix: 'mine:', enableAutoPipelining: true, protocol: 2 as const }
  await handOver(t, [clientOf(t, redis.url, options), clientOf(t, redis.url, options)])
  const keys = await redis.client.keys('*')
  t.ok(keys.every(key => key.startsWith('mine:')))
})

t.test('a Redis Cluster does, and of its servers one may die and leave the other calls as they are', { skip }, async t => {
  const servers = await startRedisCluster(t)
  const clients = [1, 2].map(() => new Cluster(servers.map(({ port }) => ({ host: '127.0.0.1', port }))))
  for (const client of clients) client.on('error', () => {})
  t.teardown(() => { for (const client of clients) client.disconnect() })
  await handOver(t, clients as [Cluster, Cluster])

  const client = clients[0]!
  const a = await startNode(t, { redis: client, node: 'a' })
  const ids = Array.from({ length: 12 }, (_, n) => `call_${n}`)
  const owners = await Promise.all(ids.map(id => a.take({ provider: 'retell', id })))
  t.strictSame(new Set(owners.map(({ claim }) => claim.status)), new Set(['new']))
  // Not the one that knows which nodes there are.
  const slot = await servers[0]!.client.cluster('KEYSLOT', '{nodes}')
  const server = servers[slot < 5461 ? 1 : 0]!
  server.pause()
  for (const owner of owners) owner.save({ said: 'Hello' })
  await a.pass(TIMINGS.commandTimeoutMs)
  await a.says('Redis is lost')
  server.resume()
  await a.says('Redis is back')
  for (const id of ids) t.equal(await client.hget(`voice-agent:{${id}}:retell`, 'f:said'), 'Hello')
})

/** A process that takes a call, saves something of it, and then does this. */
function runNodeThatSaves (t: Test, url: string, code: string) {
  return runNode(t, ['--input-type=module', '--eval', `
    import { RedisCluster } from './dist/cluster/redis.js'
    const cluster = new RedisCluster({ redis: '${url}', providers: ['retell'], timings: { claimTimeoutMs: 60_000, commandTimeoutMs: 60_000, closeTimeoutMs: 60_000 } })
    const log = { info () {}, warn () {}, debug () {} }
    await cluster.start({ log, load: 0, command: async () => {}, failed () {} })
    const { lease } = await cluster.claim({ provider: 'retell', id: 'call_1' })
    lease.own({ snapshot: () => ({}), fenced () {}, answered () {}, reported () {} })
    lease.save({ said: 'Hello' })
${code}`])
}

t.test('a cluster that is closed keeps no process alive', { skip }, async t => {
  const redis = await sharedRedis(t)
  const program = runNodeThatSaves(t, redis.url, `
    await cluster.close()
    console.log('closed')
  `)
  await program.says(/closed/)
  t.equal(await program.exit, 0)
  t.equal(await redis.client.hget('voice-agent:{call_1}:retell', 'f:said'), 'Hello')
})

t.test('closing waits for a Redis that hangs, but not for long', { skip }, async t => {
  // A command may take longer.
  const closeTimeoutMs = TIMINGS.commandTimeoutMs / 2
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a', timings: { closeTimeoutMs } })
  const owner = await a.take(KEY)
  redis.pause()
  owner.save({ said: 'Hello' })
  let isClosed = false
  a.cluster.close().then(() => { isClosed = true }, t.error)
  await a.pass(closeTimeoutMs - 1)
  t.equal(isClosed, false)
  await a.pass(1)
  t.equal(isClosed, true)
  redis.resume()
})

t.test('what was flushed is with Redis, though the process dies of it', { skip }, async t => {
  const redis = await sharedRedis(t)
  const program = runNodeThatSaves(t, redis.url, `
    lease.flush()
    process.kill(process.pid, 'SIGKILL')
    while (true);
  `)
  t.equal(await program.exit, 'SIGKILL')
  await until(async () => await redis.client.hget('voice-agent:{call_1}:retell', 'f:said') === 'Hello')
})

t.test('a client that its owner closed is a Redis that is lost', { skip }, async t => {
  const redis = await sharedRedis(t)
  const client = clientOf(t, redis.url)
  const a = await startNode(t, { redis: client, node: 'a' })
  client.disconnect()
  await once(client, 'end')
  await a.says('Redis is lost')
  t.equal((await a.cluster.claim(KEY)).status, 'unanswered')
})

t.test('the permissions that the docs name are enough', { skip }, async t => {
  const redis = await startRedis(t)
  const [, permissions] = /`(~voice-agent:[^`]+)`/.exec((await readFile('docs/cluster.md', 'utf8')).replaceAll('\n', ' '))!
  await redis.client.acl('SETUSER', 'node', 'on', '>secret', 'resetchannels', ...permissions!.split(' '))
  const url = redis.url.replace('redis://', 'redis://node:secret@')
  await handOver(t, [clientOf(t, url), clientOf(t, url)])
  const a = await startNode(t, { redis: url, node: 'c', maxCalls: 5 })
  t.equal(await a.cluster.mayTake(), true)
  await a.take(KEY)
  const beats = async (): Promise<string> => await redis.client.hget('voice-agent:{nodes}:load', 'c') ?? ''
  a.load = 3
  await a.beat()
  await until(async () => await beats() === '3')
  t.strictSame([a.lines, a.failures], [[], []])
})
