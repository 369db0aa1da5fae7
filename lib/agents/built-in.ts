/**
 * The agent that serves if the app decorates none.
 */
import type { Agent, Reply, Turn } from '../contract/agent.js'
import { loadModelLibraries } from './openai/model-libraries.js'
import { openAIAgent, type OpenAIAgent, type OpenAIAgentOptions } from './openai/agent.js'
import { GREETING, scriptedAgent } from './scripted.js'

/** The settings that choose and configure the agent. */
export interface BuiltInAgentEnv {
  readonly OPENAI_API_KEY: string
  readonly OPENAI_BASE_URL: string
  readonly OPENAI_MODEL?: string
  readonly AZURE_OPENAI_ENDPOINT: string
  readonly AZURE_OPENAI_API_KEY: string
  readonly OPENAI_API_VERSION?: string
  readonly OPENAI_PROXY?: 'none' | 'environment'
  readonly AGENT_INSTRUCTIONS?: string
  readonly AGENT_GREETING?: string
}

/** Options without a variable. */
const OPTIONS = [
  'temperature', 'maxTokens', 'maxTokensAs', 'tools', 'toolChoice', 'maxSteps', 'parallelToolCalls', 'speakable', 'startsInReasoning',
  'runsTextCalls', 'usage', 'headers', 'body', 'maxResultCharacters', 'maxHistoryCharacters'
] as const satisfies Array<keyof OpenAIAgentOptions>

/**
 * The OpenAI agent if a key or a server is configured, else the scripted one. The caller of this function closes it. Resolves once the
 * libraries for model requests are loaded, so that loading delays the start instead of a call.
 * @throws VOICE_AGENT_ERR_CONFIG when the settings are incomplete
 */
export async function builtInAgent (
  env: BuiltInAgentEnv,
  options: Pick<OpenAIAgentOptions, typeof OPTIONS[number]>
): Promise<Agent | (Agent & Pick<OpenAIAgent, 'close'>)> {
  // An empty variable counts as not set, except for instructions and greeting.
  const { OPENAI_API_KEY, OPENAI_BASE_URL, AZURE_OPENAI_ENDPOINT } = env
  if (OPENAI_API_KEY === '' && OPENAI_BASE_URL === '' && AZURE_OPENAI_ENDPOINT === '') return scriptedAgent
  const model = openAIAgent({
    ...Object.fromEntries(OPTIONS.filter(name => options[name] !== undefined).map(name => [name, options[name]])),
    apiKey: OPENAI_API_KEY,
    baseURL: OPENAI_BASE_URL,
    ...(env.OPENAI_PROXY && { proxy: env.OPENAI_PROXY }),
    ...(env.OPENAI_MODEL && { model: env.OPENAI_MODEL }),
    ...(env.AGENT_INSTRUCTIONS !== undefined && { instructions: env.AGENT_INSTRUCTIONS }),
    ...(AZURE_OPENAI_ENDPOINT !== '' && {
      azure: {
        endpoint: AZURE_OPENAI_ENDPOINT,
        apiKey: env.AZURE_OPENAI_API_KEY,
        ...(env.OPENAI_API_VERSION && { apiVersion: env.OPENAI_API_VERSION })
      }
    })
  })
  await loadModelLibraries()
  const { AGENT_GREETING: greeting = GREETING } = env
  const speak = (turn: Turn): Reply => {
    const answer = model(turn)
    // A string leaves in one frame with the completion; a stream's first words leave before its end is known.
    return turn.reason === 'greeting' ? greeting : answer
  }
  return Object.assign(speak, { close: () => model.close() })
}
