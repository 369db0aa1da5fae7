/**
 * Checks the plugin's options: their names and types.
 */
import { Kind, Type, type TObject, type TSchema } from '@sinclair/typebox'
import { Errors, ValueErrorType, type ValueError } from '@sinclair/typebox/errors'
import { ConfigError } from '../contract/errors.js'
import type { Setting } from '../contract/setting.js'
import { suggestion } from '../contract/suggestion.js'
import { PROVIDER_NAMES, providers } from '../providers/index.js'
import type { VoiceAgentOptions } from './options.js'
import { accepted, settings, VARIABLES, type Variable } from './settings.js'

// `description` names the accepted values, for the error. An option with a variable has the description of the variable's schema.
const Line = Type.Union([Type.String(), Type.Function([], Type.String())], { description: 'a string or a function' })
const Hook = Type.Optional(Type.Function([], Type.Any(), { description: 'a function' }))
const Flag = Type.Boolean({ description: 'true or false' })
const Text = Type.String({ description: 'text' })

/** Shapes of options by their variable's type. */
const SHAPES = { string: Type.String(), integer: Type.Number(), boolean: Type.Boolean() }

/** Options that have no variable, by their paths. */
const withoutVariable: Readonly<Record<string, TSchema>> = {
  'limits.goodbye': Line,
  'openai.temperature': Type.Number({ minimum: 0, maximum: 2, description: 'a number, 0 to 2' }),
  'openai.maxTokens': Type.Integer({ minimum: 1, description: 'a whole number, at least 1' }),
  'openai.tools': Type.Array(Type.Any(), { description: 'a list of tools' }),
  'openai.toolChoice': Type.Any(),
  'openai.maxSteps': Type.Integer({ minimum: 2, description: 'a whole number, at least 2' }),
  'openai.maxTokensAs': Type.Union(
    [Type.Literal('max_tokens'), Type.Literal('max_completion_tokens')],
    { description: 'max_tokens or max_completion_tokens' }
  ),
  'openai.maxResultCharacters': Type.Integer({ minimum: 1, description: 'a whole number, at least 1' }),
  'openai.maxHistoryCharacters': Type.Integer({ minimum: 1, description: 'a whole number, at least 1' }),
  'openai.headers': Type.Union([Type.Function([], Type.Any()), Type.Object({})], { description: 'an object or a function' }),
  'openai.body': Type.Object({}, { description: 'an object' }),
  'openai.parallelToolCalls': Flag,
  'openai.speakable': Flag,
  'openai.startsInReasoning': Flag,
  'openai.runsTextCalls': Flag,
  'openai.usage': Type.Union([Type.Boolean(), Type.Literal('always')], { description: 'true, false or always' }),
  fallback: Line,
  filler: Line,
  'messages.leadingAssistant': Flag,
  'messages.afterTool': Text,
  redact: Hook,
  onCallStart: Hook,
  onCallResume: Hook,
  onTranscript: Hook,
  onTurnEnd: Hook,
  onCallEnd: Hook,
  onWebhook: Hook,
  prefix: Text,
  logLevel: Text,
  logSerializers: Type.Record(Type.String(), Type.Any(), { description: 'an object' })
}

/** A tree of objects, with the options as leaves. */
interface Members { [name: string]: TSchema | Members }

const schema = objectOf(membersOf(), PROVIDER_NAMES)

function membersOf (): Members {
  const members: Members = {}
  const add = (path: string, shape: TSchema): void => {
    const names = path.split('.')
    const last = names.pop()!
    const parent = names.reduce((parent, name) => (parent[name] ??= {}) as Members, members)
    parent[last] = shape
  }
  for (const variable of VARIABLES) {
    const { schema, shape } = settings[variable] as Setting
    add(schema.title!, shape ?? SHAPES[schema['type'] as keyof typeof SHAPES])
  }
  for (const [path, shape] of Object.entries(withoutVariable)) add(path, shape)
  for (const { name, options, webhooks } of providers) {
    for (const [option, shape] of Object.entries(options)) add(`${name}.${option}`, shape)
    for (const hook of webhooks.hooks) add(hook, Hook)
  }
  return members
}

/** @param optional names of members that may also be false */
function objectOf (members: Members, optional: readonly string[] = []): TSchema {
  const shapes = Object.entries(members).map(([name, member]) => {
    const shape = Kind in member ? member as TSchema : objectOf(member as Members)
    return [name, optional.includes(name) ? Type.Union([Type.Literal(false), shape], { description: 'false or an object' }) : shape]
  })
  return Type.Partial(Type.Object(Object.fromEntries(shapes)), { additionalProperties: false, description: 'an object' })
}

// A union that wraps an object has the object last.
function namesOf ({ properties, anyOf }: TSchema, prefix = ''): string[] {
  if (anyOf !== undefined) return namesOf((anyOf as TSchema[]).at(-1)!, prefix)
  const members = Object.entries((properties ?? {}) as Record<string, TSchema>)
  return members.flatMap(([name, member]) => [prefix + name, ...namesOf(member, `${prefix}${name}.`)])
}

/** All options, such as `retell` and `retell.path`. */
export const OPTION_NAMES: readonly string[] = namesOf(schema)

/**
 * Checks the shape of the options. Their values are checked together with the environment.
 * @throws VOICE_AGENT_ERR_CONFIG naming the option, never its value
 */
export function checkOptions (options: VoiceAgentOptions): void {
  const error = Errors(schema, options).First()
  if (error === undefined) return
  const { type, path, schema: broken } = innermost(error)
  // An error of a list's entry names the list.
  const option = path.slice(1).replaceAll('/', '.').replace(/\.\d+$/, '')
  if (type === ValueErrorType.ObjectAdditionalProperties) {
    throw new ConfigError(`option ${option} is unknown${meantBy(option, broken as TObject)}`)
  }
  const variable = VARIABLES.find(name => settings[name].schema.title === option)
  throw new ConfigError(variable === undefined ? `option ${option} must be ${broken.description}` : accepted(variable))
}

// A union's error does not name the wrong member. The error of the last variant, which is an object, does.
function innermost (error: ValueError): ValueError {
  const inner = error.errors.at(-1)?.First()
  return inner === undefined || inner.path === error.path ? error : innermost(inner)
}

// The name may be misspelled, belong to another object, or be a variable's. Otherwise all names are listed.
function meantBy (option: string, { properties }: TObject): string {
  const name = option.slice(option.lastIndexOf('.') + 1)
  if (option === 'agent') return ': app.decorate(\'agent\', agent) sets the agent'
  const known = Object.keys(properties)
  const places = Object.hasOwn(settings, name)
    ? [settings[name as Variable].schema.title!]
    : OPTION_NAMES.filter(path => `.${path}`.endsWith(`.${name}`))
  if (places.length > 0) return ` (did you mean ${places.map(path => `"${path}"`).join(' or ')}?)`
  return suggestion(name, known) || `; the options are ${known.join(', ')}`
}
