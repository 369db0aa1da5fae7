/**
 * How a model is asked: with a request that the official client made once, over connections of our own.
 */
import { APIConnectionError, APIConnectionTimeoutError, APIError, AzureOpenAI, OpenAI, type ClientOptions } from 'openai'
import { ConfigError } from '../errors.js'
import type { ModelServerOptions } from './model-server-options.js'
import { openTransport, type Answer, type ModelRequest, type Transport } from './transport.js'

/** The newest general version of Azure's chat completions. */
const AZURE_API_VERSION = '2024-10-21'

/** How undici and the system say that a server is too slow. */
const TOO_SLOW: ReadonlySet<unknown> = new Set(['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'ETIMEDOUT'])

type Completion = OpenAI.ChatCompletionCreateParamsStreaming

/**
 * A model of one server. The official client makes URL and headers, the same for each request, and the errors; to have it
 * make and send each request anew would cost as much as five to ten tokens. Whoever makes it closes it.
 */
export class ModelClient {
  readonly #transport: Transport
  readonly #request: Promise<Pick<ModelRequest, 'path' | 'headers'>>
  /** A request's JSON up to what is its own: the tools are most of many a request, and are written once. */
  readonly #head: string
  /** Whose interface is spoken, in the conventions' words, and where. */
  readonly server: { readonly provider: string, readonly address: string, readonly port: number }

  /**
   * @param params the same in every request
   * @throws VOICE_AGENT_ERR_CONFIG when a key is missing or cannot be sent, or a URL is none
   */
  constructor (options: ModelServerOptions, params: Omit<Completion, 'messages'>) {
    const client = connect(options)
    this.#head = JSON.stringify(params).slice(0, -1)
    const { origin, hostname, port, protocol } = new URL(client.baseURL)
    this.server = { provider: options.azure === undefined ? 'openai' : 'azure.ai.openai', address: hostname, port: Number(port) || (protocol === 'https:' ? 443 : 80) }
    this.#transport = openTransport(origin)
    this.#request = prepare(client, params)
    // Whoever asks is told.
    this.#request.catch(() => {})
  }

  /**
   * Resolves with an answer that is going to stream.
   * @param asking told of the request before it is sent
   * @throws the `openai` package's errors; the reason of an aborted signal as it is
   */
  async ask (params: Pick<Completion, 'messages' | 'tool_choice'>, signal: AbortSignal, asking: (body: string) => void): Promise<Answer> {
    const request = await this.#request
    const body = `${this.#head},${JSON.stringify(params).slice(1)}`
    asking(body)
    const answer = await this.#transport.post({ ...request, body, signal }).catch(error => {
      throw signal.aborted ? error : connectionError(error)
    })
    if (answer.head.status < 200 || answer.head.status > 299) throw await refusal(answer)
    return answer
  }

  /** Opens a connection ahead of the next question. */
  warm (): void {
    this.#transport.warm()
  }

  /** Cuts every connection. Later questions are rejected. Never rejects itself. */
  close (): Promise<void> {
    return this.#transport.close()
  }
}

async function prepare (client: OpenAI, params: Omit<Completion, 'messages'>): Promise<Pick<ModelRequest, 'path' | 'headers'>> {
  const { url, req } = await client.buildRequest({ method: 'post', path: '/chat/completions', body: params })
  const { pathname, search } = new URL(url)
  // What the client tells of itself, such as how often it has tried, is not true of us, and most of the headers.
  const headers = Object.entries(Object.fromEntries(req.headers)).filter(([name]) => !name.startsWith('x-stainless-'))
  return { path: pathname + search, headers: { ...Object.fromEntries(headers), 'accept-encoding': 'identity' } }
}

function connectionError (cause: { code?: unknown }): APIConnectionError {
  return TOO_SLOW.has(cause.code) ? Object.assign(new APIConnectionTimeoutError(), { cause }) : new APIConnectionError({ cause: cause as Error })
}

async function refusal ({ head: { status, headers }, body }: Answer): Promise<APIError> {
  const text = await body.text().catch((error: Error) => error.message)
  let json: object | undefined
  try {
    json = JSON.parse(text) as object
  } catch {}
  return APIError.generate(status, json, json ? undefined : text, headers)
}

function connect ({ apiKey = '', baseURL = '', azure }: ModelServerOptions): OpenAI {
  const shared = {
    logLevel: 'off',
    // What is left undefined the client reads from OPENAI_* variables by itself; null is none.
    baseURL: null,
    organization: null,
    project: null
  } satisfies ClientOptions
  if (azure !== undefined) {
    return new AzureOpenAI({
      ...shared,
      endpoint: httpUrl(azure.endpoint, 'AZURE_OPENAI_ENDPOINT (option openai.azure.endpoint)'),
      apiKey: key(azure.apiKey, 'AZURE_OPENAI_API_KEY (option openai.azure.apiKey)'),
      apiVersion: azure.apiVersion ?? AZURE_API_VERSION
    })
  }
  const name = 'OPENAI_API_KEY (option openai.apiKey)'
  if (baseURL === '') return new OpenAI({ ...shared, apiKey: key(apiKey, name) })
  return new OpenAI({
    ...shared,
    baseURL: httpUrl(baseURL, 'OPENAI_BASE_URL (option openai.baseURL)'),
    apiKey: apiKey === '' ? 'none' : key(apiKey, name) // the client insists on one
  })
}

function key (value: string, name: string): string {
  if (!value) throw new ConfigError(`${name} is missing`)
  // No header can hold others: each request would fail with an error that quotes the key.
  if (!/^[!-~]+$/.test(value)) throw new ConfigError(`${name} must be ASCII text without blanks`)
  return value
}

function httpUrl (value: string, name: string): string {
  // `localhost:11434/v1` is a URL as well, of the scheme `localhost:`.
  if (!/^https?:\/\/[^?#]+$/i.test(value) || !URL.canParse(value)) throw new ConfigError(`${name} must be an http or https URL without a query`)
  return value
}
