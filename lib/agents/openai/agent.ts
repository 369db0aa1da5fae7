/**
 * The built-in agent: asks a chat-completions model, and speaks what it streams.
 */
import type { OpenAI } from 'openai'
import type { Action, Turn } from '../../contract/agent.js'
import { startModelRequest, type ModelServer } from '../../telemetry/model-request.js'
import { within } from '../../telemetry/operation.js'
import { Completion } from './completion.js'
import { ModelClient, type ModelAnswer as Answer } from './model-client.js'
import { checkOptions, checkTools, type OpenAIAgentOptions } from './options.js'
import { Prompts } from './prompts.js'
import type { ReasoningMembers } from './reasoning.js'
import { GREETING } from '../scripted.js'
import { speakInSteps, type ToolChoice } from '../../tools/tool-loop.js'
import { estimateTokens } from '../../tools/token-estimate.js'

export type { OpenAIAgentOptions } from './options.js'

/** The model that is asked when no other is named. */
const DEFAULT_MODEL = 'gpt-4.1-mini'

/** The system prompt when none is given. */
export const DEFAULT_INSTRUCTIONS = 'You are a friendly assistant on a phone call. Every word you write is spoken aloud: ' +
  'use plain sentences, no markdown, no lists, no emoji, and write numbers and symbols the way they are said. ' +
  'Answer in one or two short sentences and ask at most one question at a time. ' +
  'What the caller said comes from speech recognition: where it makes no sense, ask again.'

/** And what they say more where there are tools. */
const TOOL_INSTRUCTIONS = ' Say that something is done only once a tool has said so, and never make up what a tool could tell you.'

/** Five rounds of tools, and an answer: a caller is waiting. */
const MAX_STEPS = 6

/** Some 12,000 tokens: a tenth of what most models take, and more than an answer on the phone is made of. */
const MAX_RESULT_CHARACTERS = 50_000

/** An agent that can also be called from one of the user's own: `yield * model(turn)`. Whoever made it closes it. */
export interface OpenAIAgent {
  /**
   * Streams the model's answer as it comes, a refusal like any other; what it throws before the first piece has said and
   * done nothing yet. Tools that the model calls are run on the way: their calls are yielded before, an action that one of
   * them returned is yielded last. `turn.signal` cancels the request, as does leaving the generator; an aborted turn ends
   * quietly. Nothing is retried, except a request that was lost with an idle connection, and one that is refused for its length or behind
   * a tool's result, which is sent once more with less of the conversation. How long a caller may wait is
   * up to whoever aborts the turn: left alone, 300 s of silence from the model throw.
   * @throws VOICE_AGENT_ERR_MODEL when the answer has nothing to say, or a content filter stopped it, even after some text;
   * all other failures as the `openai` package's errors; their messages may quote the server's answer
   */
  (turn: Turn): AsyncGenerator<string | Action, void, undefined>
  /** Releases the connections to the model and cuts answers that still stream. Later turns throw. Never rejects. */
  close (): Promise<void>
}

/**
 * Makes an agent with a client and connections of its own, to be made once and not per call.
 * @throws VOICE_AGENT_ERR_CONFIG when a key is missing or a URL is none
 */
export function openAIAgent (options: OpenAIAgentOptions): OpenAIAgent {
  checkOptions(options)
  const { model = DEFAULT_MODEL, greeting = GREETING, tools = [], toolChoice = 'auto', maxSteps = MAX_STEPS } = options
  const { speakable = true, startsInReasoning = false, runsTextCalls = false } = options
  const { maxResultCharacters = MAX_RESULT_CHARACTERS, maxHistoryCharacters = Infinity } = options
  const { instructions = tools.length === 0 ? DEFAULT_INSTRUCTIONS : DEFAULT_INSTRUCTIONS + TOOL_INSTRUCTIONS } = options
  checkTools(tools, toolChoice, maxSteps)
  const client = new ModelClient(options, { model, stream: true, ...sampling(options), ...declarations(options) }, asksUsage(options))
  const server: ModelServer = { ...client.server, model, temperature: options.temperature, maxTokens: options.maxTokens }
  const prompts = new Prompts({
    instructions, model: `${server.address}:${server.port} ${model}`, maxResultCharacters, maxHistoryCharacters
  })

  function speak (turn: Turn): AsyncGenerator<string | Action, void, undefined> {
    if (turn.reason === 'greeting') {
      // While the caller listens.
      client.warm()
      return greet(greeting)
    }
    return speakInSteps(turn, {
      tools,
      toolChoice,
      maxSteps: tools.length === 0 ? 1 : maxSteps,
      speakable,
      startsInReasoning,
      runsTextCalls,
      ask (stepMessages, choice) {
        const { call } = turn
        const prompt = prompts.write(call, stepMessages)
        const request = startModelRequest(call, server, prompt)
        const ask = (): Promise<Answer> => prompts.send(call, stepMessages, prompt, messages => client.ask({
          messages: messages as OpenAI.ChatCompletionMessageParam[],
          ...(tools.length > 0 && choice !== 'auto' && { tool_choice: choiceOf(choice) })
        }, turn, body => call.countTokens(estimateTokens(body))))
        const keep = (ids: readonly string[], members: ReasoningMembers): void => prompts.keep(call, ids, members)
        return new Completion(turn, server, tools.length > 0, within(request, ask), request, keep)
      }
    })
  }

  return Object.assign(speak, { close: () => client.close() })
}

async function * greet (greeting: string): AsyncGenerator<string, void, undefined> {
  if (greeting !== '') yield greeting
}

function sampling ({ temperature }: OpenAIAgentOptions) {
  return temperature === undefined ? {} : { temperature }
}

// A server that is not OpenAI's may refuse what it does not know.
function asksUsage ({ usage = true, baseURL = '', azure }: OpenAIAgentOptions): boolean {
  return usage === 'always' || (usage && (baseURL === '' || azure !== undefined))
}

function declarations ({ tools = [], parallelToolCalls }: OpenAIAgentOptions) {
  if (tools.length === 0) return {}
  return {
    tools: tools.map(({ name, description, parameters, strict }) => ({
      type: 'function' as const,
      function: { name, description, parameters: parameters as Record<string, unknown>, ...(strict && { strict }) }
    })),
    ...(parallelToolCalls === undefined ? {} : { parallel_tool_calls: parallelToolCalls })
  }
}

function choiceOf (choice: ToolChoice) {
  return typeof choice === 'string' ? choice : { type: 'function' as const, function: { name: choice.name } }
}
