/**
 * OpenTelemetry from end to end: with the plugin, over sockets, beside the instrumentations of others.
 */
import { context, propagation, trace } from '@opentelemetry/api'
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici'
import t from 'tap'
import { startScriptedModel } from '../../lib/testing/scripted-model.js'
import { AT_ONCE, build, createApp, deferred } from '../helpers/app.js'
import { dial, retell } from '../helpers/caller.js'
import { setEnv } from '../helpers/env.js'
import { useTelemetry } from '../helpers/telemetry.js'
import voiceAgentPlugin, { type VoiceAgentOptions } from '../../lib/index.js'

/** An app whose agent asks a model on the loopback. */
async function setup (t: t.Test, options: VoiceAgentOptions = {}) {
  const model = await startScriptedModel()
  const ended = deferred()
  const { app, logs } = createApp(t)
  t.teardown(() => model.close())
  app.register(voiceAgentPlugin, { ...AT_ONCE, retell: { allowlist: '*' }, openai: { baseURL: model.url, greeting: '' }, onCallEnd: () => ended.resolve(), ...options })
  return {
    app,
    logs,
    model,
    async call () {
      model.next('At nine.')
      const caller = await dial(t, app, '/llm-websocket/call_1')
      caller.send(retell.details(), retell.request(1, 'When?'))
      await caller.response(1)
      caller.terminate()
      await ended.promise
    }
  }
}
