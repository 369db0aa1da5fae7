/**
 * Apps that share a Redis: what one of them does with a call of another.
 */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { TIMINGS, type RedisClusterTimings } from '../../lib/cluster/redis.js'
import type { Agent, VoiceAgentOptions } from '../../lib/index.js'
import { build } from '../helpers/app.js'
import { toMillis, toRetell } from '../helpers/call.js'
import { dialUrl, millis, retell, type Caller } from '../helpers/caller.js'
import { createRedis, noRedis, startRedis, until, type RedisServer } from '../helpers/redis.js'
import { sharedRedis } from '../helpers/shared-redis.js'

const answers: Agent = turn => {
  const { state } = turn.call
  state['answers'] = Number(state['answers'] ?? 0) + 1
  return `${turn.reason} ${String(state['answers'])}.`
}

/** Those of a node that does not take a slow machine for an outage. */
const PATIENT = { claimTimeoutMs: 30_000, commandTimeoutMs: 60_000, controlTimeoutMs: 60_000 }

/** An app that is a node. */
async function node (t: Test, redis: RedisServer, options: VoiceAgentOptions = {}, timings: Partial<RedisClusterTimings> = PATIENT) {
  const usual = { ...TIMINGS }
  Object.assign(TIMINGS, timings)
  try {
    const { app, logs } = await build(t, answers, { reconnectGraceMs: 60_000, ...options, cluster: { redis: redis.url, ...options.cluster } })
    await app.listen({ port: 0, host: '127.0.0.1' })
    return { app, logs }
  } finally {
    Object.assign(TIMINGS, usual)
  }
}

/** Opens a real socket, over which hanging up is told from breaking off. */
async function dial (t: Test, app: FastifyInstance, path: string): Promise<Caller> {
  return await dialUrl(t, `ws://127.0.0.1:${(app.server.address() as AddressInfo).port}${path}`)
}

async function dialRetell (t: Test, app: FastifyInstance, callId = 'call_1'): Promise<Caller> {
  const caller = await dial(t, app, `/llm-websocket/${callId}`)
  await caller.next()
  return caller
}

/** Resolves once Redis knows this much of a call: what is written is not waited for. */
const kept = (redis: RedisServer, id: string, field: string): Promise<void> =>
  until(async () => (await redis.client.keys(`*${id}*`)).length > 0 && (await Promise.all((await redis.client.keys(`*:{${id}}:*`)).map(key => redis.client.hexists(key, `f:${field}`)))).includes(1))

t.test('a Retell call goes on on the app that is dialled next, and each app is asked for all of them', { skip: noRedis }, async t => {
  const redis = await sharedRedis(t)
  const started: string[] = []
  const hooks = (name: string): VoiceAgentOptions => ({
    onCallStart: () => { started.push(`${name} started`) },
    onCallResume: () => { started.push(`${name} resumed`) },
    onCallEnd: () => { started.push(`${name} ended`) }
  })
  const a = await node(t, redis, { ...hooks('a'), cluster: { node: 'a' } })
  const b = await node(t, redis, { ...hooks('b'), cluster: { node: 'b' } })
  const first = await dialRetell(t, a.app)
  first.send(retell.details({ from_number: '+15550100001' }))
  await first.response(0)
  first.send(retell.request(1, 'Hi'))
  t.strictSame(await first.response(1), [toRetell.complete(1, 'response 2.')])
  await kept(redis, 'call_1', 'said:1')

  const second = await dialRetell(t, b.app)
  t.strictSame(await second.response(0), [toRetell.complete(0)])
  t.strictSame((await first.closed).code, 1006)
  second.send(retell.request(1, 'Hi'))
  t.strictSame(await second.response(1), [toRetell.complete(1, 'response 3.')])
  t.equal(b.app.calls.get('call_1')?.from, '+15550100001')
  t.equal(a.app.calls.size, 0)

  const remote = await a.app.calls.cluster.get('call_1')
  t.match(remote?.node, /^b-/)
  await remote!.interject('By the way.')
  t.match(await second.next(), { response_type: 'agent_interrupt', content: 'By the way.' })
  t.strictSame((await a.app.calls.cluster.nodes()).map(({ id }) => id[0]).sort(), ['a', 'b'])
  second.socket.close(1000)
  await until(async () => await a.app.calls.cluster.get('call_1') === undefined)
  await t.rejects(remote!.interject('Are you there?'), { code: 'VOICE_AGENT_ERR_CALL_ENDED' })
  t.strictSame(started, ['a started', 'b resumed', 'b ended'])
  t.strictSame(await redis.client.keys('*call_1*'), [])
})

