import t from 'tap'
import { createApp } from '../../example-app/app.js'
import { RetellCaller, startScriptedModel } from '../../lib/testing/index.js'
import { setEnv } from '../helpers/env.js'

setEnv(t)

t.test('where a model is named it answers, else the one that needs nothing', async t => {
  const model = await startScriptedModel()
  t.teardown(() => model.close())
  for (const [url, answer] of [[model.url, 'You said: Hi'], ['', 'I am sorry, can you say that again?']] as const) {
    process.env['OPENAI_BASE_URL'] = url
    const app = createApp()
    t.teardown(() => app.close())
    const call = await RetellCaller.dial(app)
    t.equal((await call.say('Hi')).text, answer)
    await call.hangUp()
  }
})
