import { hostname } from 'node:os'
import t from 'tap'
import type { ClusterCall } from '../../lib/index.js'
import { MillisCaller, RetellCaller } from '../../lib/testing/index.js'
import { build } from '../helpers/app.js'
import { setEnv } from '../helpers/env.js'

setEnv(t)

const NODE = `${hostname()}-${process.pid}`

async function all (calls: AsyncIterable<ClusterCall>): Promise<ClusterCall[]> {
  const listed: ClusterCall[] = []
  for await (const call of calls) listed.push(call)
  return listed
}

const keyOf = ({ provider, id, node }: ClusterCall): string[] => [provider, id, node]

t.test('without other nodes the calls of this process are all there are', async t => {
  const { app: { calls: { cluster } }, app } = await build(t)
  const before = Date.now()
  t.equal(cluster.node, NODE)
  t.strictSame([await all(cluster.list()), await cluster.size(), await cluster.get('call_1')], [[], 0, undefined])

  await RetellCaller.dial(app, { callId: 'call_1' })
  await MillisCaller.dial(app, { sessionId: 'ses_1' })
  const listed = await all(cluster.list())
  t.strictSame(listed.map(keyOf), [['retell', 'call_1', NODE], ['millis', 'ses_1', NODE]])
  for (const { startedAt } of listed) t.ok(startedAt >= before && startedAt <= Date.now() && Number.isInteger(startedAt))
  t.equal(await cluster.size(), 2)
  t.strictSame([await cluster.get('call_1'), await cluster.get('ses_1')].map(call => keyOf(call!)), listed.map(keyOf))

  const [node, ...others] = await cluster.nodes()
  t.match(node, { id: NODE, calls: 2 })
  t.ok(node!.startedAt <= before && node!.startedAt > before - 60_000)
  t.strictSame(others, [])
})

t.test('a list ends, though calls begin while it is read', async t => {
  const { app } = await build(t)
  await RetellCaller.dial(app)
  let read = 0
  for await (const { provider } of app.calls.cluster.list()) {
    t.equal(provider, 'retell')
    await RetellCaller.dial(app)
    read++
  }
  t.equal(read, 1)
  t.equal(await app.calls.cluster.size(), 2)
})

t.test('a call is controlled as if it were on another node', async t => {
  const { app: { calls: { cluster } }, app } = await build(t)
  const retell = await RetellCaller.dial(app, { callId: 'call_1', callType: 'web_call' })
  const call = (await cluster.get('call_1'))!
  await call.interject('Five minutes left.', { interruptible: true })
  await call.sendMetadata({ page: 7 })
  await call.updateAgent({ responsiveness: 0.5 })
  await retell.settled()
  t.equal(retell.reply!.text, 'Five minutes left.')
  t.equal(retell.reply!.isUninterruptible, false)
  t.strictSame([retell.metadata, retell.agentConfig], [[{ page: 7 }], { responsiveness: 0.5 }])
  await call.end({ say: 'Goodbye.' })
  t.match(await retell.ended, { by: 'agent' })
  t.equal(retell.transcript.at(-1)!.content, 'Goodbye.')

  const other = await RetellCaller.dial(app, { callId: 'call_2' })
  await (await cluster.get('call_2'))!.transfer('+15550100009', { say: 'One moment.' })
  t.match(await other.ended, { destination: '+15550100009' })
})

t.test('what its provider cannot is refused, as is what comes too late', async t => {
  const { app: { calls: { cluster } }, app } = await build(t)
  const millis = await MillisCaller.dial(app, { sessionId: 'ses_1' })
  const call = (await cluster.get('ses_1'))!
  await t.rejects(call.interject('Hello?'), { code: 'VOICE_AGENT_ERR_UNSUPPORTED' })
  await call.end()
  t.match(await millis.ended, { by: 'agent' })
  while (app.calls.size > 0) await new Promise(setImmediate)
  await t.rejects(call.end(), { code: 'VOICE_AGENT_ERR_CALL_ENDED' })
  t.equal(await cluster.get('ses_1'), undefined)
})
