/**
 * What is taken out of texts before they are stored.
 */
import type { FastifyBaseLogger } from 'fastify'
import { findLine } from './line.js'

/**
 * Takes out of a text what is not to be stored: names, numbers. Called for each utterance, and in messages for what tools
 * were told and told. Agents still hear all.
 */
export type Redact = (text: string) => string

// Where the app's function fails, nothing is shown rather than all.
const REDACTED = '[redacted]'

/** What a function of the app's makes of texts. Never throws. */
export function cleaner (redact: Redact, log: FastifyBaseLogger): Redact {
  return text => findLine(log, 'redact', () => redact(text)) ?? REDACTED
}
