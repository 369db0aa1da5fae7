/**
 * The embedded default: an agent that needs no model, so that a fresh checkout talks at once.
 */
import type { Agent } from '../contract/agent.js'

/** The first words of both built-in agents. */
export const GREETING = 'How may I help you?'

/** All that the scripted agent has to say once a call is under way. */
export const APOLOGY = 'I am sorry, can you say that again?'

/** Greets, and answers everything else, reminders included, by asking again. */
export const scriptedAgent: Agent = turn => turn.reason === 'greeting' ? GREETING : APOLOGY
