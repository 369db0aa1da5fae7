import { callerProvider, callerProviders, CALLER_PROVIDER_NAMES, ONE_OF_THEM, type CallerProviderName } from '../testing/providers.js'

/** The server that a command calls. */
export interface Server {
  readonly provider: CallerProviderName
  readonly url: string
}

/**
 * Reads a command's URL and provider.
 * @param provider default the one that the URL's path names
 * @throws Error that names the accepted values
 */
export function readServer (url: string | undefined, provider?: string): Server {
  if (url === undefined || !/^(ws|http)s?:$/.test(URL.canParse(url) ? new URL(url).protocol : '')) {
    throw new Error('one URL is needed, as ws://localhost:3000/llm-websocket')
  }
  const { pathname } = new URL(url)
  const named = provider ?? CALLER_PROVIDER_NAMES.find(name => pathname.includes(name)) ?? callerProviders[0].name
  const known = callerProvider(named)
  if (known === undefined) throw new Error(`--provider is ${ONE_OF_THEM}`)
  return { provider: known.name, url }
}
