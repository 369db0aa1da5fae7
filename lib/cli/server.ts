/** Whom a command calls. */
export interface Server {
  readonly provider: 'retell' | 'millis'
  readonly url: string
}

/**
 * Reads what a command was told.
 * @param provider default the one in the URL's path
 * @throws Error that says what is needed
 */
export function readServer (url: string | undefined, provider?: string): Server {
  if (url === undefined || !/^(ws|http)s?:$/.test(URL.canParse(url) ? new URL(url).protocol : '')) throw new Error('one URL is needed, as ws://localhost:3000/llm-websocket')
  const named = provider ?? (new URL(url).pathname.includes('millis') ? 'millis' : 'retell')
  if (named !== 'retell' && named !== 'millis') throw new Error('--provider is retell or millis')
  return { provider: named, url }
}
