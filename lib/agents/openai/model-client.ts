/**
 * How a model is asked: with a request that the official client made once, over connections of our own.
 */
import type { APIConnectionError, APIError, ClientOptions, OpenAI } from 'openai'
import type { Turn } from '../../contract/agent.js'
import { ConfigError } from '../../contract/errors.js'
import { markSafe } from '../../telemetry/failure.js'
import { loadModelLibraries, type ModelLibraries } from './model-libraries.js'
import type { ModelServerOptions, TokenLimitName } from './model-server-options.js'
import { checkProxies } from './proxy.js'
import { checkBody } from './request-body.js'
import { checkHeaders, mayHoldKey, withHeaders } from './request-headers.js'
import { isOpenAI, TokenLimit } from './token-limit.js'
import { openTransport, type Answer, type ModelRequest, type Transport } from './transport.js'

/** Where the official client asks when no other server is named. */
const OPENAI_BASE_URL = 'https://api.openai.com/v1'

/** The newest general version of Azure's chat completions. */
const AZURE_API_VERSION = '2024-10-21'

/** Azure's name in OpenTelemetry's conventions. */
const AZURE = 'azure.ai.openai'

// What operators call the settings that say where a model's server is.
const BASE_URL = 'OPENAI_BASE_URL (option openai.baseURL)'
const AZURE_ENDPOINT = 'AZURE_OPENAI_ENDPOINT (option openai.azure.endpoint)'

