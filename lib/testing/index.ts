/**
 * Calls without a phone: callers that play the provider's side of a call, for any test runner.
 */
export type { CallEnd, CallerEvents, Spoken, ToolRecord, WireFrame } from './caller-events.js'
export { NoReplyError } from './no-reply.js'
export type { CallerOptions, InterruptOptions } from './caller-options.js'
export type { Clock } from './clock.js'
export { FINDING_CODES, type Finding, type FindingCode } from './finding.js'
export type { Reply, ReplyAction, ReplyOutcome } from './reply.js'
export { MillisCaller } from './millis/caller.js'
export type { MillisCallerOptions } from './millis/options.js'
export { RetellCaller } from './retell/caller.js'
export type { RetellCallerOptions } from './retell/options.js'
export {
  callTools, CUT, failures, hold, RESET, STALL, startScriptedModel, toolCallChunk, usageChunk,
  type Answer, type BreakOff, type Hold, type ModelRequest, type ModelRequestBody, type Refusal, type Script, type ScriptedModel,
  type ScriptedModelOptions, type Step
} from './scripted-model.js'
export { DialError, type DialledApp, type DialTarget } from './target.js'
export { readScenario, ScenarioError, type Scenario, type ScenarioStep } from './scenarios/format.js'
export { playScenario, type PlayOptions, type ScenarioFailure, type ScenarioResult } from './scenarios/play.js'
