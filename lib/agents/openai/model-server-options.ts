/** A deployment of Azure OpenAI; {@link OpenAIAgentOptions.model} is its name. */
export interface AzureOptions {
  /** `https://<resource>.openai.azure.com`. */
  endpoint: string
  apiKey: string
  /** Default `2024-10-21`. */
  apiVersion?: string
}

/** Where the model is, and who asks. */
export interface ModelServerOptions {
  /** Needed unless `baseURL` or `azure` is given. Default `''`. */
  apiKey?: string
  /** Any server that speaks OpenAI's chat completions, as `http://127.0.0.1:11434/v1`. Default `''`, OpenAI itself. */
  baseURL?: string
  /** Asks a deployment of Azure OpenAI; `apiKey` and `baseURL` are then not used. Default none. */
  azure?: AzureOptions
}
