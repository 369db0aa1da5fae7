export { voiceAgentPlugin, voiceAgentPlugin as default } from './plugin.js'
export { envSchema } from './options.js'
export { endCall, filler, flush, pause, pressDigits, toolCall, toolResult, transferCall, uninterruptible } from './agent.js'
export { failover } from './agents/failover.js'
export { openAIAgent } from './agents/openai.js'
export { scriptedAgent } from './agents/scripted.js'
export * from './errors.js'

export type {
  Action, Agent, AgentConfig, Call, ChatMessage, ChatToolCall, EndCallOptions, InterjectOptions, Provider, Reply, Speech,
  TerminalAction, TranscriptUpdate, TransferCallOptions, Turn, TurnReason, Utterance
} from './agent.js'
export type { FailoverAgent, FailoverOptions } from './agents/failover.js'
export type { AzureOptions, OpenAIAgent, OpenAIAgentOptions } from './agents/openai.js'
export type { CallHooks } from './call/hooks.js'
export type { Calls } from './call/registry.js'
export type { DeadlineOptions, MillisOptions, RetellOptions, VoiceAgentOptions } from './options.js'
export type { MillisControlFrames } from './protocols/millis/frames.js'
export type { CallSummary, TurnOutcome, TurnReport } from './telemetry/report.js'
