/**
 * What a scenario is: some load on one fresh server, and the figures that come out of it.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Caller } from '../callers/caller.js'
import type { Model, Server, ServerName } from '../processes.js'

/** How much of everything. */
export interface Size {
  /** A smoke run: shows that everything works, not how fast. */
  readonly quick: boolean
  /** How many servers have the calls among them. */
  readonly servers: number
  /** Length of each measured stretch. */
  readonly seconds: number
  /** Calls of the idle scenario, of the soak and of chaos, where it was said. */
  readonly calls: number | undefined
  /** What is drawn by lot is drawn the same with the same seed. */
  readonly seed: number
  /** Folder for the logs of nodes, if any are to be written. */
  readonly logs: string | undefined
}

/** What a scenario is given in any case. */
export interface Stage {
  readonly size: Size
  /** Tells the reader how it goes. */
  progress (text: string): void
}

/** What one on one server is given. */
export interface Bench extends Stage {
  readonly server: Server
  readonly model: Model
}

/** One line of the table. */
export interface Figure {
  readonly label: string
  readonly unit: string
  /** Which way is good; `none` is for the reader's information. */
  readonly better: 'lower' | 'higher' | 'none'
  readonly value: number
}

/** One kind of load on one server. */
export interface Scenario extends ScenarioFacts {
  /** Name of the model, which sets its pace. */
  readonly model: string
  /** How the server is configured, apart from what all scenarios need. */
  readonly env?: Readonly<Record<string, string>>
  run (bench: Bench): Promise<Figure[]>
}

/** One that starts all it needs itself. */
export interface Drill extends ScenarioFacts {
  readonly alone: true
  readonly once: true
  perform (stage: Stage): Promise<Figure[]>
}

interface ScenarioFacts {
  readonly name: string
  /** Names several scenarios at once. */
  readonly group?: string
  /** What is compared, where that is not what the command line says. */
  readonly subject?: ServerName
  /** What the subject is compared with. */
  readonly baselines?: readonly ServerName[]
  /** Left out of the smoke run, as it takes a minute. */
  readonly slow?: boolean
  /** Run once instead of several times, as it counts whole things, or takes long. */
  readonly once?: boolean
  /** Runs only when it is named. */
  readonly named?: boolean
  /** Counts memory, or what happens at the model: its servers run one after the other in any case. */
  readonly apart?: boolean
  /** Compared with nothing: runs on the plugin only, and only when it is named. */
  readonly alone?: boolean
}

/** Before anything is measured, for so long the server may compile, and open what it keeps open. */
export function warmUpMs (size: Size): number {
  return size.quick ? 300 : 2000
}

/**
 * The same where a server is far from busy: what runs seldom is compiled late, and other threads of a server are busy with
 * that, while a day has many more hours.
 */
export function slowWarmUpMs (size: Size): number {
  return warmUpMs(size) * 5
}

/** One server's part of the calls. A tenth of them is enough to show that everything works. */
export function calls ({ quick, servers }: Size, full: number): number {
  return Math.ceil(full / servers / (quick ? 10 : 1))
}

/** One turn, listened to until its end. */
export async function turn (caller: Caller): Promise<void> {
  await caller.hear(caller.ask())
}

/** A turn after a pause around `ms`, spread so that calls do not fall into step. */
export async function turnAfter (caller: Caller, ms: number): Promise<void> {
  await delay(ms * (0.5 + Math.random()))
  await turn(caller)
}

export function lower (label: string, unit: string, value: number): Figure {
  return { label, unit, better: 'lower', value }
}

export function higher (label: string, unit: string, value: number): Figure {
  return { label, unit, better: 'higher', value }
}

export function note (label: string, unit: string, value: number): Figure {
  return { label, unit, better: 'none', value }
}
