/**
 * Checks the decorated agent at the start. The error for a value that is not an agent says what to write instead.
 */
import type { Agent } from '../contract/agent.js'
import { AgentError } from '../contract/errors.js'
import { failover } from './failover/failover.js'
import { openAIAgent } from './openai/agent.js'
import { isTool, tool } from '../tools/tool.js'

const HANDLER = "app.decorate('agent', async function * (turn) { … })"

const FUNCTIONS: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  [openAIAgent, "openAIAgent itself, which makes one: app.decorate('agent', openAIAgent({ … }))"],
  [failover, "failover itself, which makes one: app.decorate('agent', failover([first, second]))"],
  [tool, "tool itself: app.decorate('agent', openAIAgent({ tools: [tool({ … })] }))"]
])

/**
 * Checks that a value is an agent, as far as possible without a call.
 * @throws VOICE_AGENT_ERR_AGENT when it is not
 */
export function assertAgent (agent: unknown): asserts agent is Agent {
  const mistake = typeof agent === 'function' ? mistakenFunction(agent as Agent) : mistakenValue(agent)
  if (mistake !== undefined) throw new AgentError(mistake)
}

function mistakenFunction (agent: Agent): string | undefined {
  // A class cannot be called.
  const isClass = /^class\b/.test(Function.prototype.toString.call(agent))
  if (isClass) return "a class. Hand the turns on to an instance of it: app.decorate('agent', turn => mine.reply(turn))"
  return FUNCTIONS.get(agent)
}

function mistakenValue (agent: unknown): string {
  if (isTool(agent)) return "a tool: app.decorate('agent', openAIAgent({ tools: [it] }))"
  const has = (member: string): boolean => typeof (agent as Record<string, unknown> | null | undefined)?.[member] === 'function'
  if (has('then')) return "a promise: app.decorate('agent', await it)"
  if (has('next')) return `a generator, which speaks once. Decorate its function, without calling it: ${HANDLER}`
  // The AI SDK's agents, and Mastra's.
  if (has('generate') && has('stream')) {
    return 'what looks like an agent of another SDK. ' +
      "Ask it for each turn: app.decorate('agent', async turn => " +
      '(await agent.stream({ messages: turn.messages, abortSignal: turn.signal })).textStream)'
  }
  return `${agent === null ? 'null' : typeof agent}: ${HANDLER}`
}
