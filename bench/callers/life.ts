/**
 * What becomes of one call, from its first dial to its end; drawn by lot. Lots have a member more than once where it is
 * to be met more often.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { FAULTS, type Fault } from '../model-reply.js'
import { pause } from '../population.js'
import type { Caller, CallerOptions } from './caller.js'
import { MillisCaller } from './millis.js'
import { RetellCaller } from './retell.js'
import { keepSilent } from './stranger.js'

/** One thing that happens in a call. Returns when the call may go on, or is over. */
type Step = (caller: Caller) => Promise<void>

/** Callers wait for so long before they speak, in ms. */
const PAUSE_MS = [1_000, 5_000] as const
const MOST_TURNS = 6
/** A provider dials again within so long, in ms; shorter than a server under test waits for it. */
const REDIAL_MS = 1_500
/** What is heard of an answer before something happens to it: nothing, something, nearly all. */
const HEARD = [0, 0, 1, 5, 10] as const

/** Neither provider would send these. */
const NONSENSE: readonly (string | Buffer)[] = [
  '', '{', 'null', '[]', '{}', '{"interaction_type":7,"type":7}', '{"interaction_type":"nonsense","type":"nonsense"}',
  '{"interaction_type":"response_required","transcript":[],"type":"stream_request","data":{"transcript":[]}}',
  '{"interaction_type":"call_details","call":null,"type":"interrupt","stream_id":{}}',
  Buffer.from([0, 1, 2])
]

const TURNS: readonly Step[] = [
  answered, answered, answered, answered, answered, answered, bargesIn, bargesIn, modelFails, modelFails, babbles, breaksInAnswer, breaksInPause, dialsTwice
]
const ENDS: readonly Step[] = [hangsUp, hangsUp, hangsUp, hangsUpInAnswer, isLost, isLostInAnswer]

/**
 * Lives one call.
 * @param stopping ends it soon, if in the way that it was to end in
 * @throws on the first wrong, missing or stale word, and when the caller is left mute
 */
export async function live (options: CallerOptions, stopping: AbortSignal): Promise<void> {
  const isRetell = options.call % 2 === 0
  const fate = Math.random()
  if (fate < 0.02) {
    const url = `${options.url}/${isRetell ? `llm-websocket/silent_${options.call}` : 'millis'}`
    return await keepSilent(url, oneOf([60_000, Math.random() * 20_000]), stopping)
  }
  const caller = isRetell ? new RetellCaller(options) : new MillisCaller(options)
  // Whatever is wrong with the call ends it, also while it waits.
  await Promise.race([converse(caller, fate < 0.07, stopping), caller.broken])
}

async function converse (caller: Caller, breaksEarly: boolean, stopping: AbortSignal): Promise<void> {
  if (breaksEarly) {
    await delay(Math.random() * 200)
    caller.drop()
    if (Math.random() < 0.5) return
    await redialSoon(caller)
  } else {
    await caller.begin()
  }
  for (let turns = Math.ceil(Math.random() * MOST_TURNS); turns > 0 && !stopping.aborted; turns--) {
    await pause(between(...PAUSE_MS), stopping)
    await oneOf(TURNS)(caller)
  }
  await oneOf(ENDS)(caller)
}

async function answered (caller: Caller): Promise<void> {
  await caller.hear(caller.ask())
}

async function modelFails (caller: Caller): Promise<void> {
  await caller.hear(caller.ask(oneOf(FAULTS)))
}

async function bargesIn (caller: Caller): Promise<void> {
  await askAndHearSome(caller)
  const reply = caller.ask()
  caller.fence()
  await caller.hear(reply)
}

async function babbles (caller: Caller): Promise<void> {
  const reply = caller.ask()
  for (const frame of NONSENSE) caller.babble(frame)
  await caller.hear(reply)
}

async function breaksInAnswer (caller: Caller): Promise<void> {
  await askAndHearSome(caller)
  await breaksInPause(caller)
}

async function breaksInPause (caller: Caller): Promise<void> {
  caller.drop()
  await redialSoon(caller)
  await answered(caller)
}

/** The provider takes the older connection for broken, and the server does not. */
async function dialsTwice (caller: Caller): Promise<void> {
  await askAndHearSome(caller)
  await caller.redial()
  await answered(caller)
}

async function hangsUp (caller: Caller): Promise<void> {
  caller.hangUp()
}

async function hangsUpInAnswer (caller: Caller): Promise<void> {
  await askAndHearSome(caller)
  caller.hangUp()
}

async function isLost (caller: Caller): Promise<void> {
  caller.drop()
}

async function isLostInAnswer (caller: Caller): Promise<void> {
  await askAndHearSome(caller)
  caller.drop()
}

/** The model may be about to fail, or have failed. */
async function askAndHearSome (caller: Caller): Promise<void> {
  const fault = oneOf<Fault | undefined>([undefined, undefined, undefined, ...FAULTS])
  const reply = caller.ask(fault)
  await reply.heard(oneOf(HEARD))
}

async function redialSoon (caller: Caller): Promise<void> {
  await delay(oneOf([0, Math.random() * REDIAL_MS]))
  await caller.redial()
}

function oneOf<T> (lot: readonly T[]): T {
  return lot[Math.floor(Math.random() * lot.length)] as T
}

function between (min: number, max: number): number {
  return min + Math.random() * (max - min)
}