t.test('Retell dials the same app again: it is the same call, and no other hook runs', { skip: noRedis }, async t => {
  const redis = await sharedRedis(t)
  const started: string[] = []
  const { app, logs } = await node(t, redis, { onCallStart: () => { started.push('started') }, onCallResume: () => { started.push('resumed') } })
  const first = await dialRetell(t, app)
  first.send(retell.details())
  await first.response(0)
  const call = app.calls.get('call_1')
  first.socket.terminate()
  await until(() => logs.some(({ msg }) => msg === 'provider lost, the call waits for it to dial again'))
  const second = await dialRetell(t, app)
  t.strictSame(await second.response(0), [toRetell.complete(0)])
  t.equal(app.calls.get('call_1'), call)
  second.send(retell.request(1, 'Hi'))
  await second.response(1)
  t.strictSame(started, ['started'])
  await kept(redis, 'call_1', 'said:1')
})

t.test('the same on Millis', { skip: noRedis }, async t => {
  const redis = await sharedRedis(t)
  const a = await node(t, redis)
  const b = await node(t, redis)
  const first = await dial(t, a.app, '/millis')
  first.send(millis.start(0, 'ses_1'))
  t.strictSame(await first.stream(0), [toMillis.complete(0, 'greeting 1.')])
  await kept(redis, 'ses_1', 'said:0')
  const second = await dial(t, b.app, '/millis')
  second.send(millis.start(5, 'ses_1'), millis.request(6, 'Hi'))
  t.strictSame(await second.stream(6), [toMillis.complete(6, 'response 2.')])
  t.equal((await first.closed).code, 1001)
})

t.test('an app that closes leaves its calls to the others', { skip: noRedis }, async t => {
  const redis = await sharedRedis(t)
  const ended: string[] = []
  const a = await node(t, redis, { drainTimeoutMs: 0, onCallEnd: () => { ended.push('a') } })
  const b = await node(t, redis, { onCallEnd: () => { ended.push('b') } })
  const first = await dialRetell(t, a.app)
  first.send(retell.details())
  await first.response(0)
  await a.app.close()
  t.equal((await first.closed).code, 1006)
  t.strictSame(await b.app.calls.cluster.size(), 0, 'its node is gone at once')
  const second = await dialRetell(t, b.app)
  second.send(retell.request(1, 'Hi'))
  t.strictSame((await second.response(1)).at(-1), toRetell.complete(1, 'response 2.'))
  t.strictSame(ended, [])
})

t.test('one ceiling holds for all apps; a call that goes on is let in', { skip: noRedis }, async t => {
  const redis = await sharedRedis(t)
  const limits = { maxClusterCalls: 2 }
  const a = await node(t, redis, { limits })
  const b = await node(t, redis, { limits })
  const [first] = [await dialRetell(t, a.app, 'call_1'), await dialRetell(t, b.app, 'call_2')]
  first!.send(retell.details())
  await first!.response(0)
  await kept(redis, 'call_1', 'call')
  for (const { app } of [a, b]) {
    await t.rejects(dialRetell(t, app, 'call_3'), /503/)
    await t.rejects(dial(t, app, '/millis'), /503/)
    t.equal(app.calls.refusals.maxClusterCalls, 2)
  }
  const again = await dialRetell(t, b.app, 'call_1')
  t.strictSame(await again.response(0), [toRetell.complete(0)])
  again.socket.close(1000)
  await until(() => b.app.calls.size === 1)
  await until(async () => await dialRetell(t, a.app, 'call_4').then(() => true, () => false))
})

t.test('calls that come at once are counted one by one', { skip: noRedis }, async t => {
  const redis = await sharedRedis(t)
  const apps = [await node(t, redis, { limits: { maxClusterCalls: 3 } }), await node(t, redis, { limits: { maxClusterCalls: 3 } })]
  const dialled = await Promise.allSettled(Array.from({ length: 12 }, (_, n) => dialRetell(t, apps[n % 2]!.app, `call_${n}`)))
  t.equal(dialled.filter(({ status }) => status === 'fulfilled').length, 3)
})

t.test('a call that one app was told to expect is taken by all, and any other by none', { skip: noRedis }, async t => {
  const redis = await sharedRedis(t)
  const options = { admittedCallsOnly: true }
  const a = await node(t, redis, options)
  const b = await node(t, redis, options)
  t.equal(await a.app.admitCall('call_1'), true)
  t.equal(await a.app.admitCall('ses_1'), true)
  await dialRetell(t, b.app, 'call_1')
  await t.rejects(dialRetell(t, b.app, 'call_2'), /403/)
  const caller = await dial(t, b.app, '/millis')
  caller.send(millis.start(0, 'ses_1'))
  t.strictSame(await caller.stream(0), [toMillis.complete(0, 'greeting 1.')])
  const stranger = await dial(t, b.app, '/millis')
  stranger.send(millis.start(0, 'ses_2'))
  t.equal((await stranger.closed).code, 1008)
  t.equal(b.app.calls.refusals.call, 2)
})

