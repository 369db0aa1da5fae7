/**
 * The frames that Retell accepts from a server. It checks types strictly and drops bad frames silently; null and unknown members
 * are harmless.
 */
import { Type, type TSchema } from '@sinclair/typebox'
import { optional } from '../optional.js'

const Actions = {
  end_call: optional(Type.Boolean()),
  transfer_number: optional(Type.String()),
  digit_to_press: optional(Type.String())
}

const Speech = {
  content: Type.String(),
  content_complete: Type.Boolean(),
  no_interruption_allowed: optional(Type.Boolean()),
  ...Actions
}

/** By `response_type`. */
export const retellAccepts = {
  config: Type.Object({
    config: Type.Object({
      auto_reconnect: optional(Type.Boolean()),
      call_details: optional(Type.Boolean()),
      transcript_with_tool_calls: optional(Type.Boolean())
    })
  }),
  ping_pong: Type.Object({ timestamp: Type.Integer() }),
  response: Type.Object({ response_id: Type.Integer(), show_transferee_as_caller: optional(Type.Boolean()), ...Speech }),
  agent_interrupt: Type.Object({ interrupt_id: Type.Integer(), ...Speech }),
  tool_call_invocation: Type.Object({ tool_call_id: Type.String({ minLength: 1 }), name: Type.String(), arguments: Type.String() }),
  tool_call_result: Type.Object({
    tool_call_id: Type.String({ minLength: 1 }), content: Type.String(), successful: optional(Type.Boolean())
  }),
  metadata: Type.Object({ metadata: Type.Object({}) }),
  update_agent: Type.Object({
    agent_config: Type.Object({
      responsiveness: optional(Type.Number({ minimum: 0, maximum: 1 })),
      interruption_sensitivity: optional(Type.Number({ minimum: 0, maximum: 1 })),
      reminder_trigger_ms: optional(Type.Number({ exclusiveMinimum: 0 })),
      reminder_max_count: optional(Type.Integer({ minimum: 0 }))
    })
  })
} satisfies Record<string, TSchema>
