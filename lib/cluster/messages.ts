/**
 * What nodes tell each other, as text.
 */
import { Type, type Static, type TObject } from '@sinclair/typebox'
import type { TypeCheck } from '@sinclair/typebox/compiler'
import type { Provider } from '../contract/agent.js'
import { compile } from '../contract/compile.js'
import { IdSchema } from '../contract/id.js'
import type { FrameOf } from '../contract/compile.js'
import { isObject } from '../contract/json.js'
import type { Command } from './cluster.js'

const callMembers = {
  // A node may have providers that this one does not know.
  provider: Type.Unsafe<Provider>(Type.String({ pattern: '^[a-z][a-z0-9-]{0,63}$' })),
  id: IdSchema
}

// Scripts write the first two. An epoch has more digits than they may give a number.
const messages = {
  fenced: Type.Object({ type: Type.Literal('fenced'), ...callMembers, epoch: Type.String({ pattern: '^\\d+$' }) }),
  report: Type.Object({
    type: Type.Literal('report'),
    ...callMembers,
    epoch: Type.String({ pattern: '^\\d+$' }),
    number: Type.Integer({ minimum: 1 }),
    fields: Type.Record(Type.String(), Type.String())
  }),
  request: Type.Object({
    type: Type.Literal('request'),
    ...callMembers,
    nonce: IdSchema,
    from: IdSchema,
    /** When nobody waits for it any more, by Redis' clock, in ms since 1970. */
    until: Type.Number(),
    command: Type.Unknown()
  }),
  reply: Type.Object({
    type: Type.Literal('reply'),
    nonce: IdSchema,
    error: Type.Optional(Type.Object({ code: Type.String({ pattern: '^\\w{1,64}$' }), message: Type.String() }))
  })
} satisfies Record<string, TObject>

const schemas: Readonly<Record<string, TypeCheck<TObject>>> = compile(messages)

/** One message of one node to another. */
export type Message = FrameOf<typeof messages>

/** A node asks another for something. */
export type Request = Static<typeof messages.request>

/** What came of a request: nothing to say where it was done. */
export type Reply = Static<typeof messages.reply>

/** Reads a message. Undefined where it is none. Never throws. */
export function parseMessage (text: string): Message | undefined {
  try {
    const message: unknown = JSON.parse(text)
    if (!isObject(message) || typeof message['type'] !== 'string' || !Object.hasOwn(schemas, message['type'])) return undefined
    return schemas[message['type']]!.Check(message) ? message as Message : undefined
  } catch {
    return undefined
  }
}

// What the options hold is for the call to judge.
const Options = Type.Object({})
const commands: Readonly<Record<string, TypeCheck<TObject>>> = compile({
  interject: command(Type.Union([Type.Tuple([Type.String()]), Type.Tuple([Type.String(), Options])])),
  end: command(Type.Union([Type.Tuple([]), Type.Tuple([Options])])),
  transfer: command(Type.Union([Type.Tuple([Type.String()]), Type.Tuple([Type.String(), Options])])),
  sendMetadata: command(Type.Tuple([Options])),
  updateAgent: command(Type.Tuple([Options]))
} satisfies Record<Command['method'], TObject>)

/** Is it something that another node may ask of a call? */
export function isCommand (value: unknown): value is Command {
  if (!isObject(value) || typeof value['method'] !== 'string' || !Object.hasOwn(commands, value['method'])) return false
  return commands[value['method']]!.Check(value)
}

function command (args: Parameters<typeof Type.Tuple>[0][number]): TObject {
  return Type.Object({ method: Type.String(), args })
}
