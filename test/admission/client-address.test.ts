import t from 'tap'
import fc from 'fast-check'
import { trustProxies } from '../../lib/admission/client-address.js'
import type { AddressedRequest } from '../../lib/admission/client-address.js'

const name = 'TRUSTED_PROXIES (option trustedProxies)'

function request (remoteAddress: string | undefined, forwardedFor?: string): AddressedRequest {
  return { socket: { remoteAddress }, headers: forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor } }
}

t.test('with no trusted proxy the header is not believed', async t => {
  for (const entries of [[], ['', ' ']]) {
    const address = trustProxies(entries, name)
    t.equal(address(request('127.0.0.1', '100.20.5.228')), '127.0.0.1')
    t.equal(address(request('203.0.113.9')), '203.0.113.9')
  }
})

t.test('a trusted proxy is asked who stands behind it', async t => {
  const address = trustProxies(['10.0.0.0/8', 'fd00::/8', ' 192.0.2.1 '], name)
  const cases: Array<[remote: string | undefined, forwardedFor: string | undefined, expected: string | undefined | null]> = [
    // the header of somebody who is no proxy of ours is a claim
    ['203.0.113.9', '100.20.5.228', '203.0.113.9'],
    ['203.0.113.9', '100.20.5.228, 10.0.0.1', '203.0.113.9'],
    ['203.0.113.9', undefined, '203.0.113.9'],
    // right-most entry that is not a proxy
    ['10.0.0.1', '203.0.113.9', '203.0.113.9'],
    ['10.0.0.1', '100.20.5.228, 203.0.113.9', '203.0.113.9'],
    ['10.0.0.1', '100.20.5.228, 203.0.113.9, 192.0.2.1', '203.0.113.9'],
    ['10.0.0.1', '100.20.5.228,203.0.113.9 ,\t10.2.3.4 ', '203.0.113.9'],
    ['::ffff:10.0.0.1', '203.0.113.9, ::ffff:a02:304', '203.0.113.9'],
    ['fd00::1', '2001:db8::1', '2001:db8::1'],
    // ports
    ['10.0.0.1', '203.0.113.9:5678, 10.0.0.2:443', '203.0.113.9:5678'],
    ['10.0.0.1', '203.0.113.9, [fd00::1]:443', '203.0.113.9'],
    // a proxy that names nobody
    ['10.0.0.1', undefined, null],
    ['10.0.0.1', '', null],
    ['10.0.0.1', ' , ', null],
    ['::ffff:10.0.0.1', undefined, null],
    // nobody but proxies
    ['10.0.0.1', '10.0.0.1', '10.0.0.1'],
    ['10.0.0.1', '10.0.0.3, 10.0.0.2', '10.0.0.3'],
    // garbage stops the walk
    ['10.0.0.1', '100.20.5.228, unknown', 'unknown'],
    ['10.0.0.1', '100.20.5.228, 10.0.0.0/8, 10.0.0.2', '10.0.0.0/8'],
    ['10.0.0.1', '100.20.5.228, 012.0.0.1', '012.0.0.1'],
    // a socket that is closed already
    [undefined, '100.20.5.228', undefined]
  ]
  for (const [remote, forwardedFor, expected] of cases) {
    t.equal(address(request(remote, forwardedFor)), expected, `${remote} says ${forwardedFor}`)
  }
})

t.test('a request without a socket has no address', async t => {
  const headers = { 'x-forwarded-for': '100.20.5.228' }
  for (const entries of [[], ['127.0.0.1']]) {
    const address = trustProxies(entries, name)
    t.equal(address({ headers }), undefined)
    t.equal(address({ headers, socket: null }), undefined)
    t.equal(address({ headers, socket: {} }), undefined)
  }
})

t.test('a bad entry stops the start, and the message names the list, the place of the entry and what is accepted, and quotes nothing', async t => {
  for (const entry of ['loopback', '10.0.0.0/', '10.0.0.0/33', '10', '10.0.0.0/255.0.0.0']) {
    t.throws(() => trustProxies(['127.0.0.1', entry], name), {
      code: 'VOICE_AGENT_ERR_CONFIG',
      message: `${name}: entry 2 is not accepted; accepted are IP addresses and CIDR ranges such as 10.0.0.0/8`
    })
  }
})

t.test('a list that trusts everybody stops the start', async t => {
  for (const entry of ['*', ' * ', '0.0.0.0/0', '::/0', '10.0.0.0/00']) {
    t.throws(() => trustProxies(['127.0.0.1', entry], name), {
      code: 'VOICE_AGENT_ERR_CONFIG',
      message: `${name}: entry 2 would let callers choose their own address; accepted are IP addresses and CIDR ranges such as 10.0.0.0/8`
    })
  }
})

t.test('no header throws, and none is believed from a stranger', async () => {
  const address = trustProxies(['10.0.0.0/8'], name)
  const entry = fc.oneof(fc.string(), fc.ipV4(), fc.ipV6())
  fc.assert(fc.property(fc.array(entry), entries => {
    const header = ['198.51.100.7', ...entries].join(',')
    return typeof address(request('10.0.0.1', header)) === 'string' && address(request('203.0.113.9', header)) === '203.0.113.9'
  }))
})
