/**
 * Ids that providers, or whoever speaks like one, make up: in frames they end up in log lines, pages and keys.
 */
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { CallSummary } from '../../lib/index.js'
import { millisInbound, sessionIdOf } from '../../lib/providers/millis/frames.js'
import { retellTranscript } from '../../lib/providers/retell/transcript.js'
import { build, deferred } from '../helpers/app.js'
import { millis } from '../helpers/caller.js'
import { FAIR_IDS, ODD_IDS } from '../helpers/odd-ids.js'
import { RawPeer, rawFrame, TEXT } from '../helpers/raw-peer.js'

const UUID = /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[\da-f]{4}-[\da-f]{12}$/

for (const [behaviour, ids] of [['a session_id that is no id does not name its call', ODD_IDS], ['a session_id that is an id names its call', FAIR_IDS]] as const) {
  t.test(behaviour, async t => {
    let ended = deferred<CallSummary>()
    const { app, logs } = await build(t, undefined, { retell: false, onCallEnd: (_call, summary) => { ended.resolve(summary) } })
    await app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = app.server.address() as AddressInfo

    for (const id of ids) {
      const from = logs.length
      ended = deferred()
      const peer = await RawPeer.upgraded(t, port, '/millis')
      // Lone surrogates are escaped in JSON, as providers write them.
      peer.write(rawFrame(TEXT, JSON.stringify(millis.start(0, id))))
      await peer.heard(/"end_of_stream":true/)
      peer.socket.destroy()
      const { callId } = await ended.promise
      if (ids === FAIR_IDS) t.equal(callId, id)
      else t.match(callId, UUID, escape(id))
      const logged = logs.slice(from).map(({ callId }) => callId).filter(id => id !== undefined)
      t.equal(logged.includes(callId), true)
      t.equal(logged.includes(id), ids === FAIR_IDS)
    }
  })
}

t.test('a frame whose session_id is none is read all the same, as by its number', async t => {
  for (const id of [...ODD_IDS, {}, [], true, 1.5, 1e308]) {
    t.ok(millisInbound.start_call.Check({ session_id: id }))
    t.equal(sessionIdOf(id), undefined)
  }
  t.equal(sessionIdOf(77), '77')
})

t.test('a tool call or a result whose id or name is none is left out of what a model reads', async t => {
  const entries = (id: string, name: string) => retellTranscript({
    transcript: [],
    transcript_with_tool_calls: [
      { role: 'tool_call_invocation', tool_call_id: id, name, arguments: '{}' }, { role: 'tool_call_result', tool_call_id: id, content: 'done' }
    ]
  }).entries().map(({ kind }) => kind)
  for (const odd of ODD_IDS) {
    t.strictSame(entries(odd, 'book'), [])
    t.strictSame(entries('t', odd), ['tool-result'])
  }
  for (const id of FAIR_IDS) t.strictSame(entries(id, id), ['tool-call', 'tool-result'])
})
