/**
 * What all calls of one registration share, made of its settings.
 */
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { AdmittedCalls } from '../admission/admitted-calls.js'
import { APOLOGY, GREETING } from '../agents/scripted.js'
import type { CallHost, LiveCall } from '../call/call.js'
import { HookRunner } from '../call/hooks.js'
import { createGoodbye } from '../call/limits.js'
import { redactingHooks } from '../call/redaction.js'
import type { CallRegistry } from '../call/registry.js'
import { createFallback, createFiller } from '../call/stand-in.js'
import type { Cluster } from '../cluster/cluster.js'
import type { VoiceAgentOptions } from '../config/options.js'
import { capturesContent, ceilingsOf } from '../config/read.js'
import type { Env } from '../config/settings.js'
import { cleaner } from '../speech/redact.js'
import type { Refusal } from '../telemetry/refusals.js'
import { Telemetry } from '../telemetry/telemetry.js'
import type { BindLog } from './loggers.js'

/** What a registration has made already. */
export interface CallHostParts {
  readonly calls: CallRegistry<LiveCall>
  readonly admitted: AdmittedCalls
  readonly cluster: Cluster | undefined
  readonly bindLog: BindLog
  isClosing (): boolean
}

/** Makes the host of the calls. `ask` looks the agent up at each turn, as it is decorated later. */
export function createCallHost (
  fastify: FastifyInstance,
  config: Env,
  options: VoiceAgentOptions,
  { calls, admitted, cluster, bindLog, isClosing }: CallHostParts
): CallHost {
  const telemetry = new Telemetry(shownInSpans(config, options))
  return {
    calls,
    cluster,
    telemetry,
    refused: (reason: Refusal) => {
      calls.refusals[reason]++
      telemetry.refused(reason)
    },
    hooks: new HookRunner(redactingHooks(options, options.redact)),
    leadingAssistant: options.messages?.leadingAssistant ?? false,
    afterTool: options.messages?.afterTool ?? '',
    deadlines: {
      firstTokenMs: config.FIRST_TOKEN_TIMEOUT_MS,
      tokenGapMs: config.TOKEN_GAP_TIMEOUT_MS,
      turnMs: config.TURN_TIMEOUT_MS,
      fillerMs: options.filler === undefined ? 0 : config.FILLER_DELAY_MS
    },
    fallback: createFallback(options.fallback, GREETING, APOLOGY),
    filler: createFiller(options.filler ?? ''),
    reconnectGraceMs: config.RECONNECT_GRACE_MS,
    limits: { ...ceilingsOf(config), goodbye: createGoodbye(options.limits?.goodbye) },
    expects: callId => !config.ADMITTED_CALLS_ONLY || admitted.has(callId),
    over: callId => admitted.delete(callId),
    bindLog,
    isClosing,
    ask: turn => fastify.agent(turn)
  }
}

// What people say stands in spans only where the operator wants it there.
function shownInSpans (config: Env, { redact }: VoiceAgentOptions): ((text: string, log: FastifyBaseLogger) => string) | undefined {
  if (!capturesContent(config)) return undefined
  return redact === undefined ? text => text : (text, log) => cleaner(redact, log)(text)
}
