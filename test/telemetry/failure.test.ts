import t from 'tap'
import { SpeechError } from '../../lib/contract/errors.js'
import { logDetail, logFailure, logFault, markSafe, NO_MESSAGE } from '../../lib/telemetry/failure.js'
import { createApp } from '../helpers/app.js'
import { runIn } from '../helpers/env.js'

const CONTENT = 'my card number is 4111'

t.beforeEach(t => runIn(t, 'production'))

t.test('an error\'s type is logged at error level, its message at debug level only', async t => {
  const { app, logs } = createApp(t)
  const error = Object.assign(new SyntaxError(`Unexpected token\n    in "${CONTENT}"`), { code: 'E_PARSE', status: 429 })
  logFailure(app.log, error, 'agent failed')
  const [told, whole] = logs
  t.match(
    told,
    { level: 50, msg: 'agent failed', err: { type: 'SyntaxError', message: NO_MESSAGE, code: 'E_PARSE', status: 429, stack: /^ {4}at / } }
  )
  t.notMatch(JSON.stringify(told), CONTENT)
  t.match(whole, { level: 20, err: { message: new RegExp(CONTENT) } })
})

t.test('messages of the plugin\'s own errors are logged, since they hold no content', async t => {
  const { app, logs } = createApp(t)
  logFailure(app.log, new SpeechError('an array'), 'agent failed')
  t.match(logs[0], { level: 50, err: { type: 'FastifyError', code: 'VOICE_AGENT_ERR_SPEECH', message: /an array/ } })
})

t.test('a thrown value that is not an error is logged by its type', async t => {
  const { app, logs } = createApp(t)
  logFailure(app.log, CONTENT, 'agent failed')
  t.strictSame(logs[0]?.['err'], { type: 'string', message: NO_MESSAGE, stack: '' })
  const bare = new Error(CONTENT)
  delete bare.stack
  logFailure(app.log, bare, 'agent failed')
  t.strictSame(logs[2]?.['err'], { type: 'Error', message: NO_MESSAGE, stack: '' })
})

t.test('the stack is logged even if the message changed or was never part of it', async t => {
  const { app, logs } = createApp(t)
  const error = new Error(`first\n    at ${CONTENT}`)
  error.message = CONTENT
  logFailure(app.log, error, 'agent failed')
  t.match(logs[0], { err: { type: 'Error', stack: /^ {4}at .*failure\.test/ } })
  t.notMatch(JSON.stringify(logs[0]), CONTENT)
})

t.test('an error whose members throw is still logged', async t => {
  const { app, logs } = createApp(t)
  const error = Object.defineProperty(new Error(CONTENT), 'code', { enumerable: true, get () { throw new Error(CONTENT) } })
  logFailure(app.log, error, 'agent failed')
  logDetail(app.log, error, 'agent threw later')
  t.match(logs, [
    { level: 50, msg: 'agent failed', err: { type: 'Error' } }, { level: 20, msg: 'agent failed' }, { level: 20, msg: 'agent threw later' }
  ])
})

t.test('the message is logged at error level in development only', async t => {
  const cases: Array<[environment: string | undefined, isTTY: boolean, isTold: boolean]> = [
    ['development', false, true],
    ['test', false, true],
    [undefined, true, true],
    ['', true, true],
    [undefined, false, false],
    ['production', true, false],
    ['staging', true, false]
  ]
  for (const [environment, isTTY, isTold] of cases) {
    t.test(`NODE_ENV is ${environment}, and standard output is ${isTTY ? 'a' : 'no'} terminal`, async t => {
      runIn(t, environment, isTTY)
      const { app, logs } = createApp(t)
      logFailure(app.log, new TypeError('the diary is not open'), 'agent failed')
      logFailure(app.log, 'the diary is not open', 'agent failed')
      t.strictSame(
        logs.filter(({ level }) => level === 50).map(({ err }) => (err as Error).message),
        Array(2).fill(isTold ? 'the diary is not open' : NO_MESSAGE)
      )
    })
  }
})

t.test('a fault of this package is logged without its message everywhere, since it may quote a frame', async t => {
  runIn(t, 'development')
  const { app, logs } = createApp(t)
  logFault(app.log, new SyntaxError(CONTENT), 'frame could not be handled')
  t.match(logs, [{ level: 50, err: { type: 'SyntaxError', message: NO_MESSAGE } }, { level: 20, err: { message: CONTENT } }])
})

t.test('a numeric code is logged', async t => {
  const { app, logs } = createApp(t)
  logFailure(app.log, Object.assign(new Error(CONTENT), { code: 429 }), 'agent failed')
  t.match(logs[0], { err: { code: '429', message: NO_MESSAGE } })
})

t.test('the messages of an error\'s causes are logged with it, and their code', async t => {
  runIn(t, 'development')
  const { app, logs } = createApp(t)
  const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:9'), { code: 'ECONNREFUSED' })
  const both = Object.assign(new AggregateError([refused, new Error('another address')], ''), { code: 'several words' })
  logFailure(app.log, new Error('Connection error.', { cause: new TypeError('fetch failed', { cause: both }) }), 'agent failed')
  t.match(
    logs[0], { err: { type: 'Error', message: 'Connection error.: fetch failed: connect ECONNREFUSED 127.0.0.1:9', code: 'ECONNREFUSED' } }
  )
})

t.test('circular causes, and causes that are not errors, are left out', async t => {
  runIn(t, 'development')
  const { app, logs } = createApp(t)
  const error = new Error('round')
  error.cause = error
  logFailure(app.log, error, 'agent failed')
  logFailure(app.log, new Error('flat', { cause: { message: CONTENT } }), 'agent failed')
  t.match(logs.filter(({ level }) => level === 50), [{ err: { message: 'round' } }, { err: { message: 'flat' } }])
})

t.test('a long message is cut', async t => {
  runIn(t, 'development')
  const { app, logs } = createApp(t)
  logFailure(app.log, new Error('x'.repeat(1_001)), 'agent failed')
  t.equal((logs[0]?.['err'] as Error).message, `${'x'.repeat(1_000)}…`)
})

t.test('a message that is marked safe is logged everywhere', async t => {
  const { app, logs } = createApp(t)
  logFailure(app.log, markSafe(new Error('models.example.com:443 cannot be reached')), 'agent failed')
  t.match(logs[0], { err: { type: 'Error', message: 'models.example.com:443 cannot be reached' } })
})
