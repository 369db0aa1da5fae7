import type { RequestHeaders } from './request-headers.js'

/** How a server calls the limit of an answer's tokens. */
export type TokenLimitName = 'max_tokens' | 'max_completion_tokens'

/** A deployment of Azure OpenAI. {@link OpenAIAgentOptions.model} is its name. */
export interface AzureOptions {
  /** The resource's address: `https://<resource>.openai.azure.com`. */
  endpoint: string
  /** The resource's key. Needed unless `headers` hold a key or token, such as one of Entra. */
  apiKey?: string
  /**
   * The version of the interface.
   * @default `2024-10-21`
   */
  apiVersion?: string
}

/** Where the model is, and who asks. */
export interface ModelServerOptions {
  /**
   * The key. Needed unless `baseURL` or `azure` is given, or `headers` hold a key or token.
   * @default none
   */
  apiKey?: string
  /**
   * A server that speaks OpenAI's chat completions, such as `http://127.0.0.1:11434/v1`.
   * @default OpenAI itself
   */
  baseURL?: string
  /** Asks a deployment of Azure OpenAI; `apiKey` and `baseURL` are then not used. */
  azure?: AzureOptions
  /**
   * Headers of each request, or a function of the turn that returns them, sync or async, for tokens that expire. `authorization` and
   * `api-key` replace the key.
   * @default none
   */
  headers?: RequestHeaders
  /**
   * Members to add to the body of each request, such as `reasoning_effort` or `top_p`. Members that the agent writes, such as `model`
   * or `tools`, are refused. Copied when the agent is made.
   * @default none
   */
  body?: Readonly<Record<string, unknown>>
  /**
   * `environment` reaches the server over the proxy that `HTTPS_PROXY` or `HTTP_PROXY` names, unless `NO_PROXY` excepts the server or it
   * is on this machine. The proxy must allow CONNECT.
   * @default `none`
   */
  proxy?: 'none' | 'environment'
}
