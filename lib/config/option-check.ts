/**
 * The shape of the plugin's options: which there are, and of what kind they are.
 */
import { Type, type TObject, type TSchema } from '@sinclair/typebox'
import { TypeCompiler, ValueErrorType, type ValueError } from '@sinclair/typebox/compiler'
import { ConfigError } from '../contract/errors.js'
import { accepted, envSchema, VARIABLES, type Env, type VoiceAgentOptions } from './options.js'
import { suggestion } from '../contract/suggestion.js'

// `description` is what is accepted: the error says it. Of an option that has a variable, the variable's schema says it.
const StringList = Type.Union([Type.String(), Type.Array(Type.String())])
const Line = Type.Union([Type.String(), Type.Function([], Type.String())], { description: 'a string or a function' })
const Hook = Type.Optional(Type.Function([], Type.Any(), { description: 'a function' }))
const Flag = Type.Boolean({ description: 'true or false' })
const Text = Type.String({ description: 'text' })
const members = <T extends Record<string, TSchema>>(properties: T) =>
  Type.Partial(Type.Object(properties), { additionalProperties: false, description: 'an object' })

const falseOr = <T extends TSchema>(schema: T) => Type.Union([Type.Literal(false), schema], { description: 'false or an object' })

const schema = members({
  retell: falseOr(members({
    path: Type.String(), allowlist: StringList, callDetailsTimeoutMs: Type.Number(), apiKey: StringList, webhookPath: Type.String()
  })),
  millis: falseOr(members({
    path: Type.String(),
    allowlist: StringList,
    controlFrames: members({ endCall: Hook, transferCall: Hook }),
    webhookSecret: StringList,
    webhookPath: Type.String()
  })),
  secret: StringList,
  admittedCallsOnly: Type.Boolean(),
  limits: members({
    maxCalls: Type.Number(),
    maxCallsPerAddress: Type.Number(),
    maxUnstartedCalls: Type.Number(),
    maxUpgradesPerSecond: Type.Number(),
    maxClusterCalls: Type.Number(),
    maxFramesPerSecond: Type.Number(),
    maxBytesPerCall: Type.Number(),
    maxTurnsPerCall: Type.Number(),
    maxCallDurationMs: Type.Number(),
    maxTokensPerCall: Type.Number(),
    goodbye: Line
  }),
  cluster: members({ redis: Type.Union([Type.String(), Type.Object({})]), prefix: Type.String(), node: Type.String() }),
  trustedProxies: StringList,
  allowedOrigins: StringList,
  openai: members({
    apiKey: Type.String(),
    baseURL: Type.String(),
    model: Type.String(),
    instructions: Type.String(),
    greeting: Type.String(),
    temperature: Type.Number({ minimum: 0, maximum: 2, description: 'a number, 0 to 2' }),
    maxTokens: Type.Integer({ minimum: 1, description: 'a whole number, at least 1' }),
    tools: Type.Array(Type.Any(), { description: 'a list of tools' }),
    toolChoice: Type.Any(),
    maxSteps: Type.Integer({ minimum: 2, description: 'a whole number, at least 2' }),
    parallelToolCalls: Flag,
    speakable: Flag,
    usage: Flag,
    azure: members({ endpoint: Type.String(), apiKey: Type.String(), apiVersion: Type.String() })
  }),
  fallback: Line,
  filler: Line,
  deadlines: members({ firstTokenMs: Type.Number(), tokenGapMs: Type.Number(), turnMs: Type.Number(), fillerMs: Type.Number() }),
  messages: members({ leadingAssistant: Flag, afterTool: Text }),
  telemetry: members({ content: Type.Boolean() }),
  redact: Hook,
  onCallStart: Hook,
  onCallResume: Hook,
  onTranscript: Hook,
  onTurnEnd: Hook,
  onCallEnd: Hook,
  onWebhook: Hook,
  onInboundCall: Hook,
  onPrefetch: Hook,
  reconnectGraceMs: Type.Number(),
  drainTimeoutMs: Type.Number(),
  readinessPath: Type.String(),
  livenessPath: Type.String(),
  prefix: Text,
  logLevel: Text,
  logSerializers: Type.Record(Type.String(), Type.Any(), { description: 'an object' })
})

// What an object is wrapped in has it last.
function namesOf ({ properties, anyOf }: TSchema, prefix = ''): string[] {
  if (anyOf !== undefined) return namesOf((anyOf as TSchema[]).at(-1)!, prefix)
  const members = Object.entries((properties ?? {}) as Record<string, TSchema>)
  return members.flatMap(([name, member]) => [prefix + name, ...namesOf(member, `${prefix}${name}.`)])
}

/** All options, such as `retell` and `retell.path`. */
export const OPTION_NAMES: readonly string[] = namesOf(schema)

const OptionsSchema = TypeCompiler.Compile(schema)

/**
 * Checks the shape of the options; their values are checked with the environment's.
 * @throws VOICE_AGENT_ERR_CONFIG naming the option, never its value
 */
export function checkOptions (options: VoiceAgentOptions): void {
  const error = OptionsSchema.Errors(options).First()
  if (error === undefined) return
  const { type, path, schema } = innermost(error)
  // Entries of a list go by its name.
  const option = path.slice(1).replaceAll('/', '.').replace(/\.\d+$/, '')
  if (type === ValueErrorType.ObjectAdditionalProperties) {
    throw new ConfigError(`option ${option} is unknown${meantBy(option, schema as TObject)}`)
  }
  const variable = VARIABLES.find(name => envSchema.properties[name].title === option)
  throw new ConfigError(variable === undefined ? `option ${option} must be ${schema.description}` : accepted(variable))
}

// A union's error does not say which member is wrong; that of its last variant, the one with members, does.
function innermost (error: ValueError): ValueError {
  const inner = error.errors.at(-1)?.First()
  return inner === undefined || inner.path === error.path ? error : innermost(inner)
}

// One that is spelt wrong, one that belongs to another object, the variable of one, or one of those there are.
function meantBy (option: string, { properties }: TObject): string {
  const name = option.slice(option.lastIndexOf('.') + 1)
  if (option === 'agent') return ': app.decorate(\'agent\', agent) sets the agent'
  const known = Object.keys(properties)
  const places = Object.hasOwn(envSchema.properties, name)
    ? [envSchema.properties[name as keyof Env].title!]
    : OPTION_NAMES.filter(path => `.${path}`.endsWith(`.${name}`))
  if (places.length > 0) return ` (did you mean ${places.map(path => `"${path}"`).join(' or ')}?)`
  return suggestion(name, known) || `; the options are ${known.join(', ')}`
}