t.test('where Redis is not there calls are taken all the same, but for those that may not be expected', { skip: noRedis }, async t => {
  const redis = await createRedis(t)
  const a = await node(t, redis, { limits: { maxClusterCalls: 1 } })
  const b = await node(t, redis, { admittedCallsOnly: true })
  const first = await dialRetell(t, a.app, 'call_1')
  first.send(retell.details())
  await first.response(0)
  await dialRetell(t, a.app, 'call_2')
  t.equal(await b.app.admitCall('call_3'), false)
  await dialRetell(t, b.app, 'call_3')
  await t.rejects(dialRetell(t, b.app, 'call_4'), /503/, 'it may come again')
  await t.rejects(a.app.calls.cluster.size(), { code: 'VOICE_AGENT_ERR_CLUSTER' })
  t.match(a.logs.filter(({ level }) => level >= 40), [{ msg: 'Redis is lost: calls go on with what this node knows of them' }])

  await redis.start()
  await kept(redis, 'call_1', 'said:0')
  await until(async () => await a.app.calls.cluster.size() >= 2)
})

/** Dials a call, and hangs up while the others are asked for it. The socket closes once they have been asked for long enough. */
async function hangUpAtOnce (app: FastifyInstance, redis: RedisServer, callId: string): Promise<void> {
  redis.pause()
  const gone = new WebSocket(`ws://127.0.0.1:${(app.server.address() as AddressInfo).port}/llm-websocket/${callId}`)
  gone.on('error', () => {})
  const [socket] = await once(app.server, 'connection')
  await once(app.server, 'upgrade')
  gone.terminate()
  await once(socket, 'close')
  redis.resume()
}

t.test('who hangs up while the others are asked leaves nothing behind, nor does who is refused', { skip: noRedis }, async t => {
  const redis = await sharedRedis(t)
  const { app } = await node(t, redis, { limits: { maxUnstartedCalls: 1 } }, {})
  await hangUpAtOnce(app, redis, 'call_1')
  await dialRetell(t, app, 'call_2')
  t.equal(app.calls.size, 1)
  await t.rejects(dialRetell(t, app, 'call_3'), /503/)
  await until(async () => (await redis.client.keys('*:retell')).join() === 'voice-agent:{call_2}:retell')
})

t.test('a call that is dialled in vain goes on where it is, and is kept', { skip: noRedis }, async t => {
  const redis = await sharedRedis(t)
  const [a, b] = [await node(t, redis, {}, {}), await node(t, redis)]
  const first = await dialRetell(t, a.app)
  first.send(retell.details())
  await first.response(0)
  await hangUpAtOnce(a.app, redis, 'call_1')
  await until(async () => (await redis.client.hget('voice-agent:{call_1}:retell', 'previous')) !== '')
  first.send(retell.request(1, 'Hi'))
  await first.response(1)
  await kept(redis, 'call_1', 'said:1')
  await dialRetell(t, b.app)
  t.equal((await first.closed).code, 1006)
})

t.test('a call that breaks off before it begins is still expected', { skip: noRedis }, async t => {
  const redis = await sharedRedis(t)
  const options = { admittedCallsOnly: true }
  const [a, b] = [await node(t, redis, options), await node(t, redis, options)]
  await a.app.admitCall('call_1')
  const first = await dialRetell(t, b.app)
  first.socket.terminate()
  await until(() => b.app.calls.size === 0)
  await dialRetell(t, b.app)
  t.equal(b.app.calls.size, 1)
})

t.test('what asks for no upgrade is not asked about', { skip: noRedis }, async t => {
  const redis = await sharedRedis(t)
  const { app } = await node(t, redis)
  t.equal((await app.inject('/llm-websocket/call_1')).statusCode, 426)
  await t.rejects(dial(t, app, '/llm-websocket'), /400/)
  t.strictSame(await redis.client.keys('*call_1*'), [])
})

t.test('a client of the app\'s own is used, and left open', { skip: noRedis }, async t => {
  const redis = await sharedRedis(t)
  const client = redis.client
  await client.ping()
  const { app } = await node(t, redis, { cluster: { redis: client, prefix: 'mine' } })
  await dialRetell(t, app)
  await until(async () => (await client.keys('mine:*')).length > 0)
  t.strictSame((await client.keys('*')).filter(key => !key.startsWith('mine:')), [])
  await app.close()
  t.equal(await client.ping(), 'PONG')
})

t.test('a look at what is logged: no words, no numbers, and no URL with a password', { skip: noRedis }, async t => {
  const redis = await startRedis(t, ['--requirepass', 'hunter2'])
  const { app, logs } = await node(t, redis, { cluster: { redis: redis.url.replace('//', '//:hunter2@') } })
  const caller = await dialRetell(t, app)
  caller.send(retell.details({ from_number: '+15550100001' }))
  await caller.response(0)
  await app.close()
  await redis.kill()
  t.notMatch(JSON.stringify(logs.filter(({ level }) => level >= 30)), /hunter2|5550100001|greeting 1/)
})
