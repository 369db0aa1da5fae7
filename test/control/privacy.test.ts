import t from 'tap'
import { RetellCaller } from '../../lib/testing/index.js'
import { TOKEN, withControl } from '../helpers/control.js'
import { setEnv } from '../helpers/env.js'

setEnv(t)

const NUMBER = '+14155550177'

t.test('what is said through it, and to whom, is neither logged nor answered, done or refused', async t => {
  const { app, logs, ask } = await withControl(t, {}, { level: 'info' })
  const said = { text: 'canary' }
  const caller = await RetellCaller.dial(app, { callId: 'call_1', from: NUMBER, callType: 'web_call', metadata: { customer: 'canary' } })
  const statuses: number[] = []
  for (const [request, payload, headers] of [
    ['GET /control/calls'],
    ['GET /control/calls/call_1'],
    ['GET /control/nodes'],
    ['POST /control/calls/call_1/interject', said],
    ['POST /control/calls/call_1/metadata', { metadata: { canary: NUMBER } }],
    // What people get wrong.
    [`GET /control/calls?from=${encodeURIComponent(NUMBER)}`],
    [`GET /control/calls?after=${encodeURIComponent(NUMBER)}`],
    [`GET /control/calls/${encodeURIComponent(NUMBER)}`],
    [`POST /control/calls/call_1/transfer?destination=${NUMBER}&say=canary`],
    ['POST /control/calls/call_1/transfer', { destination: { [NUMBER]: 'canary' } }],
    ['POST /control/calls/call_1/end', { canary: NUMBER }],
    ['POST /control/calls/call_1/end', `{"say":"canary ${NUMBER}`, { 'content-type': 'application/json' }],
    ['POST /control/calls/call_1/end', `say=canary ${NUMBER}`, { 'content-type': 'application/x-www-form-urlencoded' }],
    ['POST /control/calls/call_1/interject', said, { authorization: 'Bearer canary' }],
    ['POST /control/calls/call_1/transfer', { destination: NUMBER, say: 'canary' }]
  ] as Array<[request: string, payload?: object | string, headers?: Record<string, string>]>) {
    const { status, body } = await ask(request, payload, headers)
    statuses.push(status)
    t.notMatch(JSON.stringify(body ?? ''), /canary|4155550177/, request)
  }
  t.strictSame(statuses, [200, 200, 200, 204, 204, 400, 400, 404, 400, 400, 400, 400, 415, 401, 204])
  t.match(await caller.ended, { destination: NUMBER })
  t.equal(caller.reply!.text, 'canary')
  await app.close()
  t.ok(logs.length > 30)
  t.ok(logs.every(({ level }) => level >= 30))
  t.notMatch(JSON.stringify(logs), new RegExp(`canary|4155550177|${TOKEN}`))
})
