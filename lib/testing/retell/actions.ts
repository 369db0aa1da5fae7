import type { JsonObject } from '../../contract/json.js'
import type { ReplyAction } from '../reply.js'

// The first one wins over the others.
const ORDER: ReadonlyArray<ReplyAction['type']> = ['end-call', 'transfer-call', 'press-digits']

/** The actions of a frame, in the order in which Retell prefers them. */
export function actionsOf ({ end_call: end, transfer_number: destination, digit_to_press: digits }: JsonObject): ReplyAction[] {
  return [
    ...end === true ? [{ type: 'end-call' } as const] : [],
    ...typeof destination === 'string' && destination !== '' ? [{ type: 'transfer-call', destination } as const] : [],
    ...typeof digits === 'string' && digits !== '' ? [{ type: 'press-digits', digits } as const] : []
  ]
}

/** The one action that Retell carries out of several; an earlier one wins over a later one of its type. */
export function preferred (actions: readonly ReplyAction[]): ReplyAction | undefined {
  return actions.toSorted((a, b) => ORDER.indexOf(a.type) - ORDER.indexOf(b.type))[0]
}
