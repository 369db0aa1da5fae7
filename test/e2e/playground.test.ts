/**
 * The playground of the example app: one click on what `npm start` prints opens it, and in production there is none.
 */
import t, { type Test } from 'tap'
import { noBrowser, startBrowser } from '../helpers/browser.js'
import { compiledArgumentsOf } from '../helpers/example-app.js'
import { runNode, type Program } from '../helpers/process.js'
import { upgrade } from '../helpers/upgrade.js'

const args = compiledArgumentsOf('start')
// Without the file of the clone.
const deployedArgs = args.filter(arg => !arg.startsWith('--env-file'))

const PLAYGROUND = /^Playground {2}(http:\/\/127\.0\.0\.1:(\d+)\/\?token=([0-9a-f]{32}))$/m

async function originOf (app: Program): Promise<string> {
  const [, url] = await app.says(/^Retell .*ws:\/\/(\S+?)\/llm-websocket/m)
  return `http://${url}`
}

async function statuses (t: Test, origin: string): Promise<number[]> {
  const pages = await Promise.all(['/', '/calls', '/calls/events', '/playground/main.js', '/metrics'].map(async path => {
    const response = await fetch(origin + path, { headers: { host: 'localhost' } })
    await response.text()
    return response.status
  }))
  return [...pages, (await upgrade(t, `${origin}/playground/call`)).status]
}

t.test('one click on the printed URL opens the page', { skip: noBrowser }, async t => {
  const app = runNode(t, args, { PORT: '0' })
  const [, url] = await app.says(PLAYGROUND)
  const browser = await startBrowser(t)
  const page = await browser.newPage()
  await page.goto(url!)
  await page.getByRole('button', { name: 'Call' }).click()
  await page.locator('#conversation .agent', { hasText: 'How may I help you?' }).waitFor()
  await page.getByRole('button', { name: 'Hang up' }).click()
  await page.getByRole('link', { name: 'Live calls' }).click()
  await page.getByText('Connected').waitFor()
})

t.test('the token is printed once, and stands in no line of the log', async t => {
  const app = runNode(t, args, { PORT: '0' })
  const [, url, , token] = await app.says(PLAYGROUND)
  const origin = await originOf(app)
  t.equal((await fetch(url!, { redirect: 'manual' })).status, 303)
  for (const path of ['/', '/calls/events', '/playground/call', '/cals', '/%zz', '/llm-websocket/call_1']) await fetch(`${origin}${path}?token=${token}`, { method: 'HEAD', redirect: 'manual' })
  app.kill('SIGTERM')
  t.equal(await app.exit, 0)
  t.equal(app.output().split(token!).length, 2)
  t.match(app.output(), /no route has this URL/)
})

t.test('without the token strangers are served nothing', async t => {
  const app = runNode(t, args, { PORT: '0', TRUSTED_PROXIES: '127.0.0.1,::1' })
  t.strictSame(await statuses(t, await originOf(app)), [403, 403, 403, 403, 404, 403])
})

for (const [what, runArgs, env, why] of [
  ['where NODE_ENV is production, even with the file of the clone', args, { NODE_ENV: 'production' }, 'NODE_ENV is neither development nor test'],
  ['where NODE_ENV is not set, and standard output is no terminal', deployedArgs, { PLAYGROUND: 'true' }, 'NODE_ENV is not set, and standard output is no terminal'],
  ['where nobody has switched it on', deployedArgs, {}, 'PLAYGROUND (option enabled) is not true']
] as const) {
  t.test(`there is no playground ${what}`, async t => {
    const app = runNode(t, [...runArgs], { PORT: '0', ...env })
    t.strictSame(await statuses(t, await originOf(app)), [404, 404, 404, 404, 404, 404])
    // Lines of the log leave a moment later.
    await app.says(/the playground is off: .*\n/)
    t.match(app.output(), `the playground is off: ${why}`)
    t.notMatch(app.output(), 'token')
  })
}
