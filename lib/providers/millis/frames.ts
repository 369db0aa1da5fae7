/**
 * The frames of Millis' custom-LLM WebSocket, both ways, in Millis' own words
 * (millisai.mintlify.app/integration/custom-llm). Lenient in: everything optional but discriminator, stream id and
 * transcript; `null` is as good as absent. Schemas are of the flattened frame, since Millis envelopes all but one.
 */
import { Type, type TSchema } from '@sinclair/typebox'
import { idOf } from '../../contract/id.js'
import { compile } from '../../contract/compile.js'
import type { FrameOf } from '../../contract/compile.js'

const maybe = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))

// Integers in all code seen, but the docs give no type.
const StreamId = Type.Union([Type.Number(), Type.String()])

/** Millis to us, by `type`. */
const MillisInbound = {
  start_call: Type.Object({
    stream_id: maybe(StreamId),
    session_id: Type.Optional(Type.Unknown()),
    metadata: Type.Optional(Type.Unknown()),
    voip: Type.Optional(Type.Unknown())
  }),
  stream_request: Type.Object({
    stream_id: StreamId,
    transcript: Type.Union([Type.Array(Type.Unknown()), Type.String()])
  }),
  partial_transcript: Type.Object({
    transcript: Type.String(),
    is_final: maybe(Type.Boolean())
  }),
  playback_finished: Type.Object({ stream_id: StreamId }),
  interrupt: Type.Object({ stream_id: StreamId })
}

const strict = { additionalProperties: false }

/** Us to Millis, by `type`. End call and transfer are overridable, see {@link MillisControlFrames}. */
export const MillisOutbound = {
  stream_response: Type.Object({
    type: Type.Literal('stream_response'),
    data: Type.Object({
      stream_id: StreamId,
      content: Type.String(),
      end_of_stream: Type.Boolean(),
      flush: Type.Optional(Type.Literal(true)),
      pause: Type.Optional(Type.Number({ exclusiveMinimum: 0 }))
    }, strict)
  }, strict)
}

/** A frame to Millis whose name is proven. */
export type MillisFrame = FrameOf<typeof MillisOutbound>

/**
 * The two frames whose names no stored document proves: the docs describe them, but every copy has lost its sample.
 * They stand here alone, and `millis.controlFrames` replaces them. Each returns the JSON object to send.
 */
export interface MillisControlFrames {
  /**
   * `(streamId) => frame`: ends the call.
   * @param streamId of the turn in which the agent hangs up; undefined before any turn
   */
  endCall (streamId: string | number | undefined): Record<string, unknown>
  /** `(streamId, destination) => frame`: transfers the call to a phone number. */
  transferCall (streamId: string | number | undefined, destination: string): Record<string, unknown>
}

/** What the frames most probably are. */
export const millisControlFrames: MillisControlFrames = {
  endCall: streamId => ({ type: 'end_call', data: { stream_id: streamId } }),
  transferCall: (streamId, destination) => ({ type: 'transfer_call', data: { stream_id: streamId, destination } })
}

/**
 * The id of a call, where `session_id` is one; what is none stays in the details. A number that JSON.parse may have rounded is none: two
 * calls would share it, and one would be taken for the other dialling again.
 */
export function sessionIdOf (sessionId: unknown): string | undefined {
  return Number.isSafeInteger(sessionId) ? String(sessionId) : idOf(sessionId)
}

/** What Millis may send, compiled. */
export const millisInbound = compile(MillisInbound)

/** {@link MillisOutbound}, compiled. */
export const millisOutbound = compile(MillisOutbound)
