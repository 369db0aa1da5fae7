/**
 * Chooses the agent: the one that the app decorates, or a built-in one.
 */
import type { FastifyInstance } from 'fastify'
import { builtInAgent } from '../agents/built-in.js'
import { assertAgent } from '../agents/mistaken-agent.js'
import { scriptedAgent } from '../agents/scripted.js'
import { nameOf, type Env } from '../config/settings.js'
import type { VoiceAgentOptions } from '../config/options.js'
import type { Agent } from '../contract/agent.js'

// Agents made here. A scope may inherit one from another registration.
const builtInAgents = new WeakSet<Agent>()

/**
 * Decorates a built-in agent where the app has none once everything is loaded, so that the app may decorate its own before or
 * after it registers the plugin. The app becomes ready with VOICE_AGENT_ERR_AGENT where what it decorated is no agent.
 */
export function decorateAgent (fastify: FastifyInstance, config: Env, options: VoiceAgentOptions): void {
  let close = async (): Promise<void> => {}
  fastify.addHook('onReady', async function decorateBuiltInAgent () {
    if (!fastify.hasDecorator('agent') || (!Object.hasOwn(fastify, 'agent') && builtInAgents.has(fastify.agent))) {
      const agent = await builtInAgent(config, options.openai ?? {})
      fastify.log.info(`no agent is decorated: ${agent === scriptedAgent ? 'the scripted one answers' : 'a model answers'}`)
      if ('close' in agent) close = agent.close
      builtInAgents.add(agent)
      fastify.decorate('agent', agent)
    }
    assertAgent(fastify.agent)
    if (options.openai?.tools !== undefined && (fastify.agent === scriptedAgent || !builtInAgents.has(fastify.agent))) {
      fastify.log.warn(`openai.tools are not used: ${builtInAgents.has(fastify.agent)
        ? `no model is asked. Set ${nameOf('OPENAI_API_KEY')}, or ${nameOf('OPENAI_BASE_URL')} for a model of your own`
        : "the agent is the app's own. Give them to openAIAgent({ tools }), or run them by runTool()"}`)
    }
  })
  fastify.addHook('onClose', async function closeBuiltInAgent () { await close() })
}
