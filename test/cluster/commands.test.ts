import { once } from 'node:events'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { CallKey, ClusterCall, Command } from '../../lib/cluster/cluster.js'
import { ActionError, CallEndedError, UnsupportedError } from '../../lib/contract/errors.js'
import { TIMINGS } from '../../lib/cluster/redis.js'
import { startNode, type TestNode } from '../helpers/cluster.js'
import { noRedis, startRedis, until, type RedisServer } from '../helpers/redis.js'
import { sharedRedis } from '../helpers/shared-redis.js'

const KEY: CallKey = { provider: 'retell', id: 'call_1' }
const skip = noRedis

/** A call at node `a`, as node `b` finds it. */
async function found (t: Test): Promise<{ redis: RedisServer, a: TestNode, b: TestNode, call: ClusterCall }> {
  const redis = await sharedRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const b = await startNode(t, { redis: redis.url, node: 'b' })
  a.onCommand = async () => {}
  await a.take(KEY)
  return { redis, a, b, call: (await b.cluster.calls.get('call_1'))! }
}

t.test('another node carries out whatever a call can be asked', { skip }, async t => {
  const { a, call } = await found(t)
  await call.interject('Hello')
  await call.interject('Hello', { interruptible: true })
  await call.end()
  await call.end({ say: 'Bye' })
  await call.transfer('+1')
  await call.transfer('+1', { say: 'Bye' })
  await call.sendMetadata({ n: [1] })
  await call.updateAgent({ responsiveness: 1 })
  const commands: Command[] = [
    { method: 'interject', args: ['Hello'] },
    { method: 'interject', args: ['Hello', { interruptible: true }] },
    { method: 'end', args: [] },
    { method: 'end', args: [{ say: 'Bye' }] },
    { method: 'transfer', args: ['+1'] },
    { method: 'transfer', args: ['+1', { say: 'Bye' }] },
    { method: 'sendMetadata', args: [{ n: [1] }] },
    { method: 'updateAgent', args: [{ responsiveness: 1 }] }
  ]
  t.strictSame(a.commands, commands.map(command => [KEY, command]))
})

t.test('its own node is asked without Redis', { skip }, async t => {
  const { redis, a } = await found(t)
  const call = (await a.cluster.calls.get('call_1'))!
  redis.pause()
  await call.interject('Hello')
  t.strictSame(a.commands, [[KEY, { method: 'interject', args: ['Hello'] }]])
  redis.resume()
})

t.test('it rejects as the call does', { skip }, async t => {
  const { a, call } = await found(t)
  for (const error of [new UnsupportedError('interject', 'millis'), new ActionError('interject: text is empty'), new CallEndedError()]) {
    a.onCommand = async () => { throw error }
    const rejection = await call.interject('Hello').catch((error: unknown) => error)
    t.ok(rejection instanceof error.constructor)
    t.match(rejection, { code: error.code, message: error.message, statusCode: error.statusCode })
  }
  a.onCommand = async () => { throw Object.assign(new Error('no'), { code: 'VOICE_AGENT_ERR_NEW' }) }
  await t.rejects(call.end(), { code: 'VOICE_AGENT_ERR_NEW', message: 'no' })
  a.onCommand = async () => { throw new TypeError('said by a caller') }
  await t.rejects(call.end(), { code: 'VOICE_AGENT_ERR_CLUSTER', message: 'The node that has the call failed to do it' })
})

t.test('what is no JSON, or nothing a call takes, is not sent', { skip }, async t => {
  const { a, call } = await found(t)
  const circle: Record<string, unknown> = {}
  circle['circle'] = circle
  await t.rejects(call.sendMetadata(circle), { code: 'VOICE_AGENT_ERR_ACTION' })
  await t.rejects(call.interject(1 as unknown as string), { code: 'VOICE_AGENT_ERR_ACTION' })
  t.strictSame(a.commands, [])
})

