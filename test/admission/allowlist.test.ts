import t from 'tap'
import fc from 'fast-check'
import { parseAllowlist } from '../../lib/admission/allowlist.js'
import { scaledRuns } from '../helpers/runs.js'

const name = 'RETELL_ALLOWLIST (option retell.allowlist)'

t.test('an address is judged by the addresses and ranges of the list', async t => {
  const cases: Array<[entries: string[], address: string | undefined, admitted: boolean]> = [
    [['100.20.5.228'], '100.20.5.228', true],
    [['100.20.5.228'], '100.20.5.229', false],
    [['10.0.0.0/8', '192.0.2.1'], '10.255.0.1', true],
    [['10.0.0.0/8', '192.0.2.1'], '192.0.2.1', true],
    [['10.0.0.0/8', '192.0.2.1'], '11.0.0.1', false],
    [['10.1.2.3/8'], '10.200.0.1', true],
    [['192.0.2.1/32'], '192.0.2.2', false],
    [['0.0.0.0/0'], '203.0.113.9', true],
    [['0.0.0.0/0'], '2001:db8::1', false],
    [['2001:db8::/33'], '2001:db8:7fff::1', true],
    [['2001:db8::/33'], '2001:db8:8000::1', false],
    [['2001:DB8:0:0::1'], '2001:db8::1', true],
    [[' 192.0.2.1 ', '', '  '], '192.0.2.1', true],
    // IPv4 in IPv6 clothes, both ways
    [['1.2.3.4'], '::ffff:1.2.3.4', true],
    [['1.2.3.4'], '::ffff:102:304', true],
    [['1.2.3.4'], '0:0:0:0:0:FFFF:1.2.3.4', true],
    [['1.2.3.4'], '::ffff:1.2.3.5', false],
    [['1.2.3.4'], '::1.2.3.4', false],
    [['1.2.3.0/24'], '::ffff:102:3ff', true],
    [['::ffff:1.2.3.4'], '1.2.3.4', true],
    [['::ffff:102:304'], '1.2.3.4', true],
    [['::ffff:10.0.0.0/104'], '10.9.9.9', true],
    [['::ffff:10.0.0.0/104'], '11.9.9.9', false],
    // zones
    [['fe80::1'], 'fe80::1%eth0', true],
    [['fe80::/10'], 'fe80::1%eth0', true],
    [['fe80::1%eth0'], 'fe80::1', true],
    [['fe80::1'], 'fe80::2%eth0', false],
    // ports
    [['1.2.3.4'], '1.2.3.4:5678', true],
    [['1.2.3.4'], '1.2.3.5:5678', false],
    [['::1'], '[::1]:443', true],
    [['::1'], '[::1]', true],
    [['::1'], '::1:443', false],
    [['1.2.3.4'], '[::ffff:1.2.3.4]:443', true],
    // no address
    [['0.0.0.0/0', '::/0'], undefined, false],
    [['0.0.0.0/0', '::/0'], '', false],
    [['0.0.0.0/0', '::/0'], 'unknown', false],
    [['0.0.0.0/0', '::/0'], '1.2.3', false],
    [['0.0.0.0/0', '::/0'], '010.0.0.1', false],
    [['0.0.0.0/0', '::/0'], '1.2.3.4:', false],
    [['0.0.0.0/0', '::/0'], '1.2.3.4:80:80', false],
    [['0.0.0.0/0', '::/0'], '[]:80', false],
    // everyone
    [['*'], '203.0.113.9', true],
    [['10.0.0.1', ' * '], 'unknown', true],
    [['*'], undefined, true],
    // nobody
    [[], '127.0.0.1', false],
    [['', ' '], '127.0.0.1', false]
  ]
  for (const [entries, address, admitted] of cases) {
    t.equal(parseAllowlist(entries, name).admits(address), admitted, `${JSON.stringify(entries)} and ${address}`)
  }
})

t.test('a list is empty when it has no entry that says something', async t => {
  t.equal(parseAllowlist([], name).empty, true)
  t.equal(parseAllowlist(['', '  '], name).empty, true)
  t.equal(parseAllowlist(['*'], name).empty, false)
  t.equal(parseAllowlist(['10.0.0.1'], name).empty, false)
})

t.test('a bad entry stops the start, and the message names the list, the place of the entry and what is accepted, and quotes nothing', async t => {
  const bad = [
    'localhost', '10.0.0', '010.0.0.1', '10.0.0.0/', '10.0.0.0/ 8', '10.0.0.0 /8', '10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/+8',
    '10.0.0.0/8.0', '10.0.0.0/1e1', '10.0.0.0/0x8', '10.0.0.0/8/8', '10.0.0.0/255.0.0.0', '2001:db8::/129', '/8', '/', '**', '*/0',
    '10.0.0.1:80', '[::1]', '10.0.0.1,10.0.0.2', '10.0.0.0/99999999999999999999'
  ]
  for (const [first, entry] of [...bad.map(entry => ['127.0.0.1', entry]), ['*', 'x'], ['', 'x']] as Array<[string, string]>) {
    t.throws(() => parseAllowlist([first, entry, '*'], name), {
      code: 'VOICE_AGENT_ERR_CONFIG',
      message: `${name}: entry 2 is not accepted; accepted are IP addresses, CIDR ranges such as 203.0.113.0/24 and * for everyone`
    })
  }
})

t.test('an IPv4 range admits exactly the addresses inside', async () => {
  const address = fc.nat(0xffff_ffff)
  const text = (value: number) => [24, 16, 8, 0].map(shift => (value >>> shift) & 255).join('.')
  // Near neighbours as well, or hardly an address would fall into a long prefix.
  fc.assert(fc.property(address, fc.nat(32), fc.nat(32), address, (base, prefix, distance, noise) => {
    const other = distance === 32 ? base : (base ^ (noise >>> distance)) >>> 0
    const inside = prefix === 0 || base >>> (32 - prefix) === other >>> (32 - prefix)
    const list = parseAllowlist([`${text(base)}/${prefix}`], name)
    return list.admits(text(other)) === inside && list.admits(`::ffff:${text(other)}`) === inside
  }), { numRuns: scaledRuns(1000) })
})

t.test('no text throws', async () => {
  const list = parseAllowlist(['10.0.0.0/8', '2001:db8::/32'], name)
  const zoned = fc.tuple(fc.ipV6(), fc.string()).map(parts => parts.join('%'))
  fc.assert(fc.property(fc.oneof(fc.string(), fc.ipV4(), fc.ipV6(), zoned), text => typeof list.admits(text) === 'boolean'))
})
