/**
 * What all ways to place a call share: their settings, their errors, and what is done with a vendor's answer.
 */
import createError from '@fastify/error'
import type { FastifyBaseLogger } from 'fastify'

/** What a way to place calls is given. */
export interface DialContext {
  /** Keys, numbers and ids, named as in docs/placing-calls.md. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** How long a vendor may take to answer, in ms. */
  readonly timeoutMs: number
  readonly log: FastifyBaseLogger
  /** The provider may connect with this id from now on. */
  admit (callId: string): Promise<boolean>
}

/** Variables that a way to place calls needs are not set, or no header can hold their values. The message names them. */
const NotConfiguredError = createError<[string]>('DIAL_ERR_NOT_CONFIGURED', 'Not configured: set %s', 501)

/** A vendor refused. The message has its status, and its error code where it has some. */
const RefusedError = createError<[string, string]>('DIAL_ERR_REFUSED', '%s answered %s', 502)

/** A vendor did not answer in time, or not with a call id. */
const NoAnswerError = createError<[string]>('DIAL_ERR_NO_ANSWER',
  '%s gave no answer that can be used. It may place the call all the same: look there before you try again', 502)

/**
 * The values of these variables.
 * @throws DIAL_ERR_NOT_CONFIGURED naming all that are missing or cannot be sent
 */
export function settings<Name extends string> ({ env }: DialContext, ...names: Name[]): Record<Name, string> {
  // A key that no header can hold would be quoted by the error of each request.
  const wrong = names.filter(name => !/^[ -~]+$/.test(env[name] ?? ''))
  if (wrong.length > 0) throw new NotConfiguredError(wrong.join(', '))
  return env as Record<Name, string>
}

/**
 * A vendor's answer, which holds an id under this name.
 * @throws DIAL_ERR_REFUSED or DIAL_ERR_NO_ANSWER, without the vendor's words: numbers may be in them
 */
export async function answered<Name extends string, Answer extends Record<Name, string>> (
  { log }: DialContext, vendor: string, name: Name, asked: Promise<Answer>
): Promise<Answer> {
  let answer: Answer | undefined
  try {
    answer = await asked
  } catch (error) {
    const { status, code, message } = error as Error & { status?: number, code?: unknown }
    log.debug({ vendor, reason: message }, 'no call was created')
    if (status !== undefined) throw new RefusedError(vendor, typeof code === 'number' ? `${status} (error ${code})` : `${status}`)
  }
  if (typeof answer?.[name] !== 'string' || answer[name] === '') throw new NoAnswerError(vendor)
  return answer
}

/**
 * Admits a call with the id that a vendor gave it.
 * @throws DIAL_ERR_NO_ANSWER when that can be no call's id: the phone may ring, but nobody will answer
 */
export async function admitted ({ admit, log }: DialContext, vendor: string, callId: string): Promise<string> {
  try {
    if (!await admit(callId)) log.warn({ vendor }, 'other nodes do not expect the call')
  } catch {
    throw new NoAnswerError(vendor)
  }
  return callId
}
