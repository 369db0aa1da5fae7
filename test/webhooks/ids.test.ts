import t from 'tap'
import type { InboundCall, PrefetchSession } from '../../lib/index.js'
import { setEnv } from '../helpers/env.js'
import { FAIR_IDS, ODD_IDS } from '../helpers/odd-ids.js'
import { BEARER, withWebhooks } from '../helpers/webhooks.js'

setEnv(t)

const fair = (ids: readonly string[]) => ids.map(id => FAIR_IDS.includes(id) ? id : undefined)
const isWellFormed = (id: string) => Buffer.from(id).toString() === id
const ALL = [...FAIR_IDS, ...ODD_IDS]

t.test('an event whose call id is none is told without, and logged without', async t => {
  const { millis, retell, allTold, logs } = await withWebhooks(t)
  for (const id of ALL) {
    await millis({ session_id: id, chat: 5 })
    await retell({ event: 'transcript_updated', call: { call_id: id } })
    await retell({ event: 'transcript_updated', chat: { chat_id: id } })
  }
  const told = await allTold()
  const ofEach = (fits: (event: typeof told[number]) => boolean) => told.filter(fits).map(({ callId }) => callId)
  t.strictSame(ofEach(({ provider }) => provider === 'millis'), fair(ALL))
  t.strictSame(ofEach(({ call }) => 'call_id' in call), fair(ALL))
  t.strictSame(ofEach(({ call }) => 'chat_id' in call), fair(ALL))
  const logged = logs.map(({ callId }) => callId).filter(id => id !== undefined)
  t.strictSame(new Set(logged), new Set(FAIR_IDS))
})

t.test('an event of Millis has the id of its call, also where that is a number', async t => {
  const { millis, allTold } = await withWebhooks(t)
  for (const id of ['77', '9007199254740993', '1e999']) await millis(`{"session_id":${id},"chat":[]}`)
  t.strictSame((await allTold()).map(({ callId }) => callId), ['77', undefined, undefined])
})

t.test('a chat of lists in lists is told as it was sent', async t => {
  const { millis, allTold } = await withWebhooks(t)
  const chat = `[{"role":${'['.repeat(200_000)}${']'.repeat(200_000)}}]`
  await millis({ session_id: 'ses_1', chat })
  t.strictSame((await allTold()).map(event => event.provider === 'millis' && [event.chat, event.call.chat]), [[undefined, chat]])
})

t.test('a question of who takes a call tells the ids that are ids', async t => {
  const rung: InboundCall[] = []
  const fetched: PrefetchSession[] = []
  const { app, retell } = await withWebhooks(t, { onInboundCall: call => { rung.push(call) }, onPrefetch: session => { fetched.push(session) } })
  for (const id of ALL) {
    await retell({ event: 'call_inbound', call_inbound: { call_id: id, agent_id: id } })
    if (!isWellFormed(id)) continue
    const query = `session_id=${encodeURIComponent(id)}&agent_id=${encodeURIComponent(id)}`
    await app.inject({ method: 'GET', url: `/webhooks/millis?${query}`, headers: BEARER })
  }
  t.strictSame(rung.map(({ callId, agentId }) => [callId, agentId]), fair(ALL).map(id => [id, id]))
  t.strictSame(fetched.map(({ callId, agentId }) => [callId, agentId]), fair(ALL.filter(isWellFormed)).map(id => [id, id]))
})
