/**
 * The options of the built-in agent, and their check.
 */
import { ConfigError } from '../../contract/errors.js'
import { checkNames, namesOf } from '../../contract/option-names.js'
import type { AzureOptions, ModelServerOptions, TokenLimitName } from './model-server-options.js'
import type { ToolChoice } from '../../tools/tool-loop.js'
import { isTool, type Tool } from '../../tools/tool.js'

/** Options of `openAIAgent()`. */
export interface OpenAIAgentOptions extends ModelServerOptions {
  /**
   * The model; with Azure the deployment.
   * @default `gpt-4.1-mini`
   */
  model?: string
  /**
   * The system prompt; `''` sends none.
   * @default a short one for the phone, with a sentence on tools where there are any
   */
  instructions?: string
  /**
   * The first words, spoken without asking the model; `''`: the caller speaks first.
   * @default `How may I help you?`
   */
  greeting?: string
  /**
   * Asks OpenAI's and Azure's servers how many tokens an answer took, for `report.inputTokens` and `.outputTokens`; with `always` any
   * server, until it refuses. Figures that a server tells unasked are reported in any case.
   * @default true
   */
  usage?: boolean | 'always'
  /**
   * Sampling temperature, 0 to 2. Reasoning models accept only their own.
   * @default the model's own
   */
  temperature?: number
  /**
   * Ends an answer after this many tokens. Reasoning models count those of their reasoning.
   * @default no limit
   */
  maxTokens?: number
  /**
   * The member of a request that holds `maxTokens`. A server that refuses one is asked with the other from then on.
   * @default `max_completion_tokens` for OpenAI and Azure, `max_tokens` for other servers
   */
  maxTokensAs?: TokenLimitName
  /**
   * What the model may call, made by {@link tool}.
   * @default none
   */
  tools?: readonly Tool[]
  /**
   * Whether the model may (`auto`), must (`required`, or one tool by its name) or must not (`none`) begin a turn with a tool. After the
   * first tools it decides.
   * @default `auto`
   */
  toolChoice?: ToolChoice
  /**
   * How often the model is asked in one turn; the last time it may call no tools.
   * @default 6
   */
  maxSteps?: number
  /**
   * The most characters of a tool's result that the model is sent. The model is told where more were left out.
   * @default 50,000
   */
  maxResultCharacters?: number
  /**
   * The most characters of the conversation that the model is sent, without the system prompt. The oldest turns are left out. A turn is
   * sent whole or not at all, its tool calls with their results, and the last turn is always sent.
   * @default no limit
   */
  maxHistoryCharacters?: number
  /**
   * Lets the model call several tools at once.
   * @default the model's own
   */
  parallelToolCalls?: boolean
  /**
   * Leaves reasoning, tool calls as text, markdown, emoji and addresses of the web out of what the model says, as {@link speakable} does.
   * @default true
   */
  speakable?: boolean
  /**
   * Each answer begins with reasoning, without an opening tag, and a `</think>` ends it, as some servers' templates of prompts have it.
   * Needs `speakable`.
   * @default false
   */
  startsInReasoning?: boolean
  /**
   * Runs a call of one of `tools` that the model writes into its answer as text. Otherwise the text is left out. Needs `speakable`.
   * @default false
   */
  runsTextCalls?: boolean
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
  speakable: true,
  startsInReasoning: true,
  runsTextCalls: true
})
const AZURE_OPTIONS = namesOf<AzureOptions>({ endpoint: true, apiKey: true, apiVersion: true })

/** @throws VOICE_AGENT_ERR_CONFIG when the options are not an object, or one is unknown or not accepted */
export function checkOptions (options: OpenAIAgentOptions): void {
  // `in`, since the members of a turn are inherited from its class.
  if (typeof options === 'object' && options !== null && 'reason' in options && 'signal' in options) {
    throw new ConfigError('openAIAgent makes an agent, once: const agent = openAIAgent({ … }). ' +
      'It is the agent that takes the turns: yield * agent(turn)')
  }
  checkNames('openAIAgent', options, OPTIONS)
  if (!['max_tokens', 'max_completion_tokens', undefined].includes(options.maxTokensAs)) {
    throw new ConfigError('option openai.maxTokensAs must be max_tokens or max_completion_tokens')
  }
  for (const name of ['maxResultCharacters', 'maxHistoryCharacters'] as const) {
    const most = options[name]
    if (most !== undefined && (!Number.isInteger(most) || most < 1)) {
      throw new ConfigError(`option openai.${name} must be a whole number, at least 1`)
    }
  }
  if (options.azure !== undefined) checkNames('openAIAgent', options.azure, AZURE_OPTIONS, 'azure.')
}

/** @throws VOICE_AGENT_ERR_CONFIG when one of these is not accepted */
export function checkTools (tools: readonly Tool[], choice: ToolChoice, maxSteps: number): void {
  const must = (holds: boolean, what: string): void => {
    if (!holds) throw new ConfigError(`option openai.${what}`)
  }
  must(Array.isArray(tools) && tools.every(isTool), 'tools must be a list of what tool() makes')
  const names = tools.map(({ name }) => name)
  const twice = names.find((name, index) => names.indexOf(name) < index)
  must(twice === undefined, `tools has two that are named ${twice}: give one of them another name`)
  const isChoice = ['auto', 'required', 'none'].includes(choice as string) || names.includes((choice as { name: string })?.name)
  must(isChoice, 'toolChoice must be auto, required, none, or { name } of a tool')
  must(Number.isInteger(maxSteps) && maxSteps >= 2, 'maxSteps must be a whole number, 2 or more')
}
