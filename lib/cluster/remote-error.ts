/**
 * Errors of another node.
 */
import createError from '@fastify/error'
import { ActionError, CallEndedError, ClusterError, UnsupportedError } from '../contract/errors.js'

/** An error on its way. */
export interface RemoteError {
  readonly code: string
  readonly message: string
}

/** What another node is told of an error. What others threw may say anything, and stays. */
export function toRemote (error: unknown): RemoteError {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('VOICE_AGENT_ERR_')) {
    return { code: error.code, message: error.message }
  }
  return { code: 'VOICE_AGENT_ERR_CLUSTER', message: 'The node that has the call failed to do it' }
}

/** The error as it was, of the same class where it is one that calls reject with. */
export function fromRemote ({ code, message }: RemoteError): Error {
  return Object.assign(errorOf(code, message), { message })
}

function errorOf (code: string, message: string): Error {
  switch (code) {
    case 'VOICE_AGENT_ERR_UNSUPPORTED': return new UnsupportedError('', '')
    case 'VOICE_AGENT_ERR_ACTION': return new ActionError(message)
    case 'VOICE_AGENT_ERR_CALL_ENDED': return new CallEndedError()
    case 'VOICE_AGENT_ERR_CLUSTER': return new ClusterError(message)
    default: return new (createError<[string]>(code, '%s'))(message)
  }
}
