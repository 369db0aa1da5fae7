/**
 * A module of a library with `declaration`: the compiler writes down the types of what it exports, and its author has not installed the
 * packages that ours come from.
 */
import { CallEndedError, ConfigError, failover, openAIAgent, tool, Type, type Static } from 'fastify-voice-agent'
import { securitySchemes } from 'fastify-voice-agent/control'
import { MillisCaller, readScenario, RetellCaller, startScriptedModel } from 'fastify-voice-agent/testing'

export const order = Type.Object({
  cake: Type.Union([Type.Literal('apple'), Type.Literal('plum')]),
  candles: Type.Array(Type.Integer()),
  prices: Type.Record(Type.String(), Type.Number()),
  size: Type.Enum({ small: 's', large: 'l' } as const),
  pair: Type.Readonly(Type.Tuple([Type.String(), Type.Null()])),
  gift: Type.Optional(Type.Boolean()),
  note: Type.ReadonlyOptional(Type.Any()),
  fixed: Type.Const({ a: 1 } as const),
  shape: Type.Intersect([Type.Object({ round: Type.Unknown() }), Type.Object({ square: Type.Not(Type.Never()) })]),
  box: Type.Recursive(This => Type.Object({ boxes: Type.Array(This) })),
  text: Type.TemplateLiteral('on ${string}'), // eslint-disable-line no-template-curly-in-string
  pattern: Type.RegExp(/^a/),
  other: Type.Ref('other'),
  own: Type.Unsafe<'a' | 'b'>({ type: 'string', enum: ['a', 'b'] })
})
export const some = Type.Partial(Type.Pick(order, ['cake', 'own']))
export const rest = Type.Composite([
  Type.Omit(order, ['cake']),
  Type.Object({ key: Type.KeyOf(order), cakes: Type.Index(order, ['cake']) })
])
export const bake = tool({
  name: 'bake',
  description: 'Bakes a cake.',
  parameters: order,
  execute: ({ cake, candles, gift }) => `${cake.trim()} ${candles.length.toFixed()} ${gift?.valueOf()}`
})
export const again = (args: Static<typeof order>) => args
export const both = failover([openAIAgent({ tools: [bake] }), openAIAgent({ model: 'other' })])

export const failed = new ConfigError('option x must be y')
export const code: string = failed.code
export const isOver = (error: unknown) => error instanceof CallEndedError && error.statusCode === 410
export { ActionError as WrongAction } from 'fastify-voice-agent'
export const Errors = { CallEndedError, ConfigError }
// @ts-expect-error a message is a text
export const wrong = new ConfigError(7)
// @ts-expect-error an error is no number
export const number: number = new CallEndedError()

export const callers = [RetellCaller, MillisCaller] as const
export const dial = RetellCaller.dial
export const model = startScriptedModel()
export const scenario = readScenario('', 'x.yaml')
export const { controlToken } = securitySchemes
