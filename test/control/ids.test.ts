import t from 'tap'
import { dial, millis } from '../helpers/caller.js'
import { withControl } from '../helpers/control.js'
import { setEnv } from '../helpers/env.js'
import { FAIR_IDS, ODD_IDS } from '../helpers/odd-ids.js'

setEnv(t)

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
