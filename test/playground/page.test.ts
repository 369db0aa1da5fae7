/**
 * The page in a real browser. With SCREENSHOTS set to a directory, pictures of it are left there to be looked at.
 */
import { once } from 'node:events'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import Fastify from 'fastify'
import voiceAgentPlugin, { endCall, transferCall, type Turn } from '../../lib/index.js'
import playground from '../../lib/playground/index.js'
import { look, noBrowser, onPage, startBrowser, violations } from '../helpers/browser.js'
import { setEnv } from '../helpers/env.js'
import { ENABLED, withToken } from '../helpers/playground.js'

setEnv(t)

// A minute of it, so that a slow machine interrupts in the middle, too.
const LONG = `One two${' three four five six seven eight nine'.repeat(40)} ten.`

const VOICE = `
  globalThis.aloud = []
  globalThis.SpeechSynthesisUtterance = class { constructor (text) { this.text = text } }
  Object.defineProperty(globalThis, 'speechSynthesis', { value: {
    getVoices: () => [{ localService: false, lang: 'en-US' }, { localService: true, lang: 'en-GB' }],
    cancel: () => { if (document.getElementById('aloud')?.checked) globalThis.aloud.push('cancel') },
    speak: ({ text, voice }) => { globalThis.aloud.push(voice?.localService ? text : 'sent to a server') }
  } })
  globalThis.webkitSpeechRecognition = globalThis.SpeechRecognition = class extends EventTarget {
    calls = []
    constructor () { super(); globalThis.recognition = this }
    start () { this.calls.push('start') }
    stop () { this.calls.push('stop') }
    end () { this.dispatchEvent(new Event('end')) }
    fail (error) { this.dispatchEvent(Object.assign(new Event('error'), { error })) }
    hear (transcript) {
      const result = Object.assign([{ transcript: ' ' + transcript }], { isFinal: true })
      this.dispatchEvent(Object.assign(new Event('result'), { results: [result], resultIndex: 0 }))
    }
  }
`

/** An app with the playground. Resolves with its URL. */
async function serve (t: Test): Promise<string> {
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(() => app.close())
  app.decorate('agent', async function * (turn: Turn) {
    if (turn.reason !== 'response') return yield turn.reason === 'greeting' ? 'How may I help you?' : 'Are you there?'
    switch (turn.transcript.at(-1)?.content) {
      case 'long': return yield LONG
      case 'hold':
        yield 'Let me think. '
        await once(turn.signal, 'abort')
        return
      case 'bye': return yield endCall({ say: 'Goodbye.' })
      case 'tell me later':
        setImmediate(() => { void turn.call.interject('This just came in.') }) // eslint-disable-line no-void
        return yield 'I will.'
      case 'desk': return yield transferCall('+14155550111', { say: 'One moment.' })
    }
    yield `You said ${turn.transcript.at(-1)?.content}.`
  })
  await app.register(voiceAgentPlugin, { drainTimeoutMs: 0, millis: { allowlist: '127.0.0.1' } })
  await app.register(playground, ENABLED)
  return withToken(`${await app.listen({ port: 0, host: '127.0.0.1' })}/`)
}

/** Says something by keyboard. */
async function say (page: Page, text: string): Promise<void> {
  await page.getByLabel('What you say').fill(text)
  await page.keyboard.press('Enter')
}

async function hears (page: Page, text: string): Promise<void> {
  await page.locator('#conversation .agent', { hasText: text }).last().waitFor()
}

/** Two words of the long reply were spoken. */
async function speaks (page: Page): Promise<void> {
  await page.locator('#conversation .agent:last-child .heard', { hasText: /^One two/ }).waitFor()
}

async function call (page: Page, provider: 'Retell' | 'Millis', pace = 'as fast as it comes'): Promise<void> {
  await page.getByRole('radio', { name: provider }).check({ force: true })
  await page.getByLabel('Speaks').selectOption(pace)
  await page.getByRole('button', { name: 'Call' }).click()
  await hears(page, 'How may I help you?')
}

