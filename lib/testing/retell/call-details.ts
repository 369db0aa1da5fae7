import type { RetellCallerOptions } from './options.js'

/** The call of a `call_details` frame. @param ongoingMs since the first connection, if the agent has greeted already */
export function callDetails (callId: string, options: RetellCallerOptions, ongoingMs: number | undefined): object {
  const { callType = 'phone_call', direction = 'inbound', metadata = {}, variables = {} } = options
  const { from = '+14155550101', to = '+14155550199' } = options
  return {
    call_type: callType,
    call_id: callId,
    agent_id: 'agent_test',
    agent_version: 1,
    ...(ongoingMs === undefined
      ? { call_status: 'registered' }
      : { call_status: 'ongoing', start_timestamp: Date.now() - Math.round(ongoingMs) - 60_000 }),
    ...(callType === 'phone_call' && { direction, from_number: from, to_number: to }),
    metadata,
    retell_llm_dynamic_variables: variables
  }
}
