/**
 * The frames of Retell's custom-LLM WebSocket, both ways, in Retell's own words
 * (docs.retellai.com/api-references/llm-websocket). Lenient in: everything optional but discriminator, id and
 * transcript, and `null` is as good as absent. Strict out: Retell drops a wrong frame without a word.
 */
import { Type, type Static } from '@sinclair/typebox'
import { compile } from '../../contract/compile.js'
import type { FrameOf } from '../../contract/compile.js'

// Entries are not looked into: an update repeats the whole call with a timing for every word.
const Entries = Type.Array(Type.Unknown())

const Asked = {
  // Past these, what JSON.parse read is not what was sent, and cannot be echoed.
  response_id: Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER }),
  transcript: Entries,
  transcript_with_tool_calls: Type.Optional(Type.Unknown())
}

/** Retell to us, by `interaction_type`. */
const RetellInbound = {
  call_details: Type.Object({ call: Type.Object({}) }),
  update_only: Type.Object({
    transcript: Entries,
    transcript_with_tool_calls: Type.Optional(Type.Unknown()),
    turntaking: Type.Optional(Type.Unknown())
  }),
  response_required: Type.Object(Asked),
  reminder_required: Type.Object(Asked)
}

const strict = { additionalProperties: false }

// At most one of the actions runs, so at most one may be in a frame.
const Actions = {
  end_call: Type.Optional(Type.Literal(true)),
  transfer_number: Type.Optional(Type.String({ minLength: 1 })),
  digit_to_press: Type.Optional(Type.String({ minLength: 1 }))
}

/** Members of `update_agent.agent_config`. */
export const RetellAgentConfig = Type.Object({
  responsiveness: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  interruption_sensitivity: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  reminder_trigger_ms: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
  reminder_max_count: Type.Optional(Type.Integer({ minimum: 0 }))
}, strict)

/** Us to Retell, by `response_type`. */
export const RetellOutbound = {
  config: Type.Object({
    response_type: Type.Literal('config'),
    config: Type.Object({
      auto_reconnect: Type.Boolean(),
      call_details: Type.Boolean(),
      transcript_with_tool_calls: Type.Boolean()
    }, strict)
  }, strict),
  ping_pong: Type.Object({
    response_type: Type.Literal('ping_pong'),
    timestamp: Type.Number()
  }, strict),
  response: Type.Object({
    response_type: Type.Literal('response'),
    response_id: Type.Integer(),
    content: Type.String(),
    content_complete: Type.Boolean(),
    no_interruption_allowed: Type.Optional(Type.Literal(true)),
    show_transferee_as_caller: Type.Optional(Type.Literal(true)),
    ...Actions
  }, strict),
  agent_interrupt: Type.Object({
    response_type: Type.Literal('agent_interrupt'),
    interrupt_id: Type.Integer(),
    content: Type.String(),
    content_complete: Type.Literal(true),
    no_interruption_allowed: Type.Optional(Type.Literal(true)),
    ...Actions
  }, strict),
  tool_call_invocation: Type.Object({
    response_type: Type.Literal('tool_call_invocation'),
    tool_call_id: Type.String({ minLength: 1 }),
    name: Type.String({ minLength: 1 }),
    arguments: Type.String()
  }, strict),
  tool_call_result: Type.Object({
    response_type: Type.Literal('tool_call_result'),
    tool_call_id: Type.String({ minLength: 1 }),
    content: Type.String(),
    successful: Type.Optional(Type.Boolean())
  }, strict),
  metadata: Type.Object({
    response_type: Type.Literal('metadata'),
    metadata: Type.Object({})
  }, strict),
  update_agent: Type.Object({
    response_type: Type.Literal('update_agent'),
    agent_config: RetellAgentConfig
  }, strict)
}

/** A frame to Retell. */
export type RetellFrame = FrameOf<typeof RetellOutbound>

/** A `response` frame. */
export type RetellResponse = Static<typeof RetellOutbound.response>

/** What Retell may send, compiled. */
export const retellInbound = compile(RetellInbound)

/** {@link RetellOutbound}, compiled. */
export const retellOutbound = compile(RetellOutbound)
