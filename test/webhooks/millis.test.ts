import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import t from 'tap'
import { type PrefetchReply, type PrefetchSession } from '../../lib/index.js'
import { deferred } from '../helpers/app.js'
import { useClock } from '../helpers/clock.js'
import { setEnv } from '../helpers/env.js'
import { BEARER, SECRET, send, withWebhooks } from '../helpers/webhooks.js'

setEnv(t)

const CHAT = [{ role: 'assistant', content: 'Hello' }, { role: 'user', content: 'Zoë here' }]
const ENDED = { session_id: 'ses_1', agent_id: 'agent_1', duration: 12.5, chat: JSON.stringify(CHAT), call_status: 'user-ended' }

t.test('the end of a call is acknowledged without a word, and told with its chat', async t => {
  const { millis, allTold, complaints } = await withWebhooks(t)
  const { statusCode, body } = await millis(ENDED)
  t.strictSame([statusCode, body], [204, ''])
  t.strictSame(await allTold(), [{ provider: 'millis', event: 'call_ended', callId: 'ses_1', chat: CHAT, call: ENDED }])
  t.strictSame(complaints(), [])
})

t.test('it is told once, however often it comes, and apart from a call of Retell\'s', async t => {
  const { millis, retell, allTold } = await withWebhooks(t)
  await Promise.all([millis(ENDED), millis(ENDED), millis({ ...ENDED, ts: 5 }), retell({ event: 'call_ended', call: { call_id: 'ses_1' } })])
  for (const body of [ENDED, { ...ENDED, session_id: 'ses_2' }, { chat: '[]' }, { chat: '[]' }]) t.equal((await millis(body)).statusCode, 204)
  t.strictSame((await allTold()).map(({ provider, callId }) => `${provider} ${callId}`).sort(), ['millis ses_1', 'millis ses_2', 'millis undefined', 'millis undefined', 'retell ses_1'])
})

t.test('a chat that cannot be read is told as it was sent, and the log says so', async t => {
  const chats: Array<[sent: unknown, read: unknown]> = [
    ['[{"role":"user"', undefined], ['"Hello"', undefined], ['["Hello"]', undefined], ['', undefined], [5, undefined], [null, undefined], [CHAT, CHAT], ['[]', []], ['[{"n":1}]', [{ n: 1 }]]
  ]
  const { millis, allTold, complaints } = await withWebhooks(t)
  for (const [index, [chat]] of chats.entries()) await millis({ session_id: `ses_${index}`, chat })
  t.strictSame((await allTold()).map(event => event.provider === 'millis' && [event.call.chat, event.chat]), chats)
  t.equal(complaints().filter(msg => msg === 'the chat of a call cannot be read: it is in event.call as it was sent').length, 6)
})

t.test('a body that is no JSON object is refused with 400, and told to nobody', async t => {
  const { millis, allTold } = await withWebhooks(t)
  for (const body of ['', '{', '[]', 'null', '5']) {
    t.match((await millis(body)).json(), { statusCode: 400, code: 'VOICE_AGENT_ERR_WEBHOOK' }, body)
  }
  t.strictSame(await allTold(), [])
})