/** How undici and the system say that a server is too slow. */
const TOO_SLOW: ReadonlySet<unknown> = new Set(['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'ETIMEDOUT'])

/** Asks for the figures of tokens, in the JSON of a request. */
const USAGE = ',"stream_options":{"include_usage":true}'

type Completion = OpenAI.ChatCompletionCreateParamsStreaming

/** What it takes to ask. */
interface Line extends Pick<ModelRequest, 'path' | 'headers'> {
  readonly openai: ModelLibraries['openai']
  readonly transport: Transport
}

/** What a client is told beside where its server is. */
export interface ModelClientOptions extends ModelServerOptions {
  readonly maxTokens?: number
  readonly maxTokensAs?: TokenLimitName
}

/** An answer that is going to stream. */
export interface ModelAnswer {
  /** To be read to its end, or left. */
  readonly bytes: Answer['body']
  readonly head: Answer['head']
  /** Makes an error of one that the server streams as a piece of its answer. */
  failure (error: object): APIError
}

/**
 * A model of one server. The official client makes URL and headers, the same for each request, and the errors; to have it
 * make and send each request anew would cost as much as five to ten tokens. Whoever makes it closes it.
 */
export class ModelClient {
  readonly #line: Promise<Line>
  readonly #params: object
  readonly #maxTokens: number | undefined
  readonly #limit: TokenLimit
  /** A request's JSON up to what is its own: the tools are most of many a request, and are written once. */
  #head: string
  /** Is the server asked for the figures of tokens? Not once it has refused that. */
  #asksUsage: boolean
  readonly #headers: ModelServerOptions['headers']
  /** Whose interface is spoken, in the conventions' words, and where. */
  readonly server: { readonly provider: string, readonly address: string, readonly port: number }

  /**
   * Starts to load the libraries. Questions wait for them.
   * @param params the same in every request
   * @param asksUsage is the server asked how many tokens each answer took?
   * @throws VOICE_AGENT_ERR_CONFIG when a key is missing, a key, header or member of the body cannot be sent, or a URL is none
   */
  constructor (options: ModelClientOptions, params: Omit<Completion, 'messages'>, asksUsage = false) {
    const settings = settingsOf(options)
    this.#asksUsage = asksUsage
    const { headers = {}, body = {}, maxTokens, maxTokensAs } = options
    this.#params = { ...params, ...checkBody(body) }
    this.#maxTokens = maxTokens
    this.#limit = new TokenLimit(maxTokensAs, isOpenAI(options))
    this.#head = this.#writeHead()
    this.#headers = typeof headers === 'function' ? headers : checkHeaders(headers)
    const { origin, hostname, port, protocol } = new URL(settings.url)
    this.server = { provider: settings.provider, address: hostname, port: Number(port) || (protocol === 'https:' ? 443 : 80) }
    this.#line = openLine(origin, settings, params, this.#headers, usesProxy(options.proxy))
    // Each question rejects with it.
    this.#line.catch(() => {})
  }

  /**
   * Resolves with an answer that is going to stream. A request that the server refuses for the name of its token limit is sent once more
   * by the other name, and one that it refuses for `stream_options` without them.
   * @param turn whose signal cancels the request; given to the function that makes headers, where there is one
   * @param asking told of the request before it is sent
   * @throws the `openai` package's errors; the reason of an aborted signal as it is; what the function that makes headers throws, and
   * VOICE_AGENT_ERR_CONFIG when one of its headers cannot be sent
   */
  async ask (params: Pick<Completion, 'messages' | 'tool_choice'>, turn: Turn, asking: (body: string) => void): Promise<ModelAnswer> {
    const { openai, transport, path, headers: shared } = await this.#line
    const { signal } = turn
    const headers = typeof this.#headers === 'function' ? withHeaders(shared, await unlessAborted(this.#headers(turn), signal)) : shared
    for (;;) {
      const { name } = this.#limit
      const asksUsage = this.#asksUsage
      const body = `${this.#head}${asksUsage ? USAGE : ''},${JSON.stringify(params).slice(1)}`
      asking(body)
      const answer = await transport.post({ path, headers, body, signal }).catch(error => {
        throw signal.aborted ? error : connectionError(openai, error, this.server, transport.isProxied)
      })
      const { head, body: bytes } = answer
      if (head.status >= 200 && head.status <= 299) {
        return { bytes, head, failure: error => new openai.APIError(undefined, error, undefined, head.headers) }
      }
      const error = await refusal(openai, answer)
      if (signal.aborted || !this.#learn(error, name, asksUsage)) throw error
    }
  }

  /** Is there another way to ask a server that refused this one? It is remembered. */
  #learn (error: APIError, name: TokenLimitName, asksUsage: boolean): boolean {
    if (asksUsage && refusesUsage(error)) {
      this.#asksUsage = false
      return true
    }
    if (this.#maxTokens === undefined || !this.#limit.learn(error, name)) return false
    this.#head = this.#writeHead()
    return true
  }

  #writeHead (): string {
    return JSON.stringify({ ...this.#params, ...(this.#maxTokens !== undefined && { [this.#limit.name]: this.#maxTokens }) }).slice(0, -1)
  }

  /** Opens a connection ahead of the next question. */
  warm (): void {
    this.#line.then(({ transport }) => transport.warm(), () => {})
  }

  /** Cuts every connection. Later questions are rejected. Never rejects itself. */
  async close (): Promise<void> {
    await this.#line.then(({ transport }) => transport.close(), () => {})
  }
}

// Servers say so in words of their own, which name the member.
function refusesUsage ({ status, message }: APIError): boolean {
  return (status === 400 || status === 422) && /stream_options|include_usage/.test(message)
}

async function openLine (
  origin: string, { connect, isKeyless }: Settings, params: Omit<Completion, 'messages'>, own: ModelServerOptions['headers'],
  usesProxy: boolean
): Promise<Line> {
  const { openai, undici } = await loadModelLibraries()
  const { url, req } = await connect(openai).buildRequest({ method: 'post', path: '/chat/completions', body: params })
  const { pathname, search } = new URL(url)
  // The client's headers about itself, such as its retry count, are wrong here, and they are most of the headers.
  const entries = Object.entries(Object.fromEntries(req.headers))
    .filter(([name]) => !name.startsWith('x-stainless-') && !(isKeyless && name === 'api-key'))
  const headers = { ...Object.fromEntries(entries), 'accept-encoding': 'identity' }
  return {
    openai,
    transport: openTransport(undici, origin, usesProxy),
    path: pathname + search,
    headers: typeof own === 'object' ? withHeaders(headers, own) : headers
  }
}

/** What a function resolves with; rejects with the signal's reason once that aborts. */
async function unlessAborted<T> (work: T | Promise<T>, signal: AbortSignal): Promise<T> {
  return await new Promise((resolve, reject) => {
    const aborted = (): void => reject(signal.reason)
    signal.addEventListener('abort', aborted, { once: true })
    Promise.resolve(work).finally(() => signal.removeEventListener('abort', aborted)).then(resolve, reject)
    if (signal.aborted) aborted()
  })
}

// Names the server, of which a log at `error` shows nothing else, and no more of its URL: a path or a user's name may be a secret.
function connectionError (
  openai: ModelLibraries['openai'],
  cause: Error & { code?: unknown },
  server: ModelClient['server'],
  isProxied: boolean
): APIConnectionError {
  const { APIConnectionError, APIConnectionTimeoutError } = openai
  // undici has no code for it.
  const refusal = /^Proxy response \((\d{3})\)/.exec(cause.message)
  const code = refusal === null ? String(cause.code) : `the proxy answers ${refusal[1]}`
  const isTooSlow = TOO_SLOW.has(code)
  const what = isTooSlow ? 'does not answer in time' : 'cannot be reached'
  const setting = server.provider === AZURE ? AZURE_ENDPOINT : BASE_URL
  const way = isProxied ? ' over the proxy of the environment' : ''
  const proxies = isProxied ? ', and HTTPS_PROXY or HTTP_PROXY where the proxy is' : ''
  const message = `The model's server ${server.address}:${server.port} ${what}${way}: ${code}. ${setting} says where it is${proxies}`
  if (isTooSlow) return markSafe(Object.assign(new APIConnectionTimeoutError({ message }), { cause }))
  return markSafe(new APIConnectionError({ message, cause }))
}

async function refusal ({ APIError }: ModelLibraries['openai'], { head: { status, headers }, body }: Answer): Promise<APIError> {
  const text = await body.text().catch((error: Error) => error.message)
  let json: object | undefined
  try {
    json = JSON.parse(text) as object
  } catch {}
  return APIError.generate(status, json, json ? undefined : text, headers)
}

/** What options say of the server. */
interface Settings {
  readonly provider: string
  readonly url: string
  /** The key is a placeholder: headers of the app's own say who asks. */
  readonly isKeyless: boolean
  connect (openai: ModelLibraries['openai']): OpenAI
}

function settingsOf ({ apiKey = '', baseURL = '', azure, headers }: ModelServerOptions): Settings {
  const shared = {
    logLevel: 'off',
    // What is left undefined the client reads from OPENAI_* variables by itself; null is none.
    organization: null,
    project: null
  } satisfies ClientOptions
  if (azure !== undefined) {
    const apiVersion = azure.apiVersion || AZURE_API_VERSION
    const endpoint = httpUrl(azure.endpoint, AZURE_ENDPOINT)
    const isKeyless = !azure.apiKey && mayHoldKey(headers)
    const apiKey = isKeyless ? NO_KEY : key(azure.apiKey, 'AZURE_OPENAI_API_KEY (option openai.azure.apiKey)')
    return {
      provider: AZURE,
      url: endpoint,
      isKeyless,
      connect: ({ AzureOpenAI }) => new AzureOpenAI({ ...shared, baseURL: null, endpoint, apiKey, apiVersion })
    }
  }
  const name = 'OPENAI_API_KEY (option openai.apiKey)'
  const url = baseURL === '' ? OPENAI_BASE_URL : httpUrl(baseURL, BASE_URL)
  // openAIAgent() does not read the environment.
  if (baseURL === '' && apiKey === '' && !mayHoldKey(headers)) {
    throw new ConfigError(`${name} is missing: openAIAgent({ apiKey: process.env.OPENAI_API_KEY })`)
  }
  const sent = apiKey === '' ? NO_KEY : key(apiKey, name)
  return { provider: 'openai', url, isKeyless: false, connect: ({ OpenAI }) => new OpenAI({ ...shared, baseURL: url, apiKey: sent }) }
}

/** The official client insists on a key. */
const NO_KEY = 'none'

function usesProxy (proxy: unknown = 'none'): boolean {
  if (proxy !== 'none' && proxy !== 'environment') throw new ConfigError('OPENAI_PROXY (option openai.proxy) must be none or environment')
  if (proxy === 'environment') checkProxies(process.env)
  return proxy === 'environment'
}

function key (value: string | undefined, name: string): string {
  if (!value) throw new ConfigError(`${name} is missing`)
  // A header cannot hold other characters: each request would fail with an error that quotes the key.
  if (!/^[!-~]+$/.test(value)) throw new ConfigError(`${name} must be ASCII text without blanks`)
  return value
}

function httpUrl (value: string, name: string): string {
  // `localhost:11434/v1` parses as a URL with the scheme `localhost:`.
  if (!/^https?:\/\/[^?#]+$/i.test(value) || !URL.canParse(value)) {
    throw new ConfigError(`${name} must be an http or https URL without a query`)
  }
  return value
}
