/**
 * Our frames as the contract sees them.
 */
import type { Provider } from '../../lib/contract/agent.js'
import { millisOutbound } from '../../lib/providers/millis/frames.js'
import { retellOutbound } from '../../lib/providers/retell/frames.js'
import type { Frame } from '../helpers/caller.js'

/** A frame of speech, whoever it is for. */
export interface Speech { id: string | number, content: string, last: boolean }

export function speechOf (frame: Frame): Speech | undefined {
  if (frame['response_type'] === 'response') return { id: frame['response_id'], content: frame['content'], last: frame['content_complete'] }
  if (frame['type'] === 'stream_response') {
    return {
      id: frame['data'].stream_id, content: frame['data'].content, last: frame['data'].end_of_stream
    }
  }
  return undefined
}

export function contentOf (frames: Frame[]): string {
  return frames.map(frame => speechOf(frame)!.content).join('')
}

/** Digits end a turn, the others the call. */
export function terminalOf (frame: Frame): 'call' | 'turn' | undefined {
  if (frame['digit_to_press'] !== undefined) return 'turn'
  if (frame['end_call'] !== undefined || frame['transfer_number'] !== undefined) return 'call'
  return frame['type'] === 'end_call' || frame['type'] === 'transfer_call' ? 'call' : undefined
}

export function isValid (provider: Provider, frame: Frame): boolean {
  if (provider === 'retell') return retellOutbound[frame['response_type'] as keyof typeof retellOutbound]?.Check(frame) ?? false
  // The two whose names are not proven have no schema.
  if (frame['type'] === 'end_call' || frame['type'] === 'transfer_call') return typeof frame['data'] === 'object'
  return frame['type'] === 'stream_response' && millisOutbound.stream_response.Check(frame)
}