t.test('who does not know the secret is refused with 401, before the body, and the log tells the operator why', async t => {
  const { app, complaints, logs } = await withWebhooks(t, { onPrefetch: () => { t.fail('nobody was to be told') } })
  const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/webhooks/millis`
  const missing = "refused: no Authorization header: let the webhook's headers have one, Bearer and the secret"
  const wrong = 'refused: the Authorization header is not Bearer and MILLIS_WEBHOOK_SECRET (option millis.webhookSecret)'
  const cases: Array<[headers: Record<string, string>, why: string]> = [
    [{}, missing], [{ authorization: '' }, wrong], [{ authorization: 'Bearer ' }, wrong], [{ authorization: SECRET }, wrong],
    [{ authorization: `Basic ${SECRET}` }, wrong], [{ authorization: `Bearer ${SECRET}x` }, wrong], [{ authorization: `Bearer ${SECRET} x` }, wrong]
  ]
  for (const method of ['POST', 'GET']) {
    for (const [headers, why] of cases) {
      const answer = await send(t, `${url}?from=%2B14155550101`, { ...headers, ...(method === 'POST' && { 'content-length': 5 }) }, request => { if (method === 'GET') request.end() }, method)
      t.match(answer, { status: 401, headers: { 'www-authenticate': 'Bearer' } }, `${method} ${why}`)
      t.strictSame(JSON.parse(answer.body), { statusCode: 401, code: 'VOICE_AGENT_ERR_UNAUTHORIZED', error: 'Unauthorized', message: 'Unauthorized' })
      t.equal(complaints().at(-1), why)
    }
  }
  t.notMatch(JSON.stringify(logs), new RegExp(`${SECRET}|4155550101`))
  t.equal((await fetch(url, { method: 'POST', body: JSON.stringify(ENDED), headers: { authorization: `bearer  ${SECRET}` } })).status, 204)
})

t.test('a secret may be replaced: of several any is known', async t => {
  const { millis } = await withWebhooks(t, { millis: { webhookSecret: 'old, new' } })
  const statuses: number[] = []
  for (const secret of ['old', 'new', 'old,', 'old, new', SECRET]) statuses.push((await millis(ENDED, { authorization: `Bearer ${secret}` })).statusCode)
  t.strictSame(statuses, [204, 204, 401, 401, 401])
})

t.test('the allowlist of the calls is that of the webhooks, and the secret is enough where there is none', async t => {
  for (const [allowlist, status] of [['', 204], ['127.0.0.1', 204], ['192.0.2.1', 403]] as const) {
    const { millis } = await withWebhooks(t, { millis: { allowlist } })
    t.equal((await millis(ENDED)).statusCode, status, allowlist)
  }
})

// Before a call

const prefetchUrl = (query: string) => ({ url: `/webhooks/millis${query}`, headers: BEARER })

t.test('before a call Millis is told what onPrefetch answers', async t => {
  const asked: PrefetchSession[] = []
  const { app } = await withWebhooks(t, {
    async onPrefetch (session) {
      asked.push(session)
      return { metadata: { name: 'Zoë', visits: 7 }, extra_prompt: 'Be brief.' }
    }
  }, { server: { routerOptions: { querystringParser: () => ({ from: 'the app\'s own' }) } }, before: app => { app.addHook('preSerialization', async () => ({ wrapped: true })) } })
  const response = await app.inject(prefetchUrl('?session_id=ses_1&agent_id=agent_1&from=%2B14155550101&to=+14155550199&crm=c-19&name=Zo%C3%AB&__proto__=x&crm=c-20'))
  t.match(response, { statusCode: 200, headers: { 'content-type': 'application/json; charset=utf-8' } })
  t.strictSame(response.json(), { metadata: { name: 'Zoë', visits: 7 }, extra_prompt: 'Be brief.' })
  await app.inject(prefetchUrl(''))
  await app.inject(prefetchUrl('?from=&%zz'))
  t.strictSame(asked, [
    { callId: 'ses_1', agentId: 'agent_1', from: '+14155550101', to: '+14155550199', metadata: JSON.parse('{"crm":"c-20","name":"Zoë","__proto__":"x"}') },
    { callId: undefined, agentId: undefined, from: undefined, to: undefined, metadata: {} },
    { callId: undefined, agentId: undefined, from: undefined, to: undefined, metadata: { '%zz': '' } }
  ])
})

t.test('without a hook, and with one that has nothing to say, fails or answers wrongly, the call begins without', async t => {
  const hooks: Array<[hook: (() => unknown) | undefined, complaints: string[]]> = [
    [undefined, []], [() => {}, []], [() => { throw new Error('no database') }, ['onPrefetch failed']],
    [() => ({ extra_prompt: 5 }), ['onPrefetch failed']], [() => [], ['onPrefetch failed']]
  ]
  for (const [hook, expected] of hooks) {
    const { app, complaints } = await withWebhooks(t, hook === undefined ? {} : { onPrefetch: hook as () => PrefetchReply })
    const response = await app.inject(prefetchUrl('?session_id=ses_1'))
    t.strictSame([response.statusCode, response.json()], [200, {}])
    t.strictSame(complaints(), expected)
  }
})

t.test('a hook that takes longer than 2 s lets the call begin without', async t => {
  const clock = useClock(t)
  const [asked, never] = [deferred(), deferred<PrefetchReply>()]
  const { app, complaints } = await withWebhooks(t, {
    onPrefetch () {
      asked.resolve()
      return never.promise
    }
  })
  let isOver = false
  const response = app.inject(prefetchUrl('')).finally(() => { isOver = true })
  await asked.promise
  await clock.pass(1_999)
  await nextLoopTurn()
  t.notOk(isOver)
  await clock.pass(1)
  t.strictSame((await response).json(), {})
  t.strictSame(complaints(), ['onPrefetch is too slow: the call goes on without its answer'])
  never.resolve({})
})

t.test('a HEAD asks nobody', async t => {
  const { app } = await withWebhooks(t, { onPrefetch: () => { t.fail('nobody was to be asked') } })
  t.equal((await app.inject({ method: 'HEAD', ...prefetchUrl('') })).statusCode, 404)
})
