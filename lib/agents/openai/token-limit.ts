/**
 * The member of a request that limits the tokens of an answer. OpenAI's reasoning models refuse `max_tokens`, and many servers that
 * imitate OpenAI know nothing else.
 */
import type { APIError } from 'openai'
import type { ModelServerOptions, TokenLimitName } from './model-server-options.js'

/** Hosts of OpenAI, its regions, and Azure. */
const OPENAI_HOST = /(^|\.)(api\.openai\.com|openai\.azure\.(com|us|cn)|(services\.ai|cognitiveservices)\.azure\.com)$/

/** How servers refuse a member that they do not know. */
const UNKNOWN = /unsupported|unknown|unrecogni[sz]ed|unexpected|not (permitted|allowed|supported)/i

/** Is it a server of OpenAI or Azure? Its URL must be a valid one. */
export function isOpenAI ({ baseURL = '', azure }: Pick<ModelServerOptions, 'baseURL' | 'azure'>): boolean {
  return baseURL === '' || azure !== undefined || OPENAI_HOST.test(new URL(baseURL).hostname)
}

/** What is known of how a server calls the limit. A server whose refusal tells is asked by the other name from then on. */
export class TokenLimit {
  /** The name to use for the next request. */
  name: TokenLimitName
  #isKnown: boolean

  /**
   * @param name where it is given
   * @param isOpenAI which name to begin with otherwise
   */
  constructor (name: TokenLimitName | undefined, isOpenAI: boolean) {
    this.name = name ?? (isOpenAI ? 'max_completion_tokens' : 'max_tokens')
    this.#isKnown = name !== undefined
  }

  /** Learns from a refusal of a request that used this name. Returns whether another request would use the other one. */
  learn ({ status, message }: Pick<APIError, 'status' | 'message'>, used: TokenLimitName): boolean {
    if (this.name !== used) return true
    const other = used === 'max_tokens' ? 'max_completion_tokens' : 'max_tokens'
    const isRefused = (status === 400 || status === 422) && (message.includes(other) || (message.includes(used) && UNKNOWN.test(message)))
    if (this.#isKnown || !isRefused) return false
    // Once: a server that refuses both is not asked for ever.
    this.#isKnown = true
    this.name = other
    return true
  }
}
