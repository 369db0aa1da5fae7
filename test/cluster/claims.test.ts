import t from 'tap'
import type { CallKey } from '../../lib/cluster/cluster.js'
import { startNode } from '../helpers/cluster.js'
import { noRedis, startRedis, until } from '../helpers/redis.js'

const KEY: CallKey = { provider: 'retell', id: 'call_1' }
const skip = noRedis

t.test('the first claim of a call is new', { skip }, async t => {
  const redis = await startRedis(t)
  const a = await startNode(t, { redis: redis.url, node: 'a' })
  const { lease, ...claim } = await a.cluster.claim(KEY)
  t.strictSame(claim, { status: 'new', previousNode: undefined, fields: {}, isAdmitted: false })
  t.strictSame(a.lines, [])
})

t.test('another node is told what was saved, and the one that had the call that it is fenced', { skip }, async t => {
  const redis = await startRedis(t)
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
  const redis = await startRedis(t)
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
