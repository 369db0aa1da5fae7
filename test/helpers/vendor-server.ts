import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'

/** What a vendor's REST API was asked. */
export interface VendorRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** Parsed, be it JSON or a form. */
  readonly body: unknown
}

/** What it answers: JSON with a status, bytes that claim to be JSON, or nothing, for ever. */
export type VendorAnswer = { readonly status: number, readonly body: object | string | null } | 'hang' | 'hang in the body'

/** A vendor's REST API on the loopback. Each request takes the next answer. */
export async function startVendor (t: Test, ...answers: Array<VendorAnswer | ((request: VendorRequest) => VendorAnswer)>) {
  const requests: VendorRequest[] = []
  const server = createServer((message, response) => {
    text(message).then(content => {
      const isForm = message.headers['content-type'] === 'application/x-www-form-urlencoded'
      const request = { method: message.method!, path: message.url!, headers: message.headers, body: isForm ? Object.fromEntries(new URLSearchParams(content)) : JSON.parse(content) }
      requests.push(request)
      const next = answers.shift()!
      const answer = typeof next === 'function' ? next(request) : next
      if (answer === 'hang') return
      response.writeHead(typeof answer === 'object' ? answer.status : 200, { 'content-type': 'application/json', connection: 'close' })
      if (answer === 'hang in the body') response.write('{"call_id":"call_1","session_id":"ses_1","sid":"CA1"')
      else response.end(typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body))
    }).catch(t.threw)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests, next: (...more: typeof answers) => { answers.push(...more) } }
}