t.test('a node that does not answer is waited for no longer than it may take', { skip }, async t => {
  const { a, b, call } = await found(t)
  let done = (): void => {}
  a.onCommand = () => new Promise(resolve => { done = resolve })
  let isOver = false
  const rejected = t.rejects(call.interject('Hello').finally(() => { isOver = true }), { code: 'VOICE_AGENT_ERR_CLUSTER', message: /may or may not have done/ })
  await until(() => a.commands.length > 0)
  await b.pass(TIMINGS.controlTimeoutMs - 1)
  t.equal(isOver, false)
  await b.pass(1)
  await rejected
  done()
})

t.test('of a node that is not there nothing is expected', { skip }, async t => {
  const { redis, call } = await found(t)
  await redis.cutListeners({ forGood: true })
  await t.rejects(call.interject('Hello'), { code: 'VOICE_AGENT_ERR_CLUSTER', message: /has not done/ })
})

t.test('while Redis is away other nodes cannot be asked', { skip }, async t => {
  const { redis, b, call } = await found(t)
  redis.pause()
  const rejected = t.rejects(call.interject('Hello'), { code: 'VOICE_AGENT_ERR_CLUSTER', message: /may or may not have done/ })
  await b.pass(TIMINGS.commandTimeoutMs)
  await rejected
  await t.rejects(call.interject('Hello'), { code: 'VOICE_AGENT_ERR_CLUSTER', message: /has not done/ })
  await t.rejects(b.cluster.calls.get('call_1'), { code: 'VOICE_AGENT_ERR_CLUSTER' })
  await t.rejects(b.cluster.calls.list().next(), { code: 'VOICE_AGENT_ERR_CLUSTER' })
  await t.rejects(b.cluster.calls.size(), { code: 'VOICE_AGENT_ERR_CLUSTER' })
  redis.resume()
})

t.test('what nobody waits for any more is not done', { skip }, async t => {
  const { redis, a, b, call } = await found(t)
  const commands = await redis.watch(t)
  await a.settled()
  redis.pause()
  const rejected = t.rejects(call.interject('Hello'), { code: 'VOICE_AGENT_ERR_CLUSTER' })
  // Not as far as a heartbeat, after which a node would know Redis' time anew.
  for (const node of [a, b]) await node.pass(TIMINGS.controlTimeoutMs * 2)
  await rejected
  redis.resume()
  await until(() => commands.some(([name]) => name === 'publish'))
  // What a reads after the request tells that it has read the request.
  await redis.client.publish('voice-agent:to:a', 'x')
  await until(() => a.logs.some(({ msg }) => msg === 'message of another node ignored'))
  await b.says('Redis is back')
  // Its own link may have been lost as well, and may come back a moment later.
  await until(() => a.beat().then(() => true, () => false))
  await call.end()
  t.strictSame(a.commands.map(([, { method }]) => method), ['end'])
})

t.test('a call that moved meanwhile is followed', { skip }, async t => {
  const { redis, a, b, call } = await found(t)
  const c = await startNode(t, { redis: redis.url, node: 'c' })
  a.onCommand = async () => { throw new CallEndedError() }
  c.onCommand = async () => {}
  await c.take(KEY)
  await call.interject('Hello')
  t.strictSame(c.commands, [[KEY, { method: 'interject', args: ['Hello'] }]])
  b.onCommand = async () => {}
  await b.take(KEY)
  await call.end()
  t.strictSame(b.commands, [[KEY, { method: 'end', args: [] }]])
})

t.test('a call that is over is not looked for in vain', { skip }, async t => {
  const { redis, a, b, call } = await found(t)
  a.onCommand = async () => { throw new CallEndedError() }
  await t.rejects(call.end(), { code: 'VOICE_AGENT_ERR_CALL_ENDED' })
  await redis.client.flushall()
  await t.rejects(call.end(), { code: 'VOICE_AGENT_ERR_CALL_ENDED' })
  t.equal(await b.cluster.calls.get('call_1'), undefined)
  t.equal(a.commands.length, 2)
})

