/**
 * The page of live calls in a real browser. With SCREENSHOTS set to a directory, pictures of it are left there to be
 * looked at.
 */
import { once } from 'node:events'
import type { Locator, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import Fastify from 'fastify'
import voiceAgentPlugin, { toolCall, toolResult, type Call, type Turn } from '../../lib/index.js'
import playground from '../../lib/playground/index.js'
import { callChannel, callStartChannel, turnChannel } from '../../lib/telemetry/channels.js'
import { MillisCaller, RetellCaller } from '../../lib/testing/index.js'
import { deferred } from '../helpers/app.js'
import { look, noBrowser, onPage, startBrowser, violations } from '../helpers/browser.js'
import { setEnv } from '../helpers/env.js'
import { ENABLED, withToken } from '../helpers/playground.js'

setEnv(t)

/** An app with both pages, whose agent waits where it is told to. */
async function serve (t: Test) {
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(() => app.close())
  const [first, rest] = [deferred(), deferred()]
  app.decorate('agent', async function * (turn: Turn) {
    switch (turn.transcript.at(-1)?.content) {
      case 'hold':
        await first.promise
        yield toolCall('tool_1', 'look_up', {})
        yield toolResult('tool_1', 'found')
        yield 'One. '
        await rest.promise
        return yield 'Two.'
      case 'wait':
        await once(turn.signal, 'abort')
        return
      case 'fail': throw new Error('broken')
    }
    yield 'Yes.'
  })
  await app.register(voiceAgentPlugin, { drainTimeoutMs: 0, millis: { allowlist: '127.0.0.1' } })
  await app.register(playground, ENABLED)
  const viewing = { refused: false, asked: 0 }
  app.addHook('onRequest', async ({ url }, reply) => {
    if (url !== '/calls/events') return
    viewing.asked++
    if (viewing.refused) return await reply.code(503).send()
  })
  return { app, url: withToken(`${await app.listen({ port: 0, host: '127.0.0.1' })}/calls`), first, rest, viewing }
}

/** Opens the page anew, with a clock that stands still. */
async function stopClock (page: Page): Promise<void> {
  await page.clock.install({ time: 0 })
  await page.reload()
  await page.getByText('Connected').waitFor()
  await page.clock.pauseAt(3_600_000)
}

function cardOf (page: Page, list: 'calls' | 'ended', id: string): Locator {
  return page.locator(`#${list} .card`, { hasText: id })
}

async function share (bar: Locator): Promise<number> {
  return parseFloat(await bar.evaluate(element => (element as unknown as { style: { width: string } }).style.width))
}

function publishTurns (turns: object[]): void {
  for (const turn of turns) turnChannel.publish({ turn: { call: {} as Call }, report: { turnId: 1, reason: 'response', outcome: 'completed', durationMs: 100, tools: [], ...turn } })
}

t.test('in a browser', { skip: noBrowser }, async t => {
  const browser = await startBrowser(t)

  const { app, url, first, rest } = await serve(t)
  await onPage(t, browser, url, 'a turn is drawn while the caller waits, and a call until it ends', {}, async (t, page) => {
    await page.getByText('No call is live.').waitFor()
    await stopClock(page)
    const retell = await RetellCaller.dial(app)
    const millis = await MillisCaller.dial(app)
    const card = cardOf(page, 'calls', retell.callId)
    const other = cardOf(page, 'calls', millis.sessionId)
    await card.getByText('greeting 0').waitFor()
    await other.getByText('Millis').waitFor()
    t.equal(await page.getByText('No call is live.').isVisible(), false)
    await page.clock.runFor(20)
    t.equal(await page.locator('#live').textContent(), '2')

    const waiting = card.locator('.track span').first()
    const reply = retell.ask('hold')
    await card.getByText('response 1').waitFor()
    t.equal(await card.locator('.outcome').textContent(), 'waiting')
    const before = await share(waiting)
    const seen = []
    for (const ms of [400, 500, 600]) {
      await page.clock.runFor(ms)
      seen.push({ percent: Math.round(await share(waiting) - before), pace: await waiting.getAttribute('data-pace') })
    }
    // 3 s are the whole; of the last frame a part may be missing.
    t.match(seen, [{ pace: 'good' }, { pace: 'fair' }, { pace: 'slow' }])
    for (const [i, percent] of [13, 30, 50].entries()) t.ok(Math.abs(seen[i]!.percent - percent) <= 1, `${seen[i]!.percent} of ${percent}`)
    t.match(await card.locator('.times').first().textContent(), /^waiting 1[45]\d\d ms$/)

    // Stands from now on, and what is streamed grows.
    first.resolve()
    await card.getByText(/^first token \d+ ms, (good|fair|slow)$/).waitFor()
    t.equal(await card.locator('.outcome').textContent(), 'streaming')
    const token = await share(waiting)
    const streamed = await share(card.locator('.track .rest'))
    await page.clock.runFor(300)
    t.equal(await share(waiting), token)
    t.equal(Math.round(await share(card.locator('.track .rest')) - streamed), 10)
    t.equal(await card.locator('.track .sentence').isVisible(), false)
    rest.resolve()
    await reply.over()
    await card.getByText(/^first token \d+ ms, (good|fair|slow) · first sentence \d+ ms · total \d+ ms · 1 tool call$/).waitFor()
    t.match(await card.locator('.outcome').textContent(), 'completed')
    t.equal(await card.locator('.track .sentence').isVisible(), true)
    t.match(await card.locator('svg').getAttribute('aria-label'), /^First tokens, the last one last: \d+ ms, completed; \d+ ms, completed$/)
    t.equal(await card.locator('svg rect').count(), 2)

    millis.ask('wait')
    await other.getByText('waiting', { exact: true }).waitFor()
    await millis.say('Tuesday')
    await other.getByText('◇ 1 superseded').waitFor()
    t.equal(await other.locator('svg [data-kind=cut] path').count(), 1)
    t.match(await other.locator('svg').getAttribute('aria-label'), 'none, superseded; ')
    await millis.say('fail')
    await other.getByText('× error').waitFor()
    await other.getByText('◇ 1 superseded · × 1 error').waitFor()
    t.equal(await other.locator('svg [data-kind=failed] path').count(), 1)

    await page.clock.runFor(65_000)
    t.match(await card.locator('.head').textContent(), /1:\d\d · 2 turns/)
    await retell.hangUp()
    await cardOf(page, 'ended', retell.callId).getByText('Closed with 1000').waitFor()
    t.equal(await card.count(), 0)
    t.equal(await page.locator('#ended svg rect').count(), 2)
    await millis.hangUp()
    await page.getByText('No call is live.').waitFor()
    t.equal(await page.locator('#ended .card').count(), 2)
    // The clocks of page and server are hours apart by now.
    const third = await RetellCaller.place(app)
    await page.clock.runFor(1000)
    t.match(await cardOf(page, 'calls', third.callId).locator('.head').textContent(), /0:0\d · 1 turn$/)
    await third.hangUp()
  })

  await onPage(t, browser, url, 'where nothing is to move, it is told in steps', { reducedMotion: 'reduce' }, async (t, page) => {
    await stopClock(page)
    const call = await RetellCaller.dial(app)
    call.ask('wait')
    const card = cardOf(page, 'calls', call.callId)
    await card.getByText('waiting 0 ms').waitFor()
    await page.clock.runFor(490)
    t.equal(await card.locator('.times').first().textContent(), 'waiting 0 ms')
    await page.clock.runFor(490)
    t.equal(await card.locator('.times').first().textContent(), 'waiting 500 ms')
    await call.hangUp()
  })

  await t.test('figures are those of all calls', async t => {
    const { app, url } = await serve(t)
    await onPage(t, browser, url, 'as they happen, and as they were', {}, async (t, page) => {
      const figures = async (): Promise<string[]> => await page.locator('.figures dd').allTextContents()
      await stopClock(page)
      await page.clock.runFor(20)
      t.strictSame(await figures(), ['0', '0', '–', '–', '–', '0'])
      publishTurns([{ firstTokenMs: 100 }, { firstTokenMs: 300.4 }, { firstTokenMs: 200, outcome: 'superseded' }, { outcome: 'error' }, { outcome: 'deadline', firstTokenMs: 900 }])
      const shown = page.locator('#errors', { hasText: '2' })
      while (await shown.count() === 0) await page.clock.runFor(20)
      t.strictSame(await figures(), ['0', '5', '200 ms', '900 ms', '20 %', '2'])
      await page.clock.runFor(60_000)
      t.strictSame(await figures(), ['0', '0', '200 ms', '900 ms', '20 %', '2'])
      await stopClock(page)
      await page.clock.runFor(20)
      t.strictSame((await figures()).slice(2), ['200 ms', '900 ms', '20 %', '2'])

      // More in a minute than are remembered.
      publishTurns(Array.from({ length: 150 }, () => ({ firstTokenMs: 50 })))
      while (await page.locator('#p95', { hasText: '50 ms' }).count() === 0) await page.clock.runFor(20)
      await page.clock.runFor(10_000)
      const rate = Number((await figures())[1])
      t.ok(rate > 500 && rate <= 600, String(rate))
    })

    await onPage(t, browser, url, 'however many there are', {}, async (t, page) => {
      await page.getByText('Connected').waitFor()
      const crowd = Array.from({ length: 102 }, (_, i) => ({ id: `crowd_${i}`, provider: 'millis', direction: undefined }) as unknown as Call)
      for (const call of crowd) callStartChannel.publish({ call })
      await page.getByText('And 2 more.').waitFor()
      t.equal(await page.locator('#calls .card').count(), 100)
      for (const call of crowd) callChannel.publish({ call, summary: { durationMs: 61_000, code: 1008, limit: 'tokens' } })
      await page.getByText('No call is live.').waitFor()
      t.equal(await page.getByText('more.').isVisible(), false)
      t.equal(await page.locator('#ended .card').count(), 20)
      t.match(await page.locator('#ended .card').first().textContent(), /crowd_99.*1:01 · 0 turns.*Closed with 1008: ceiling tokens/)
      const call = await RetellCaller.dial(app)
      for (let i = 0; i < 25; i++) await call.say('Hi')
      await cardOf(page, 'calls', call.callId).getByText('response 25').waitFor()
      t.equal(await page.locator('#calls svg rect').count(), 20)
    })
  })

  await t.test('when the server goes, the page says so, and comes back', async t => {
    const { app, url, viewing } = await serve(t)
    const page = await browser.newPage()
    t.teardown(() => page.close())
    await page.goto(url)
    const call = await RetellCaller.dial(app)
    await cardOf(page, 'calls', call.callId).waitFor()

    // Refused for good, as far as the browser is concerned.
    viewing.refused = true
    app.server.closeAllConnections()
    await page.getByRole('alert').getByText('Trying again').waitFor()
    await page.locator('#status', { hasText: 'Disconnected' }).waitFor()
    await call.hangUp()
    const other = await RetellCaller.dial(app)
    t.equal(await cardOf(page, 'calls', call.callId).count(), 1)
    viewing.refused = false
    await cardOf(page, 'calls', other.callId).waitFor()
    await cardOf(page, 'ended', call.callId).waitFor()
    await page.getByText('Connected', { exact: true }).waitFor()
    t.equal(await page.locator('#banner').textContent(), '')
    t.equal(await page.locator('.card').count(), 2)

    // Cut off.
    const { asked } = viewing
    await other.hangUp()
    await cardOf(page, 'ended', other.callId).waitFor()
    app.server.closeAllConnections()
    const third = await RetellCaller.dial(app)
    await cardOf(page, 'calls', third.callId).waitFor()
    t.equal(viewing.asked, asked + 1)
    t.equal(await page.locator('.card').count(), 3)
    await third.hangUp()
  })

  await onPage(t, browser, url, 'one page leads to the other, by keyboard', {}, async (t, page) => {
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Playground' }).waitFor()
    await page.getByRole('link', { name: 'Live calls' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Live calls' }).waitFor()
    t.equal(page.url(), url.replace(/\?.*/, ''))
  })

  for (const [name, options] of [
    ['light', { colorScheme: 'light', viewport: { width: 1280, height: 860 } }],
    ['dark', { colorScheme: 'dark', viewport: { width: 1280, height: 860 } }],
    ['narrow', { colorScheme: 'light', viewport: { width: 360, height: 740 } }],
    ['narrow-dark', { colorScheme: 'dark', viewport: { width: 360, height: 740 } }]
  ] as const) {
    await t.test(`everybody can use it: ${name}`, async t => {
      const { app, url } = await serve(t)
      const page = await browser.newPage(options)
      t.teardown(() => page.close())
      await page.goto(url)
      await page.getByText('No call is live.').waitFor()
      t.strictSame(await violations(page), [])
      await look(page, `board-${name}-empty`)
      const [retell, millis, over] = [await RetellCaller.dial(app), await MillisCaller.dial(app), await RetellCaller.dial(app)]
      for (const words of ['Hi', 'fail', 'Hi']) await retell.say(words)
      millis.ask('wait')
      await millis.say('Hi')
      await over.say('fail')
      await over.hangUp()
      retell.ask('wait')
      await cardOf(page, 'ended', over.callId).waitFor()
      await cardOf(page, 'calls', retell.callId).locator('[data-pace=slow]').first().waitFor()
      t.strictSame(await violations(page), [])
      t.ok(await page.evaluate('document.documentElement.scrollWidth <= window.innerWidth'), 'nothing sticks out')
      await look(page, `board-${name}-calls`)
      await app.close()
      await page.getByRole('alert').getByText('Trying again').waitFor()
      t.strictSame(await violations(page), [])
      await look(page, `board-${name}-lost`)
    })
  }
})
