import { existsSync } from 'node:fs'
import axe from 'axe-core'
import type { Test } from 'tap'
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core'

const ARGUMENTS = [
  '--no-sandbox',
  // All names below `example` lead to this machine, as their owners may have them do.
  '--host-resolver-rules=MAP *.example 127.0.0.1',
  // Others than new Chromium let any page connect to this machine.
  '--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets,BlockInsecurePrivateNetworkRequests'
]

const EXECUTABLE = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(path => existsSync(path))

/** Why tests of pages cannot run here; false where they can. */
export const noBrowser: string | false = EXECUTABLE === undefined && 'no Chromium here: apt-get install chromium'

/** Starts Chromium; closed when the test ends. */
export async function startBrowser (t: Test): Promise<Browser> {
  const browser = await chromium.launch({ executablePath: EXECUTABLE!, args: ARGUMENTS })
  t.teardown(() => browser.close())
  return browser
}

/** Tests a page. What it complains of on its console fails the test. */
export async function onPage (t: Test, browser: Browser, url: string, name: string, options: BrowserContextOptions, use: (t: Test, page: Page) => Promise<void>): Promise<void> {
  // Buffered: beside other pages, where the test has several jobs.
  await t.test(name, { buffered: true }, async t => {
    const context = await browser.newContext(options)
    t.teardown(() => context.close())
    const page = await context.newPage()
    const complaints: string[] = []
    page.on('console', message => { if (['error', 'warning'].includes(message.type())) complaints.push(message.text()) })
    page.on('pageerror', error => complaints.push(String(error)))
    await page.goto(url)
    await use(t, page)
    t.strictSame(complaints, [], 'nothing on the console')
  })
}

/** Opens an empty page at a URL, which no server is asked for: what the owner of that name would serve. */
export async function openForeignPage (t: Test, browser: Browser, url: string, html = '', known?: BrowserContext): Promise<Page> {
  const context = known ?? await browser.newContext()
  t.teardown(() => context.close())
  const page = await context.newPage()
  await page.route(url, async route => await route.fulfill({ contentType: 'text/html', body: `<!doctype html><title>Elsewhere</title>${html}` }))
  await page.goto(url)
  return page
}

/** What becomes of a socket that a page opens: `open`, or `error`. */
export async function dialFrom (page: Page, url: string): Promise<string> {
  return await page.evaluate(`new Promise(resolve => {
    const socket = new WebSocket(${JSON.stringify(url)})
    socket.onopen = socket.onerror = ({ type }) => resolve(type)
  })`)
}

/** What keeps people from using a page as it stands. */
export async function violations (page: Page): Promise<string[]> {
  // Not by a script element, which the page's policy refuses.
  await page.evaluate(axe.source)
  const { violations } = await page.evaluate(async () => await (globalThis as unknown as { axe: typeof axe }).axe.run())
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
}

/** Leaves a picture of a page in the directory SCREENSHOTS, where that is set. */
export async function look (page: Page, name: string): Promise<void> {
  const directory = process.env['SCREENSHOTS']
  if (directory !== undefined) await page.screenshot({ path: `${directory}/${name}.png`, fullPage: true })
}
