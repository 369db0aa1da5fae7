/**
 * The frames that Millis accepts from a server, as far as known: its documentation has no schema.
 */
import { Type, type TSchema } from '@sinclair/typebox'
import { optional } from '../optional.js'

const Id = Type.Union([Type.Integer(), Type.String()])

/** By `type`. */
export const millisAccepts = {
  stream_response: Type.Object({
    data: Type.Object({
      stream_id: Id,
      content: Type.String(),
      end_of_stream: Type.Boolean(),
      flush: optional(Type.Boolean()),
      // Omitted rather than 0 or null.
      pause: Type.Optional(Type.Number({ exclusiveMinimum: 0 }))
    })
  }),
  end_call: Type.Object({ data: Type.Object({ stream_id: optional(Id) }) }),
  transfer_call: Type.Object({ data: Type.Object({ stream_id: Id, destination: Type.String({ minLength: 1 }) }) })
} satisfies Record<string, TSchema>
