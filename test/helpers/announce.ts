/**
 * The line by which a child process tells that it listens, and the leash that ends it with its parent.
 */
import type { AddressInfo } from 'node:net'

/**
 * Prints one JSON line with the port. A forked process also ends as soon as its parent is gone, however that went. From
 * here on stack traces cost what they cost in production, where nobody looks lines up in a source map.
 */
export function announce (address: AddressInfo | string | null): void {
  process.setSourceMapsEnabled(false)
  if (address === null || typeof address === 'string') throw new Error('not listening on a port')
  process.stdout.write(`${JSON.stringify({ port: address.port })}\n`)
  if (process.send !== undefined) process.on('disconnect', () => process.exit())
}
