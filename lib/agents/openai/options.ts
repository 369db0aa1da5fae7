/**
 * What the built-in agent may be told, and what is wrong with it.
 */
import { ConfigError } from '../../contract/errors.js'
import { checkNames, namesOf } from '../../contract/option-names.js'
import type { AzureOptions, ModelServerOptions, TokenLimitName } from './model-server-options.js'
import type { ToolChoice } from '../../tools/tool-loop.js'
import { isTool, type Tool } from '../../tools/tool.js'

/** Options of `openAIAgent()`. */
export interface OpenAIAgentOptions extends ModelServerOptions {
  /** Default `gpt-4.1-mini`. */
  model?: string
  /** The system prompt. Default a short one for the phone, with a sentence on tools where there are any; `''` sends none. */
  instructions?: string
  /** The first words, spoken without asking the model. Default `How may I help you?`; `''`: the caller speaks first. */
  greeting?: string
  /**
   * Asks OpenAI's and Azure's servers how many tokens an answer took, for `report.inputTokens` and `.outputTokens`; other servers only
   * with `always`, which stops after the first refusal. Figures that a server tells unasked are reported in any case. Default true.
   */
  usage?: boolean | 'always'
  /** Sampling temperature, 0 to 2. Default the model's own; reasoning models accept no other. */
  temperature?: number
  /** Ends an answer after so many tokens, with reasoning models those of their reasoning included. Default no limit. */
  maxTokens?: number
  /**
   * The member of a request that holds `maxTokens`. Default `max_completion_tokens` for OpenAI and Azure, `max_tokens` for other servers;
   * a server that refuses the one is asked with the other from then on.
   */
  maxTokensAs?: TokenLimitName
  /** What the model may call, made by {@link tool}. Default none. */
  tools?: readonly Tool[]
  /** Whether it may (`auto`), must (`required`, or one by its name) or must not (`none`) begin a turn with a tool. After the first tools it is free. Default `auto`. */
  toolChoice?: ToolChoice
  /** How often the model may be asked in one turn; the last time it may call no tools. Default 6. */
  maxSteps?: number
  /** The most characters of a tool's result that the model is sent; it is told where more were left out. Default 50,000. */
  maxResultCharacters?: number
  /**
   * The most characters of the conversation that the model is sent, the system prompt apart: the oldest turns are left out. A turn is sent
   * whole or not at all, its tool calls with their results, and the last turn is always sent. Default no limit.
   */
  maxHistoryCharacters?: number
  /** May it call several tools at once? Default the model's own. */
  parallelToolCalls?: boolean
  /** Are markdown, emoji and addresses of the web left out of what the model says, as by {@link speakable}? Default true. */
  speakable?: boolean
}

const OPTIONS = namesOf<OpenAIAgentOptions>({
  apiKey: true,
  baseURL: true,
  azure: true,
  headers: true,
  body: true,
  proxy: true,
  model: true,
  instructions: true,
  greeting: true,
  usage: true,
  temperature: true,
  maxTokens: true,
  maxTokensAs: true,
  tools: true,
  toolChoice: true,
  maxSteps: true,
  maxResultCharacters: true,
  maxHistoryCharacters: true,
  parallelToolCalls: true,
  speakable: true
})
const AZURE_OPTIONS = namesOf<AzureOptions>({ endpoint: true, apiKey: true, apiVersion: true })

/** @throws VOICE_AGENT_ERR_CONFIG when they are none, or one is not known */
export function checkOptions (options: OpenAIAgentOptions): void {
  // Turns have members of a class, most of which are not its own.
  if (typeof options === 'object' && options !== null && 'reason' in options && 'signal' in options) {
    throw new ConfigError('openAIAgent makes an agent, once: const agent = openAIAgent({ … }). ' +
      'It is the agent that takes the turns: yield * agent(turn)')
  }
  checkNames('openAIAgent', options, OPTIONS)
  if (!['max_tokens', 'max_completion_tokens', undefined].includes(options.maxTokensAs)) throw new ConfigError('option openai.maxTokensAs must be max_tokens or max_completion_tokens')
  for (const name of ['maxResultCharacters', 'maxHistoryCharacters'] as const) {
    const most = options[name]
    if (most !== undefined && (!Number.isInteger(most) || most < 1)) throw new ConfigError(`option openai.${name} must be a whole number, at least 1`)
  }
  if (options.azure !== undefined) checkNames('openAIAgent', options.azure, AZURE_OPTIONS, 'azure.')
}

/** @throws VOICE_AGENT_ERR_CONFIG when one of these is none that is accepted */
export function checkTools (tools: readonly Tool[], choice: ToolChoice, maxSteps: number): void {
  const must = (holds: boolean, what: string): void => {
    if (!holds) throw new ConfigError(`option openai.${what}`)
  }
  must(Array.isArray(tools) && tools.every(isTool), 'tools must be a list of what tool() makes')
  const names = tools.map(({ name }) => name)
  const twice = names.find((name, index) => names.indexOf(name) < index)
  must(twice === undefined, `tools has two that are named ${twice}: give one of them another name`)
  must(['auto', 'required', 'none'].includes(choice as string) || names.includes((choice as { name: string })?.name), 'toolChoice must be auto, required, none, or { name } of a tool')
  must(Number.isInteger(maxSteps) && maxSteps >= 2, 'maxSteps must be a whole number, 2 or more')
}
