import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import type { Test } from 'tap'

/** A span as it travels, in OTLP's JSON. */
export interface WireSpan {
  readonly name: string
  readonly spanId: string
  readonly parentSpanId?: string
}

interface Attribute {
  readonly key: string
  readonly value: { readonly stringValue?: string }
}

interface Export {
  readonly resourceSpans: ReadonlyArray<{
    readonly resource: { readonly attributes: readonly Attribute[] }
    readonly scopeSpans: ReadonlyArray<{ readonly spans: readonly WireSpan[] }>
  }>
}

/** A collector of traces on the loopback, until the test ends. */
export async function startCollector (t: Test) {
  const received: Array<Export['resourceSpans'][number]> = []
  const server = createServer((request, response) => {
    json(request).then(body => {
      // Metrics and logs come to other paths.
      if (request.url === '/v1/traces') received.push(...(body as Export).resourceSpans)
      response.end('{}')
    }, t.error)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans: () => received.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
    /** What the first exporter says of itself. */
    resource: () => Object.fromEntries(received[0]!.resource.attributes.map(({ key, value }) => [key, value.stringValue]))
  }
}
