/**
 * What is answered to mistakes with the test kit.
 */
import t, { type Test } from 'tap'
import { MillisCaller, playScenario, readScenario, RetellCaller, startScriptedModel } from '../../lib/testing/index.js'
import { build } from '../helpers/app.js'
import { setEnv } from '../helpers/env.js'
import { testCalls } from './table.js'

setEnv(t)

const OPTIONS = 'clock, timeoutMs, wordsPerMinute, headers, address, attempts, redialMs'

/** An app that answers. */
const app = async (t: Test) => (await build(t)).app

async function model (t: Test) {
  const server = await startScriptedModel()
  t.teardown(() => server.close())
  return server
}

testCalls([
  {
    what: 'a caller of Retell with a letter missing',
    make: async t => await RetellCaller.dial(await app(t), { calId: 'call_1' } as never),
    error: 'RetellCaller: option calId is not known (did you mean "callId"?)'
  },
  {
    what: "a caller of Retell with Millis' option",
    make: async t => await RetellCaller.place(await app(t), { sessionId: 'ses_1' } as never),
    error: `RetellCaller: option sessionId is not known; known are ${OPTIONS}, ` +
      'path, callId, callType, from, to, direction, metadata, variables'
  },
  {
    what: 'a caller of Millis with a letter missing',
    make: async t => await MillisCaller.dial(await app(t), { sesionId: 'ses_1' } as never),
    error: 'MillisCaller: option sesionId is not known (did you mean "sessionId"?)'
  },
  {
    what: "a caller of Millis with Retell's option",
    make: async t => await MillisCaller.place(await app(t), { callId: 'call_1' } as never),
    error: `MillisCaller: option callId is not known; known are ${OPTIONS}, ` +
      'path, sessionId, voip, metadata, firstStreamId, introduces, redials'
  },
  {
    what: 'an interruption with a letter missing',
    make: async t => {
      const call = await RetellCaller.dial(await app(t))
      return await call.interrupt('No', { afterWord: 2 } as never)
    },
    error: 'interrupt: option afterWord is not known (did you mean "afterWords"?)'
  },
  {
    what: 'a scripted model with an unknown option',
    make: async () => await startScriptedModel({ keepAlive: 5 } as never),
    error: 'startScriptedModel: option keepAlive is not known; known are keepAliveTimeout'
  },
  {
    what: 'a script with a letter missing',
    make: async t => (await model(t)).next({ steps: ['Hi'], finishreason: 'stop' } as never),
    error: 'ScriptedModel: option finishreason is not known (did you mean "finishReason"?)'
  },
  {
    what: 'a refusal with a letter too many',
    make: async t => (await model(t)).next({ status: 429, header: {} } as never),
    error: 'ScriptedModel: option header is not known (did you mean "headers"?)'
  },
  {
    what: 'a script that is none',
    make: async t => (await model(t)).next({ done: false } as never),
    error: 'ScriptedModel: a script must be a text, a list of steps, { steps } or { status }'
  },
  {
    what: 'a scenario with an unknown option',
    make: async t => await playScenario(await app(t), readScenario('steps: [say: Hi]'), { providr: 'millis' } as never),
    error: 'playScenario: option providr is not known (did you mean "provider"?)'
  },
  {
    what: 'a scenario for a provider that there is not',
    make: async t => await playScenario(await app(t), readScenario('steps: [say: Hi]'), { provider: 'retel' } as never),
    error: 'playScenario: provider must be retell or millis'
  },
  {
    what: 'a scenario with a letter missing',
    make: () => readScenario('steps:\n  - say: Hi\n    expect:\n      sad: Hello'),
    error: 'scenario:4: /steps/0/expect/sad is not known here: Unexpected property (did you mean "said"?)'
  }
])

/** An agent that says nothing, as a test of its own finds out. */
t.test('a test of an agent that says nothing', async t => {
  const { app } = await build(t, turn => turn.reason === 'greeting' ? 'Hello.' : undefined)
  const call = await RetellCaller.dial(app)
  await call.say('Hi')
  await call.hangUp()
  t.strictSame(call.findings.map(({ code, message }) => `${code}: ${message}`), [
    'silent-reply: the reply was completed without a word and without an action: the caller hears silence'
  ])
  const { failures } = await playScenario(app, readScenario('steps: [say: Hi]'))
  t.strictSame(failures.map(({ at, message }) => `${at}: ${message}`), [
    'step 1 (say "Hi"): the agent said nothing; where silence is right, write expect: { said: false }'
  ])
})
