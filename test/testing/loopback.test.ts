import { once } from 'node:events'
import { buffer } from 'node:stream/consumers'
import t from 'tap'
import { connectLoopback } from '../../lib/testing/loopback.js'

t.test('bytes come in order, later, and in both directions', async t => {
  const { client, server } = connectLoopback('192.0.2.1')
  t.equal((server as { remoteAddress?: string }).remoteAddress, '192.0.2.1')
  client.write('One ')
  client.write('two')
  t.equal(server.read(), null)
  await once(server, 'readable')
  server.write('Three')
  t.equal(String((await once(client, 'data'))[0]), 'Three')
  // Newer versions of Node give one write at a time.
  let read = ''
  for (let chunk; (chunk = server.read() as Buffer | null) !== null;) read += String(chunk)
  t.equal(read, 'One two')
})

t.test('whoever reads slowly slows the other down', async t => {
  const { client, server } = connectLoopback('192.0.2.1')
  let written = 0
  for (let i = 0; i < 40; i++) client.write(Buffer.alloc(16 * 1024), () => { written++ })
  await once(server, 'readable')
  for (let i = 0; i < 50; i++) await new Promise(resolve => setImmediate(resolve))
  t.ok(written < 40)
  client.end()
  t.equal((await buffer(server)).length, 40 * 16 * 1024)
})

t.test('an end is an end for the other, and a break is a break', async t => {
  const ended = connectLoopback('192.0.2.1')
  ended.client.end('bye')
  ended.server.resume()
  await once(ended.server, 'end')
  const broken = connectLoopback('192.0.2.1')
  broken.client.destroy()
  await once(broken.server, 'close')
  broken.client.on('error', () => {})
  const half = connectLoopback('192.0.2.1')
  half.server.destroy()
  half.client.write('lost')
  half.client.end()
  await once(half.client, 'close')
  t.equal(half.client.destroyed, true)
})
