import type { FastifyRequest } from 'fastify'
import t from 'tap'
import { isNavigation, isOwnPage, mayBeFromHere } from '../../lib/playground/admission.js'

const request = (headers: Record<string, string>, remoteAddress = '127.0.0.1') => ({ headers, raw: { socket: { remoteAddress } } }) as unknown as FastifyRequest

t.test('who is at this machine says so by address and name, over HTTP/2 as well', async t => {
  t.ok(mayBeFromHere(request({ host: 'localhost:3000' })))
  t.ok(mayBeFromHere(request({ ':authority': 'localhost:3000' })))
  t.notOk(mayBeFromHere(request({ ':authority': 'evil.example.com' })))
  t.notOk(mayBeFromHere(request({})))
  t.notOk(mayBeFromHere(request({ host: 'localhost:3000' }, '192.0.2.1')))
})

t.test('no page of another origin is taken for ours', async t => {
  const host = 'localhost:3000'
  t.ok(isOwnPage(request({ host })))
  t.ok(isOwnPage(request({ ':authority': host, origin: `http://${host}`, 'sec-fetch-site': 'same-origin' })))
  for (const site of ['cross-site', 'same-site']) t.notOk(isOwnPage(request({ host, 'sec-fetch-site': site })))
  for (const origin of ['http://evil.example.com', 'http://localhost:8080', 'null']) t.notOk(isOwnPage(request({ host, origin })))
})

t.test('a link is followed in a window of its own, and by GET', async t => {
  const link = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }
  t.ok(isNavigation(request(link)))
  for (const dest of ['iframe', 'frame', 'embed', 'object', 'empty']) t.notOk(isNavigation(request({ ...link, 'sec-fetch-dest': dest })))
  t.notOk(isNavigation(request({ ...link, 'sec-fetch-mode': 'no-cors' })))
  t.notOk(isNavigation(request({ ...link, origin: 'null' })))
})
