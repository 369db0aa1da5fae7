/**
 * The default agent, which needs no model, so that a fresh checkout talks at once.
 */
import type { Agent } from '../contract/agent.js'

/** The first words of both built-in agents. */
export const GREETING = 'How may I help you?'

/** The scripted agent's answer to everything after the greeting. */
export const APOLOGY = 'I am sorry, can you say that again?'

/** Greets, and answers everything else, reminders included, with a request to repeat. */
export const scriptedAgent: Agent = turn => turn.reason === 'greeting' ? GREETING : APOLOGY
