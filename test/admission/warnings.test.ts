import t, { type Test } from 'tap'
import voiceAgentPlugin, { type VoiceAgentOptions } from '../../lib/index.js'
import { AT_ONCE, createApp } from '../helpers/app.js'
import { setEnv } from '../helpers/env.js'

setEnv(t)

const WEAK = 'VOICE_AGENT_SECRET (option secret): a secret of fewer than 16 characters can be guessed: openssl rand -hex 16 makes one'
const WIDE = 'TRUSTED_PROXIES (option trustedProxies) holds the whole internet: callers choose their own address. Name your proxies only'

async function warnings (t: Test, options: VoiceAgentOptions): Promise<object[]> {
  const { app, logs } = createApp(t)
  await app.register(voiceAgentPlugin, { ...AT_ONCE, millis: { allowlist: '*' }, ...options })
  await app.ready()
  return logs.filter(({ level }) => level >= 40).map(({ level, time, pid, hostname, ...line }) => line)
}

t.test('a secret that is short is warned of at start, without its value or length', async t => {
  for (const secret of ['s3cret', '0123456789abcde', ['0123456789abcdef', 's3cret']]) t.strictSame(await warnings(t, { secret }), [{ msg: WEAK }])
  for (const secret of [undefined, '0123456789abcdef', ['0123456789abcdef', 'fedcba9876543210']]) t.strictSame(await warnings(t, secret === undefined ? {} : { secret }), [])
})

t.test('proxies that are everybody are warned of at start', async t => {
  for (const trustedProxies of ['0.0.0.0/1,128.0.0.0/1', ['0.0.0.0/2', '64.0.0.0/2', '128.0.0.0/1'], '::/1,8000::/1', '2000::/3', '10.0.0.0/8, ::ffff:0:0/96']) {
    t.strictSame(await warnings(t, { trustedProxies }), [{ msg: WIDE }], String(trustedProxies))
  }
  for (const trustedProxies of ['10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7', '173.245.48.0/20,104.16.0.0/13,2606:4700::/32', '']) {
    t.strictSame(await warnings(t, { trustedProxies }), [], trustedProxies)
  }
})
