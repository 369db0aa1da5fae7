/**
 * How an expert asks a model by hand.
 */
import { request } from 'undici'
import { type Ask, MODEL } from './by-hand.js'

interface Chunk {
  readonly choices?: readonly { readonly delta?: { readonly content?: string | null } }[]
}

const ENDPOINT = `${process.env['OPENAI_BASE_URL']}/chat/completions`
const HEADERS = { 'content-type': 'application/json', authorization: `Bearer ${process.env['OPENAI_API_KEY']}` }

/** Asks over undici's `request`. */
export const ask: Ask = async (messages, signal, say) => {
  const { statusCode, body } = await request(ENDPOINT, {
    method: 'POST',
    headers: HEADERS,
    body: JSON.stringify({ model: MODEL, stream: true, messages }),
    signal
  })
  if (statusCode !== 200) {
    await body.dump()
    throw new Error(`the model answered ${statusCode}`)
  }
  // Otherwise a letter of several bytes could be torn in two.
  body.setEncoding('utf8')
  let rest = ''
  for await (const text of body as AsyncIterable<string>) {
    rest += text
    let start = 0
    for (let end = rest.indexOf('\n'); end !== -1; end = rest.indexOf('\n', start)) {
      const line = rest.slice(start, end)
      start = end + 1
      if (!line.startsWith('data: {')) continue
      const content = (JSON.parse(line.slice(6)) as Chunk).choices?.[0]?.delta?.content
      if (signal.aborted) return
      if (content !== undefined && content !== null && content !== '') say(content)
    }
    rest = rest.slice(start)
  }
}
