import t from 'tap'
import { dial, millis } from '../helpers/caller.js'
import { withControl } from '../helpers/control.js'
import { setEnv } from '../helpers/env.js'
import { FAIR_IDS, ODD_IDS } from '../helpers/odd-ids.js'

setEnv(t)

t.test('a page has a whole number of calls, written in digits, or is refused', async t => {
  const { ask } = await withControl(t)
  const statusOf = async (query: string) => (await ask(`GET /control/calls?${query}`)).status
  for (const limit of ['1', '007', '1000']) t.equal(await statusOf(`limit=${limit}`), 200, limit)
  for (const limit of ['1.5', '1e999', '1e2', '0x10', 'true', 'null', '-1', '0', '1001', '', '%20', '1%20', '9'.repeat(400)]) {
    t.equal(await statusOf(`limit=${limit}`), 400, limit)
  }
  const odd = ['limit=1&limit=2', 'after=a&after=b', 'node=a&node=b', 'provider[]=retell', '__proto__=1', 'constructor=1', 'toString=1']
  for (const query of odd) t.equal(await statusOf(query), 400, query)
  t.equal(await statusOf('node=123'), 200)
})

t.test('each page leads to the next one, whatever session ids were sent', async t => {
  const { app, ask } = await withControl(t)
  const ids = [...ODD_IDS, ...FAIR_IDS]
  for (const id of ids) {
    const caller = await dial(t, app, '/millis')
    caller.send(millis.start(0, id))
    await caller.stream(0)
  }
  const listed: string[] = []
  let after: string | undefined
  do {
    const { status, body } = await ask(`GET /control/calls?limit=1${after === undefined ? '' : `&after=${encodeURIComponent(after)}`}`)
    t.equal(status, 200)
    listed.push(...body.calls.map(({ id }: { id: string }) => id))
    after = body.next
  } while (after !== undefined)
  t.equal(listed.length, ids.length)
  t.strictSame(listed.filter(id => ODD_IDS.includes(id)), [])
  t.strictSame(FAIR_IDS.filter(id => !listed.includes(id)), [])
})