t.test('in a browser', { skip: noBrowser }, async t => {
  // Pages of their own, which mostly wait for words to be spoken.
  t.jobs = 3
  const browser = await startBrowser(t)
  const url = await serve(t)

  for (const provider of ['Retell', 'Millis'] as const) {
    onPage(t, browser, url, `a call over ${provider} is placed, and each of its turns is drawn`, {}, async (t, page) => {
      await call(page, provider)
      await say(page, 'Tuesday')
      await hears(page, 'You said Tuesday.')
      t.strictSame(await page.locator('#conversation li').allTextContents(), ['How may I help you?', 'Tuesday', 'You said Tuesday.'])
      await page.locator('#turns .turn', { hasText: 'You said Tuesday.' }).getByText(/^first token \d+ ms · first sentence \d+ ms · complete \d+ ms$/).waitFor()
      await page.getByRole('button', { name: 'Hang up' }).click()
      await page.getByText('you hung up').waitFor()
      t.equal(await page.locator('#status').textContent(), 'Call ended')
      t.equal(await page.getByRole('button', { name: 'Say' }).isDisabled(), true)

      // And once more.
      await page.getByRole('button', { name: 'Call' }).click()
      await hears(page, 'How may I help you?')
      t.equal(await page.locator('#conversation li').count(), 1)
    })

    onPage(t, browser, url, `the agent is talked over in the middle of its words, over ${provider}`, {}, async (t, page) => {
      await call(page, provider, 'fast')
      await page.getByText('Your turn').waitFor()
      await say(page, 'long')
      const reply = page.locator('#conversation .agent').last()
      await speaks(page)
      t.equal(await page.locator('#status').textContent(), 'The agent speaks')
      await page.getByRole('button', { name: 'Interrupt' }).waitFor()
      const old = page.locator('#conversation .agent', { hasText: 'One two' })
      await say(page, 'No!')
      await hears(page, 'You said No!.')
      t.match(await old.locator('del').textContent(), /ten\.$/)
      await page.locator('#turns .outcome[data-outcome=interrupted]').waitFor()
      t.match(await reply.textContent(), 'You said No!.')
    })

    onPage(t, browser, url, `the line is dropped and comes back, over ${provider}`, {}, async (_t, page) => {
      await call(page, provider)
      await say(page, 'hold')
      await hears(page, 'Let me think.')
      await page.getByRole('button', { name: 'Drop the line' }).click()
      await page.getByText('dialled again').waitFor()
      await page.locator('#turns .turn').nth(2).waitFor()
      await say(page, 'Friday')
      await hears(page, 'Friday.')
    })

    onPage(t, browser, url, `the agent ends the call, over ${provider}`, {}, async (t, page) => {
      await call(page, provider)
      await say(page, 'desk')
      await page.getByText('ended by the agent: call_transfer to +14155550111').waitFor()
      t.equal(await page.locator('#status').textContent(), 'Call ended')
      t.equal(await page.getByRole('button', { name: 'Call' }).isEnabled(), true)
    })
  }

  onPage(t, browser, url, 'a caller who stays silent is reminded, on Retell', {}, async (t, page) => {
    await call(page, 'Retell')
    await page.getByRole('button', { name: 'Stay silent' }).click()
    await hears(page, 'Are you there?')
    await page.getByRole('button', { name: 'Hang up' }).click()
    await page.getByText('you hung up').waitFor()
    await call(page, 'Millis')
    t.equal(await page.getByRole('button', { name: 'Stay silent' }).isDisabled(), true)
  })

  onPage(t, browser, url, 'what the app says between turns is heard', {}, async (_t, page) => {
    await call(page, 'Retell')
    await say(page, 'tell me later')
    await hears(page, 'This just came in.')
    await page.locator('#turns .turn', { hasText: 'This just came in.' }).waitFor()
  })

  onPage(t, browser, url, 'frames are shown as they stand on the wire, and filtered', {}, async (t, page) => {
    await call(page, 'Retell')
    await say(page, 'Tuesday')
    await hears(page, 'You said Tuesday.')
    const shown = page.locator('#frames li:visible')
    await page.getByLabel('Only frames with').fill('response_required')
    t.equal(await shown.count(), 1)
    await shown.locator('summary').click()
    t.match(JSON.parse((await shown.locator('pre').textContent())!), { interaction_type: 'response_required', response_id: 1, transcript: [{}, { role: 'user', content: 'Tuesday' }] })
    t.match(await page.locator('#frame-count').textContent(), /^1 of \d+$/)
    await page.getByLabel('Only frames with').fill('ping_pong')
    t.equal(await shown.count(), 0)
    await page.getByLabel('keep-alives').check()
    await shown.first().waitFor()
  })

  onPage(t, browser, url, 'it is used by keyboard alone', {}, async (t, page) => {
    const press = async (...keys: string[]): Promise<void> => { for (const key of keys) await page.keyboard.press(key) }
    await press('Tab', 'ArrowRight', 'Tab', 'Tab', 'Enter')
    await hears(page, 'How may I help you?')
    await page.keyboard.type('Tuesday')
    await press('Enter')
    await hears(page, 'You said Tuesday.')
    t.match(await page.locator('#frames .kind').first().textContent(), 'start_call')
  })

  onPage(t, browser, url, 'an agent hangs up behind its last words', {}, async (_t, page) => {
    await call(page, 'Retell')
    await say(page, 'bye')
    await page.getByText('ended by the agent: agent_hangup').waitFor()
  })

  onPage(t, browser, url, 'what is recognised is said, and what is said is read aloud, where that is wanted', {}, async (t, page) => {
    // Headless browsers have neither.
    await page.addInitScript(VOICE)
    await page.reload()
    const aloud = async (): Promise<unknown> => await page.evaluate('globalThis.aloud')
    await call(page, 'Retell')
    await page.getByText('Voice', { exact: true }).click()
    await say(page, 'Monday')
    await hears(page, 'You said Monday.')
    t.strictSame(await aloud(), [])
    await page.getByLabel('Read the agent aloud').check()
    await page.getByLabel('Listen to me').check()
    await page.evaluate("globalThis.recognition.hear('Tuesday')")
    await hears(page, 'You said Tuesday.')
    t.strictSame(await aloud(), ['cancel', 'You said Tuesday.'])
    await page.evaluate('globalThis.recognition.end()')
    await page.evaluate("globalThis.recognition.hear('Friday')")
    await hears(page, 'You said Friday.')
    t.strictSame(await page.evaluate('globalThis.recognition.calls'), ['start', 'start'])
    await page.evaluate("globalThis.recognition.fail('no-speech')")
    t.equal(await page.getByLabel('Listen to me').isChecked(), true)
    await page.getByLabel('Listen to me').uncheck()
    await page.getByLabel('Read the agent aloud').uncheck()
    t.strictSame(await page.evaluate('globalThis.recognition.calls'), ['start', 'start', 'stop'])
    await page.getByLabel('Listen to me').check()
    await page.evaluate("globalThis.recognition.fail('not-allowed')")
    await page.getByText('The browser does not listen: not-allowed.').waitFor()
    await page.evaluate('globalThis.recognition.end()')
    t.strictSame(await page.evaluate('globalThis.recognition.calls'), ['start', 'start', 'stop', 'start'])
  })

  for (const [name, options] of [
    ['light', { colorScheme: 'light', viewport: { width: 1280, height: 860 } }],
    ['dark', { colorScheme: 'dark', viewport: { width: 1280, height: 860 } }],
    ['narrow', { colorScheme: 'light', viewport: { width: 360, height: 740 } }],
    ['narrow-dark', { colorScheme: 'dark', viewport: { width: 360, height: 740 } }]
  ] as const) {
    onPage(t, browser, url, `everybody can use it: ${name}`, options, async (t, page) => {
      t.strictSame(await violations(page), [])
      await look(page, `${name}-empty`)
      await call(page, 'Retell', 'fast')
      await say(page, 'long')
      await speaks(page)
      await look(page, `${name}-speaking`)
      await say(page, 'hold')
      await hears(page, 'Let me think.')
      await say(page, 'Friday, please, and then tell me all about it')
      await hears(page, 'You said')
      // Keep-alives are hidden.
      await page.locator('#frames summary:visible').last().click()
      await page.getByText('Your turn').waitFor()
      t.strictSame(await violations(page), [])
      t.ok(await page.evaluate('document.documentElement.scrollWidth <= window.innerWidth'), 'nothing sticks out')
      await look(page, `${name}-call`)
    })
  }
})
