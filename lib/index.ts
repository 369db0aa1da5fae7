export { voiceAgentPlugin, voiceAgentPlugin as default } from './plugin.js'
export { envSchema, envSchemaOf } from './config/settings.js'
export { endCall, filler, flush, pause, pressDigits, toolCall, toolResult, transferCall, uninterruptible, usage, working } from './contract/agent.js'
export { endCallTool, pressDigitsTool, transferCallTool } from './tools/call-tools.js'
export { failover } from './agents/failover/failover.js'
export { openAIAgent } from './agents/openai/agent.js'
export { runTool } from './tools/run-tool.js'
export { scriptedAgent } from './agents/scripted.js'
export { speakable, SpeechFilter, type SpeechFilterOptions } from './speech/speakable.js'
export { tool } from './tools/tool.js'
export * from './contract/errors.js'
/**
 * TypeBox's builder of schemas, and the formats that tools' parameters may have, of the copy of TypeBox that the plugin checks by:
 * `FormatRegistry.Set('date', isDate)` before `tool()` is called. Formats of another copy are unknown to it.
 */
export { FormatRegistry, Type } from '@sinclair/typebox'
/** What `Type` returns, so that an app which exports a tool or a schema can name its type without TypeBox in its own dependencies. */
export type {
  Static, TAny, TArray, TBoolean, TEnum, TInteger, TIntersect, TLiteral, TNever, TNot, TNull, TNumber, TObject, TOptional, TProperties,
  TReadonly, TReadonlyOptional, TRecord, TRecursive, TRef, TRegExp, TSchema, TString, TTemplateLiteral, TTemplateLiteralSyntax, TThis,
  TTuple, TUnion, TUnknown, TUnsafe
} from '@sinclair/typebox'
export type { FastifyError, FastifyErrorConstructor } from '@fastify/error'

export type {
  Action, Agent, AgentConfig, Call, ChatMessage, ChatToolCall, EndCallOptions, InterjectOptions, Provider, Reply, Speech,
  TerminalAction, ToolAction, ToolCallAction, ToolResultAction, TranscriptUpdate, TransferCallOptions, Turn, TurnReason, Utterance
} from './contract/agent.js'
export type { CallToolOptions, Destination, TransferCallToolOptions } from './tools/call-tools.js'
export type { FailoverAgent, FailoverOptions } from './agents/failover/failover.js'
export type { ToolOutcome } from './tools/tool-outcome.js'
export type { AzureOptions, ModelServerOptions, TokenLimitName } from './agents/openai/model-server-options.js'
export type { OpenAIAgent, OpenAIAgentOptions } from './agents/openai/agent.js'
export type { RequestHeaders } from './agents/openai/request-headers.js'
export type { ToolChoice } from './tools/tool-loop.js'
export type { ArgumentsOf, JsonSchema, ToolParameters } from './tools/parameters.js'
export type { StandardIssue, StandardResult, StandardSchema } from './tools/standard-schema.js'
export type { PendingArguments, SayParameter, Tool, ToolArguments, ToolContext, ToolOptions, WrongArguments } from './tools/tool.js'
export type { AdmitCallOptions } from './admission/admitted-calls.js'
export type { CallHooks } from './call/hooks.js'
export type { Goodbye } from './call/limits.js'
export type { Redact } from './speech/redact.js'
export type { Calls } from './call/registry.js'
export type { CallKey, ClusterCall, ClusterCalls, ClusterNode } from './cluster/cluster.js'
export type { ClusterOptions, DeadlineOptions, LimitOptions, TelemetryOptions, VoiceAgentOptions } from './config/options.js'
export type { CallCeiling, Ceiling, Refusal, Refusals } from './telemetry/refusals.js'
export type { CallMessage, CallStartMessage, FirstTokenMessage, TurnMessage, TurnStartMessage } from './telemetry/channels.js'
export type { CallRecord, CallSummary, ToolReport, TurnOutcome, TurnReport } from './telemetry/report.js'
export type { ProviderOptions, WebhookEvent, WebhookHooks } from './providers/index.js'
export type { MillisControlFrames } from './providers/millis/frames.js'
export type { MillisOptions } from './providers/millis/provider.js'
export type {
  MillisChatEntry, MillisWebhookEvent, MillisWebhookHooks, PrefetchReply, PrefetchSession
} from './providers/millis/webhook-events.js'
export type { RetellOptions } from './providers/retell/provider.js'
export type {
  InboundCall, InboundCallReply, RetellWebhookCall, RetellWebhookEvent, RetellWebhookHooks, RetellWebhookName
} from './providers/retell/webhook-events.js'