t.test('a request that comes twice is done once', { skip }, async t => {
  const { redis, a } = await found(t)
  const request = { type: 'request', ...KEY, nonce: '1', from: 'b', until: Date.now() + 60_000, command: { method: 'end', args: [] } }
  for (const nonce of ['1', '1', '2']) await redis.client.publish('voice-agent:to:a', JSON.stringify({ ...request, nonce }))
  await until(() => a.commands.length > 1)
  t.equal(a.commands.length, 2)
})

t.test('what is no message is ignored, and what a node does not know is answered so', { skip }, async t => {
  const { redis, a } = await found(t)
  const replies: unknown[] = []
  const listener = redis.client.duplicate()
  t.teardown(() => listener.disconnect())
  listener.on('message', (_, text) => { replies.push(JSON.parse(text)) })
  await listener.subscribe('voice-agent:to:elsewhere')
  const request = { type: 'request', ...KEY, nonce: '1', from: 'elsewhere', until: Date.now() + 60_000 }
  for (const text of ['', 'null', '[]', '{}', '{"type":1}', '{"type":"toString"}', '{"type":"reply"}', '{"type":"reply","nonce":"2"}']) {
    await redis.client.publish('voice-agent:to:a', text)
  }
  await redis.client.publish('voice-agent:to:a', JSON.stringify(request))
  for (const command of ['end', {}, { method: 'toString' }, { method: 'end', args: [1] }]) {
    await redis.client.publish('voice-agent:to:a', JSON.stringify({ ...request, nonce: JSON.stringify(command), command }))
  }
  await until(() => replies.length === 4)
  t.strictSame(new Set(replies.map(reply => (reply as { error: { code: string } }).error.code)), new Set(['VOICE_AGENT_ERR_ACTION']))
  t.strictSame(a.commands, [])
  t.equal(a.logs.filter(({ msg }) => msg === 'message of another node ignored').length, 8)
})

t.test('a node that may not listen says so, once', { skip }, async t => {
  const redis = await startRedis(t)
  await redis.client.acl('SETUSER', 'deaf', 'on', '>secret', '~*', '+@all', 'resetchannels')
  const a = await startNode(t, { redis: redis.url.replace('redis://', 'redis://deaf:secret@'), node: 'a' })
  await a.says('Redis lets this node not subscribe')
  await until(async () => {
    await a.beat()
    return /cmdstat_subscribe:.*rejected_calls=[3-9]/.test(await redis.client.info('commandstats'))
  })
  t.equal(a.lines.length, 1)
})

t.test('whoever waits when the node closes is told', { skip }, async t => {
  const { a, b, call } = await found(t)
  a.onCommand = () => new Promise(() => {})
  const rejection = t.rejects(call.interject('Hello'), { code: 'VOICE_AGENT_ERR_CLUSTER' })
  await until(() => a.commands.length > 0)
  await b.cluster.close()
  await rejection
})

t.test('what arrives when the node has closed is not done', { skip }, async t => {
  const redis = await sharedRedis(t)
  const client = new Redis(redis.url)
  t.teardown(() => client.disconnect())
  const listener = client.duplicate()
  client.duplicate = () => listener
  const a = await startNode(t, { redis: client, node: 'a' })
  a.onCommand = async () => {}
  // It comes before the node closes, which has no time to read it.
  listener.stream.pause()
  const request = { type: 'request', ...KEY, nonce: '1', from: 'b', until: Date.now() + 60_000, command: { method: 'end', args: [] } }
  t.equal(await redis.client.publish('voice-agent:to:a', JSON.stringify(request)), 1)
  await a.cluster.close()
  let messages = 0
  listener.on('message', () => { messages++ })
  listener.stream.resume()
  await once(listener, 'end')
  t.equal(messages, 1)
  t.strictSame(a.commands, [])
})
