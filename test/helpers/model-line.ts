import { once } from 'node:events'
import type { Test } from 'tap'
import type { Provider, Speech, Turn } from '../../lib/contract/agent.js'
import { openAIAgent, type OpenAIAgentOptions } from '../../lib/agents/openai/agent.js'
import type { Tool } from '../../lib/tools/tool.js'
import { openCall, type CallOptions } from './call.js'
import { millis, retell, type Frame } from './caller.js'
import { startScriptedModel, toolCallChunk, type Answer, type ModelRequest, type Step } from '../../lib/testing/scripted-model.js'
import type { WireMessage } from './valid-messages.js'

/** An agent that streams, as the OpenAI agent does. */
export type StreamingAgent = (turn: Turn) => AsyncIterable<Speech>

/** An answer that calls tools, each written as `name({...})`. */
export function calling (...calls: string[]): Answer & { steps: Step[] } {
  return {
    steps: calls.map((call, index) => {
      const [, name, args] = /^([\w.]*)\((.*)\)$/s.exec(call)!
      return toolCallChunk({ index, id: `call_${name}_${index}`, type: 'function', function: { name: name!, arguments: args! } })
    }),
    finishReason: 'tool_calls'
  }
}

/** A live call, greeted, whose agent asks a model on the loopback; `wrap` puts another agent around that one. */
export async function openLine (t: Test, provider: Provider, tools: Tool[], { agent: agentOptions, wrap = agent => agent, ...options }: CallOptions & { agent?: OpenAIAgentOptions, wrap?: (agent: StreamingAgent) => StreamingAgent } = {}) {
  const server = await startScriptedModel()
  t.teardown(() => server.close())
  const agent = openAIAgent({ baseURL: server.url, instructions: '', greeting: '', tools, ...agentOptions })
  t.teardown(() => agent.close())
  const line = openCall(t, provider, wrap(agent), options)
  line.receive(provider === 'retell' ? retell.details() : millis.start(0))
  await line.completed(0)
  line.frames.length = 0
  const { request } = provider === 'retell' ? retell : millis
  const said = (id: number): string => wordsOf(line.frames, id)
  return {
    server,
    line,
    ask: (id: number, ...words: string[]) => line.receive(request(id, ...words)),
    /** What was said in a turn. */
    said,
    /** Asks, and waits for the end of the answer. */
    async hear (id: number, ...words: string[]): Promise<string> {
      line.receive(request(id, ...words))
      await line.completed(id)
      return said(id)
    },
    /** Resolves once the model was asked so often. */
    async asked (count: number): Promise<void> {
      while (server.requests.length < count) await once(server.events, 'request')
    },
    /** What the model was asked last. */
    last: () => messagesOf(server.requests.at(-1)!)
  }
}

/** The messages of a request to the model. */
export function messagesOf ({ body }: ModelRequest): WireMessage[] {
  return body.messages as unknown as WireMessage[]
}

/** The words of one turn, on either provider. */
export function wordsOf (frames: readonly Frame[], id: number): string {
  return frames.map(frame => frame['response_id'] === id ? frame['content'] : frame['data']?.stream_id === id ? frame['data'].content ?? '' : '').join('')
}
