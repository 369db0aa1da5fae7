/**
 * What the agent is told, and what it can do: find a time, book it, hang up.
 */
import { endCallTool, tool, Type, type Tool } from 'fastify-voice-agent'
import { DAYS, type Diary } from './diary.js'

/** The system prompt. */
export const INSTRUCTIONS = 'You make appointments on the phone. Ask which day suits the caller, look up what is free, offer it, ' +
  'and book the time the caller chooses. Say that a time is free or booked only once a tool has told you so. ' +
  'Every word you write is spoken aloud: one or two short sentences, no markdown, no lists, at most one question at a time. ' +
  'What the caller said comes from speech recognition: where it makes no sense, ask again.'

const Day = Type.Union(DAYS.map(day => Type.Literal(day)))

/** The tools, made once for all calls. */
export function deskTools (diary: Diary): Tool[] {
  return [
    tool({
      name: 'find_slot',
      description: 'Looks up which times of a day are free. Use it before you offer or book a time. Do not use it for a day the caller has not named.',
      parameters: Type.Object({ day: Day }),
      sideEffects: false,
      execute: ({ day }) => diary.free(day)
    }),
    tool({
      name: 'book_slot',
      description: 'Books an appointment. Use it once the caller has agreed to a day and a time that find_slot returned. Do not use it to see whether a time is free.',
      parameters: Type.Object({ day: Day, time: Type.String({ description: 'As find_slot returned it.' }) }),
      // Written by the model, so that it is in the caller's language.
      say: { parameter: 'message' },
      execute: ({ day, time }, { idempotencyKey }) => `Booked: ${diary.book(day, time, idempotencyKey)}.`
    }),
    endCallTool()
  ]
}
