/**
 * Members that the app adds to the body of the requests to a model's server.
 */
import { ConfigError } from '../../contract/errors.js'

/** Members that the app may not add, and why. */
const RESERVED: ReadonlyMap<string, string> = new Map([
  ['model', 'the option model sets it'],
  ['messages', 'the agent writes the conversation there'],
  ['stream', 'every answer is streamed'],
  ['stream_options', 'the option usage sets it'],
  ['temperature', 'the option temperature sets it'],
  ['max_tokens', 'the option maxTokens sets it'],
  ['max_completion_tokens', 'the option maxTokens sets it'],
  ['tools', 'the option tools sets it'],
  ['tool_choice', 'the option toolChoice sets it'],
  ['parallel_tool_calls', 'the option parallelToolCalls sets it'],
  ['n', 'only one answer can be spoken']
])

/**
 * Returns a copy of the members, as JSON has them.
 * @throws VOICE_AGENT_ERR_CONFIG when they are no object that can be written as JSON, or one of them is the agent's to write
 */
export function checkBody (body: unknown): Readonly<Record<string, unknown>> {
  const members = copy(body)
  if (typeof members !== 'object' || members === null || Array.isArray(members)) {
    throw new ConfigError('option openai.body must be an object that can be written as JSON')
  }
  for (const name of Object.keys(members)) {
    const reason = RESERVED.get(name)
    if (reason !== undefined) throw new ConfigError(`option openai.body must not have ${name}: ${reason}`)
  }
  return members as Record<string, unknown>
}

function copy (body: unknown): unknown {
  try {
    return JSON.parse(JSON.stringify(body))
  } catch {
    return undefined
  }
}
