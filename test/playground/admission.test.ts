import type { FastifyRequest } from 'fastify'
import t from 'tap'
import { isFromHere, isOwnPage } from '../../lib/playground/admission.js'

const request = (headers: Record<string, string>, remoteAddress = '127.0.0.1') => ({ headers, raw: { socket: { remoteAddress } } }) as unknown as FastifyRequest

t.test('who is at this machine says so by address and name, over HTTP/2 as well', async t => {
  t.ok(isFromHere(request({ host: 'localhost:3000' })))
  t.ok(isFromHere(request({ ':authority': 'localhost:3000' })))
  t.notOk(isFromHere(request({ ':authority': 'evil.example.com' })))
  t.notOk(isFromHere(request({})))
  t.notOk(isFromHere(request({ host: 'localhost:3000' }, '192.0.2.1')))
})

t.test('a link may lead here, and no other page may load anything', async t => {
  const host = 'localhost:3000'
  t.ok(isOwnPage(request({ host })))
  t.ok(isOwnPage(request({ host, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' })))
  for (const site of ['cross-site', 'same-site']) t.notOk(isOwnPage(request({ host, 'sec-fetch-site': site, 'sec-fetch-mode': 'no-cors' })))
  t.ok(isOwnPage(request({ ':authority': host, origin: `http://${host}`, 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' })))
  t.notOk(isOwnPage(request({ host, origin: 'http://evil.example.com' })))
})
