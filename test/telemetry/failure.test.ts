import t from 'tap'
import { SpeechError } from '../../lib/errors.js'
import { logDetail, logFailure } from '../../lib/telemetry/failure.js'
import { createApp } from '../helpers/app.js'

const CONTENT = 'my card number is 4111'

t.test('what was thrown is named at error level, and repeated at debug level only', async t => {
  const { app, logs } = createApp(t)
  const error = Object.assign(new SyntaxError(`Unexpected token\n    in "${CONTENT}"`), { code: 'E_PARSE', status: 429 })
  logFailure(app.log, error, 'agent failed')
  const [told, whole] = logs
  t.match(told, { level: 50, msg: 'agent failed', err: { type: 'SyntaxError', code: 'E_PARSE', status: 429, stack: /^ {4}at / } })
  t.notMatch(JSON.stringify(told), CONTENT)
  t.match(whole, { level: 20, err: { message: new RegExp(CONTENT) } })
})

t.test('messages of the plugin itself hold no content, and are told', async t => {
  const { app, logs } = createApp(t)
  logFailure(app.log, new SpeechError('an array'), 'agent failed')
  t.match(logs[0], { level: 50, err: { code: 'VOICE_AGENT_ERR_SPEECH', message: /an array/ } })
})

t.test('what is no error is named by its type', async t => {
  const { app, logs } = createApp(t)
  logFailure(app.log, CONTENT, 'agent failed')
  t.strictSame(logs[0]?.['err'], { type: 'string' })
  const bare = new Error(CONTENT)
  delete bare.stack
  logFailure(app.log, bare, 'agent failed')
  t.strictSame(logs[2]?.['err'], { type: 'Error', stack: '' })
})

t.test('a message that changed, or was never part of the stack, costs no more than itself', async t => {
  const { app, logs } = createApp(t)
  const error = new Error(`first\n    at ${CONTENT}`)
  error.message = CONTENT
  logFailure(app.log, error, 'agent failed')
  t.match(logs[0], { err: { type: 'Error', stack: /^ {4}at .*failure\.test/ } })
  t.notMatch(JSON.stringify(logs[0]), CONTENT)
})

t.test('an error that cannot be read is still told of', async t => {
  const { app, logs } = createApp(t)
  const error = Object.defineProperty(new Error(CONTENT), 'code', { enumerable: true, get () { throw new Error(CONTENT) } })
  logFailure(app.log, error, 'agent failed')
  logDetail(app.log, error, 'agent threw later')
  t.match(logs, [{ level: 50, msg: 'agent failed', err: { type: 'Error' } }, { level: 20, msg: 'agent failed' }, { level: 20, msg: 'agent threw later' }])
})
