import t from 'tap'
import { dialUrl, retell } from './helpers/caller.js'
import { runNode } from './helpers/process.js'

const APP = `
const Fastify = require('fastify')
const voiceAgent = require('fastify-voice-agent')

const app = Fastify()
app.decorate('agent', function * (turn) {
  yield 'Goodbye!'
  yield voiceAgent.endCall()
})
app.register(REGISTERED, { retell: { allowlist: '*' } })
app.listen({ port: 0, host: '127.0.0.1' }).then(
  address => console.log('listening on ' + address),
  error => console.log('failed: ' + error.code)
)
`

for (const registered of ['voiceAgent', 'voiceAgent.default', 'voiceAgent.voiceAgentPlugin']) {
  t.test(`a CommonJS app takes a call with ${registered} of what it requires`, async t => {
    const program = runNode(t, ['--input-type=commonjs', '--eval', APP.replace('REGISTERED', registered)])
    const [, address] = await program.says(/^listening on http(:.*)$/m)
    const caller = await dialUrl(t, `ws${address}/llm-websocket/call_1`)
    caller.send(retell.details())
    t.match(await caller.response(0), [{}, { content: 'Goodbye!', content_complete: false }, { content_complete: true, end_call: true }])
    t.notMatch(program.output(), /warning/i)
  })
}
