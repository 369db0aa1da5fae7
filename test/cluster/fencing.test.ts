import fc from 'fast-check'
import t from 'tap'
import type { CallKey } from '../../lib/cluster/cluster.js'
import { Owner, startNode } from '../helpers/cluster.js'
import { noRedis, until } from '../helpers/redis.js'
import { sharedRedis } from '../helpers/shared-redis.js'
import { scaledRuns } from '../helpers/runs.js'

const node = fc.constantFrom(0, 1, 2)
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ does: fc.constant('claim' as const), node, isAwaited: fc.boolean() }) },
  { weight: 6, arbitrary: fc.record({ does: fc.constantFrom('save' as const, 'report' as const), node, isAwaited: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constantFrom('leave' as const, 'end' as const), node, isAwaited: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('deafen' as const), node, isAwaited: fc.boolean() }) }
)

t.test('whatever three nodes do with a call, one has it at the most, and its words stand', { skip: noRedis }, async t => {
  const redis = await sharedRedis(t)
  const nodes = [await startNode(t, { redis: redis.url, node: 'a' }), await startNode(t, { redis: redis.url, node: 'b' }), await startNode(t, { redis: redis.url, node: 'c' })]
  // A look-up that is answered comes after all that was sent before.
  const settled = async (): Promise<void> => { await Promise.all(nodes.map(({ cluster }) => cluster.calls.nodes())) }
  let run = 0
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async steps => {
    const key: CallKey = { provider: 'retell', id: `run_${++run}` }
    const record = `voice-agent:{run_${run}}:retell`
    const owners: Array<{ owner: Owner, node: number, claim: number, isOver: boolean, saved: string | undefined }> = []
    // A node that claims its call anew tells nobody: it knows.
    const newest = [0, 0, 0]
    const reports = new Map<string, Owner>()
    const pending: Array<Promise<void>> = []
    let count = 0
    for (const { does, node, isAwaited } of steps) {
      const mine = owners.filter(owner => owner.claim === newest[node] && !owner.isOver)
      switch (does) {
        case 'claim':
        {
          const claim = newest[node] = ++count
          pending.push(nodes[node]!.take(key).then(owner => {
            owners.push({ owner, node, claim, isOver: false, saved: undefined })
            // Of a call that never began nothing is kept.
            owner.save({ began: 'yes' })
          }))
          break
        }
        case 'save':
          for (const each of mine) {
            each.saved = `${node}:${++count}`
            each.owner.save({ said: each.saved })
          }
          break
        case 'report':
          for (const each of owners.filter(owner => owner.node === node)) {
            each.owner.claim.lease.report({ [`tool_${++count}`]: 'done' })
            reports.set(`tool_${count}`, each.owner)
          }
          break
        case 'leave':
        case 'end':
          for (const each of mine) {
            each.isOver = true
            each.owner.claim.lease[does]()
          }
          break
        case 'deafen':
          await redis.cutListeners()
      }
      if (isAwaited) {
        await Promise.all(pending)
        await settled()
      }
    }
    await Promise.all(pending)
    await settled()
    // Those who did not hear it learn it when they speak.
    for (const { owner, isOver } of owners) if (!isOver) owner.claim.lease.save({ last: 'word' })
    await settled()
    await settled()
    const live = owners.filter(({ owner, node, claim, isOver }) => claim === newest[node] && !isOver && owner.told.length === 0)
    const fields = await redis.client.hgetall(record)
    if (live.length > 1) throw new Error(`${live.length} nodes have the call`)
    if (!steps.some(({ does }) => does === 'end')) {
      const [holder] = live
      if (holder !== undefined && fields['node'] !== 'abc'[holder.node]) throw new Error('another node has it by Redis')
      const said = holder === undefined ? undefined : holder.saved ?? holder.owner.claim.fields['said']
      if (holder !== undefined && fields['f:said'] !== said) throw new Error(`${fields['f:said']} was written, not ${said}`)
      for (const name of reports.keys()) if (owners.length > 0 && fields[`f:${name}`] !== 'done') throw new Error(`${name} is not known`)
      const known = holder === undefined ? [] : [...Object.keys(holder.owner.claim.fields), ...holder.owner.reports.flatMap(report => Object.keys(report))]
      for (const [name, by] of reports) {
        if (holder !== undefined && by !== holder.owner && !known.includes(name)) throw new Error(`the node that has the call was not told of ${name}`)
      }
    }
    for (const { owner } of owners) {
      if (owner.told.filter(word => word === 'fenced').length > 1) throw new Error('fenced twice')
      owner.claim.lease.end()
    }
  }), { numRuns: scaledRuns(150) })
  t.strictSame(nodes.flatMap(({ lines }) => lines), [])
  await until(async () => (await redis.client.keys('*:calls')).length === 0)
})
