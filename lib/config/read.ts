/**
 * Reads the settings from the environment and the options. Options win.
 */
import env from '@fastify/env'
import type { FastifyInstance } from 'fastify'
import { ConfigError } from '../contract/errors.js'
import { schemaOf } from '../contract/setting.js'
import type { CallCeiling, Ceiling } from '../telemetry/refusals.js'
import type { VoiceAgentOptions } from './options.js'
import { accepted, settings, VARIABLES, type Env, type Variable } from './settings.js'

/** Defaults of the settings. */
const DEFAULTS = Object.fromEntries(
  VARIABLES.map(variable => [variable, settings[variable].schema.default] as const).filter(([, value]) => value !== undefined)
) as Env

/**
 * Reads the settings.
 * @param scope the plugin's own scope, which keeps the values
 * @throws VOICE_AGENT_ERR_CONFIG naming variable, option and accepted values
 */
export async function readSettings (scope: FastifyInstance, options: VoiceAgentOptions): Promise<Env> {
  const data = toEnv(options)
  // Ajv compiles the schema. The whole table would take a tenth of the start, so the schema has only the settings that are given.
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

/** The options as values of environment variables, to override the environment. */
function toEnv (options: VoiceAgentOptions): Partial<Record<Variable, unknown>> {
  const values = VARIABLES.map(variable => [variable, toValue(optionAt(options, settings[variable].schema.title!), variable)] as const)
  return Object.fromEntries(values.filter(([, value]) => value !== undefined))
}

/** Undefined if the option or its parent object is not given, or if its provider is switched off. */
function optionAt (options: object, path: string): unknown {
  type Parent = Record<string, unknown> | false | undefined
  return path.split('.').reduce<unknown>((value, name) => (value as Parent || undefined)?.[name], options)
}

function toValue (value: unknown, variable: Variable): unknown {
  if (Array.isArray(value)) return value.join(',')
  // A Redis client has no value as a variable.
  if (typeof value === 'object') return ''
  return typeof value === 'boolean' && settings[variable].schema.type === 'string' ? String(value) : value
}

/** The limits. A setting of 0 means Infinity. */
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

/** True if spans hold speech. OpenTelemetry's instrumentations share the variable, and use different values. */
export function capturesContent (config: Env): boolean {
  return /^(true|span_only|span_and_event)$/i.test(config.OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT)
}

/** Converts an error of @fastify/env into one that names variables, options and accepted values. */
export function toConfigError (error: Error & { errors?: ReadonlyArray<{ instancePath: string }> }): Error {
  if (error.errors === undefined) return error
  const names = new Set(error.errors.map(({ instancePath }) => instancePath.slice(1) as Variable))
  return new ConfigError(Array.from(names, accepted).join('; '))
}

// Ajv accepts `Infinity` as an integer within any bounds. A timer of `Infinity` fires at once.
function refuseInfinity (config: Env): void {
  const infinite = VARIABLES.filter(name => typeof config[name] === 'number' && !Number.isFinite(config[name]))
  if (infinite.length > 0) throw new ConfigError(infinite.map(accepted).join('; '))
}
