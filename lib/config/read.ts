/**
 * From the environment and the options to values: the options win.
 */
import env from '@fastify/env'
import type { FastifyInstance } from 'fastify'
import { ConfigError } from '../contract/errors.js'
import { schemaOf } from '../contract/setting.js'
import type { CallCeiling, Ceiling } from '../telemetry/refusals.js'
import type { VoiceAgentOptions } from './options.js'
import { accepted, settings, VARIABLES, type Env, type Variable } from './settings.js'

/** The values of settings that are not given. */
const DEFAULTS = Object.fromEntries(
  VARIABLES.map(variable => [variable, settings[variable].schema.default] as const).filter(([, value]) => value !== undefined)
) as Env

/**
 * Reads the environment under the options.
 * @param scope the plugin's own, which keeps the values
 * @throws VOICE_AGENT_ERR_CONFIG naming variable, option and what is accepted
 */
export async function readSettings (scope: FastifyInstance, options: VoiceAgentOptions): Promise<Env> {
  const data = toEnv(options)
  // Ajv compiles the schema, and would take a tenth of the start for the whole table: it gets the few settings that are given.
  const given = VARIABLES.filter(variable => variable in data || variable in process.env)
  const schema = schemaOf(Object.fromEntries(given.map(variable => [variable, settings[variable]])))
  try {
    await scope.register(env, { confKey: 'voiceAgentEnv', schema, data })
  } catch (error) {
    throw toConfigError(error as Error)
  }
  const config = { ...DEFAULTS, ...scope.getDecorator<Partial<Env>>('voiceAgentEnv') }
  refuseInfinity(config)
  return config
}

/** The options as the environment would have them, to be laid over it. */
function toEnv (options: VoiceAgentOptions): Partial<Record<Variable, unknown>> {
  const values = VARIABLES.map(variable => [variable, toValue(optionAt(options, settings[variable].schema.title!), variable)] as const)
  return Object.fromEntries(values.filter(([, value]) => value !== undefined))
}

/** Undefined where it, or what holds it, is not given, or a provider is switched off. */
function optionAt (options: object, path: string): unknown {
  return path.split('.').reduce<unknown>((value, name) => (value as Record<string, unknown> | false | undefined || undefined)?.[name], options)
}

function toValue (value: unknown, variable: Variable): unknown {
  if (Array.isArray(value)) return value.join(',')
  // A client of Redis is no text.
  if (typeof value === 'object') return ''
  return typeof value === 'boolean' && settings[variable].schema.type === 'string' ? String(value) : value
}

/** The ceilings, of which 0 is none. */
export function ceilingsOf (config: Env): Readonly<Record<Ceiling | CallCeiling, number>> {
  const ceiling = (limit: number): number => limit === 0 ? Infinity : limit
  return {
    maxCalls: ceiling(config.MAX_CALLS),
    maxCallsPerAddress: ceiling(config.MAX_CALLS_PER_ADDRESS ?? config.MAX_CALLS),
    maxUnstartedCalls: ceiling(config.MAX_UNSTARTED_CALLS ?? Math.max(500, config.MAX_CALLS / 2)),
    maxUpgradesPerSecond: ceiling(config.MAX_UPGRADES_PER_SECOND ?? Math.max(1_000, config.MAX_CALLS)),
    maxClusterCalls: ceiling(config.MAX_CLUSTER_CALLS),
    maxFramesPerSecond: ceiling(config.MAX_FRAMES_PER_SECOND),
    maxBytesPerCall: ceiling(config.MAX_BYTES_PER_CALL),
    maxTurnsPerCall: ceiling(config.MAX_TURNS_PER_CALL),
    maxCallDurationMs: ceiling(config.MAX_CALL_DURATION_MS),
    maxTokensPerCall: ceiling(config.MAX_TOKENS_PER_CALL)
  }
}

/** Is what people say to stand in spans? OpenTelemetry's instrumentations share the variable, and not all know the same words. */
export function capturesContent (config: Env): boolean {
  return /^(true|span_only|span_and_event)$/i.test(config.OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT)
}

/** Turns what @fastify/env found wrong into one message that names variable, option and what is accepted. */
export function toConfigError (error: Error & { errors?: ReadonlyArray<{ instancePath: string }> }): Error {
  if (error.errors === undefined) return error
  const names = new Set(error.errors.map(({ instancePath }) => instancePath.slice(1) as Variable))
  return new ConfigError(Array.from(names, accepted).join('; '))
}

// Ajv takes `Infinity` for a whole number within any bounds. A timer of that many milliseconds fires at once.
function refuseInfinity (config: Env): void {
  const infinite = VARIABLES.filter(name => typeof config[name] === 'number' && !Number.isFinite(config[name]))
  if (infinite.length > 0) throw new ConfigError(infinite.map(accepted).join('; '))
}
