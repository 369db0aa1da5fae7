export { CUT, failures, hold, RESET, STALL, startScriptedModel as startModelServer, toolCallChunk, usageChunk } from '../../lib/testing/scripted-model.js'
export type { Answer, Hold, ModelRequest, Refusal, Script, ScriptedModel as ModelServer, ScriptedModelOptions as ModelServerOptions, Step } from '../../lib/testing/scripted-model.js'
