import t from 'tap'
import { parseMessage } from '../../lib/cluster/messages.js'
import { startNode } from '../helpers/cluster.js'
import { FAIR_IDS, ODD_IDS } from '../helpers/odd-ids.js'
import { noRedis, startRedis } from '../helpers/redis.js'

const skip = noRedis

t.test('a message of another node has ids that are ids, or is none', async t => {
  const request = { type: 'request', provider: 'retell', id: 'call_1', nonce: '1', from: 'b', until: 1, command: {} }
  const fenced = { type: 'fenced', provider: 'millis', id: 'call_1', epoch: '1' }
  const report = { ...fenced, type: 'report', number: 1, fields: {} }
  const reply = { type: 'reply', nonce: '1' }
  const members = [[request, 'id'], [request, 'nonce'], [request, 'from'], [fenced, 'id'], [report, 'id'], [reply, 'nonce']] as const
  for (const [message, member] of members) {
    for (const id of FAIR_IDS) t.match(parseMessage(JSON.stringify({ ...message, [member]: id })), { [member]: id })
    for (const id of ODD_IDS) t.equal(parseMessage(JSON.stringify({ ...message, [member]: id })), undefined, `${message.type}, ${member}`)
  }
})

t.test('a call or a node that Redis knows by what is no id is not listed', { skip }, async t => {
  const redis = await startRedis(t)
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' })]
  await b.take({ provider: 'millis', id: 'ses_1' })
  await redis.client.hset('voice-agent:{node:b}:calls', 'millis:ses\n2', '1')
  await redis.client.zadd('voice-agent:{nodes}:alive', Date.now() + 60_000, 'c\n')
  await redis.client.hset('voice-agent:{nodes}:load', 'c\n', '1')
  await redis.client.hset('voice-agent:{ses_3}:millis', 'node', 'c\n', 'startedAt', '1')

  const listed: string[] = []
  for await (const { id } of a.cluster.calls.list()) listed.push(id)
  t.strictSame(listed, ['ses_1'])
  t.strictSame((await a.cluster.calls.nodes()).map(({ id }) => id).sort(), ['a', 'b'])
  t.equal(await a.cluster.calls.get('ses_3'), undefined)
})

t.test('a call is found by its own id, and not by a text that UTF-8 makes the same', { skip }, async t => {
  const redis = await startRedis(t)
  const [a, b] = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' })]
  await b.take({ provider: 'millis', id: 'ses_\ufffd' })
  t.equal((await a.cluster.calls.get('ses_\ufffd'))?.node, 'b')
  t.equal(await a.cluster.calls.get('ses_\ud800'), undefined)
})
