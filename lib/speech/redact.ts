/**
 * Redacts texts before they are stored.
 */
import type { FastifyBaseLogger } from 'fastify'
import { findLine } from './line.js'

/**
 * Removes text that must not be stored, such as names and numbers. Called for each utterance, and in messages for the arguments and
 * results of tools. Agents still get the whole text.
 */
export type Redact = (text: string) => string

// If the app's function fails, nothing is shown.
const REDACTED = '[redacted]'

/** Applies the app's function to texts. Never throws. */
export function cleaner (redact: Redact, log: FastifyBaseLogger): Redact {
  return text => findLine(log, 'redact', () => redact(text)) ?? REDACTED
}
