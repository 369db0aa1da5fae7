/**
 * A call as another node reads it: what stands in its record, by name. Nodes of different versions read one another's
 * records, so what cannot be read is left out.
 */
import { Type, type Static, type TSchema } from '@sinclair/typebox'
import type { TypeCheck } from '@sinclair/typebox/compiler'
import { rebuiltTerminal } from '../contract/agent.js'
import { compile } from '../contract/compile.js'
import type { Fields } from '../cluster/cluster.js'
import type { CallFacts, LeavingAction } from '../providers/codec.js'
import type { Spoken, ToolRecord } from './spoken.js'

const Count = Type.Number({ minimum: 0 })

const FiguresSchema = Type.Object({
  /** When its first socket opened, in ms since 1970. */
  startedAt: Type.Number(),
  /** Was the caller greeted, or is not to be? */
  isGreeted: Type.Boolean(),
  lastId: Type.Optional(Type.Union([Type.String(), Type.Number()])),
  turns: Count,
  completedTurns: Count,
  controls: Count,
  reconnects: Count,
  malformedFrames: Count,
  bytes: Count,
  tokens: Count,
  /** The action by which the call is being left. */
  leaving: Type.Optional(Type.Unknown())
})

/** What is counted of a call, and where it stands. */
export type CallFigures = Omit<Static<typeof FiguresSchema>, 'leaving'> & { leaving?: LeavingAction | undefined }

const Members = Type.Record(Type.String(), Type.Unknown())

const FactsSchema = Type.Object({
  from: Type.Optional(Type.String()),
  to: Type.Optional(Type.String()),
  direction: Type.Optional(Type.Union([Type.Literal('inbound'), Type.Literal('outbound')])),
  metadata: Type.Optional(Members),
  variables: Type.Optional(Type.Record(Type.String(), Type.String())),
  details: Type.Unknown()
})

const SpokenSchema = Type.Object({
  text: Type.String(),
  inPassing: Type.Array(Type.Tuple([Count, Count])),
  tools: Type.Array(Type.Object({
    id: Type.String(),
    name: Type.String(),
    arguments: Type.String(),
    at: Count,
    runsOnce: Type.Boolean(),
    extra: Type.Optional(Type.Object({})),
    result: Type.Optional(Type.String())
  })),
  place: Type.Optional(Type.Object({ utterances: Count, more: Count }))
})

const schemas = compile({ figures: FiguresSchema, facts: FactsSchema, state: Members, spoken: SpokenSchema })

/** What a call was when another node had it. */
export interface Legacy {
  /** Undefined where nothing is known of the call but its id. */
  readonly figures: CallFigures | undefined
  readonly facts: CallFacts | undefined
  readonly state: Readonly<Record<string, unknown>>
  /** Its turns, in order. Tools that had not returned have no result, and nobody waits for them any more. */
  readonly spoken: readonly Spoken[]
  /** Names of fields that cannot be read. */
  readonly unread: readonly string[]
}

const SAID = 'said:'
const RESULT = 'result:'

/** The field of a turn: those that said or did something are numbered from 0. */
export function saidField (index: number, { text, inPassing, tools, place }: Spoken): Fields {
  return { [SAID + index]: JSON.stringify({ text, inPassing, tools, place }) }
}

/** The field of a tool's result, which may come when its turn is long over. */
export function resultField (id: string, content: string): Fields {
  return { [RESULT + id]: content }
}

/** The results among fields, by the tool call's id. */
export function resultsOf (fields: Fields): Array<[id: string, content: string]> {
  return Object.entries(fields).filter(([name]) => name.startsWith(RESULT)).map(([name, content]) => [name.slice(RESULT.length), content])
}

/** Reads a record. Never throws. */
export function readLegacy (fields: Fields): Legacy {
  const unread: string[] = []
  const read = <T extends TSchema>(name: string, schema: TypeCheck<T>): Static<T> | undefined => {
    const text = fields[name]
    if (text === undefined) return undefined
    try {
      const value: unknown = JSON.parse(text)
      if (schema.Check(value)) return value
    } catch {}
    unread.push(name)
    return undefined
  }

  const figures = read('call', schemas.figures)
  const facts = read('facts', schemas.facts)
  const results = new Map(resultsOf(fields))
  const spoken = Object.keys(fields)
    .filter(name => name.startsWith(SAID))
    .sort((a, b) => Number(a.slice(SAID.length)) - Number(b.slice(SAID.length)))
    .flatMap(name => read(name, schemas.spoken) ?? [])
    .map(({ tools, ...said }): Spoken => ({
      ...said,
      // Of a run that is lost nobody may ask again for its result.
      tools: tools.map((tool): ToolRecord => {
        const result = results.get(tool.id) ?? tool.result
        return { ...tool, result, runsOnce: tool.runsOnce && result !== undefined }
      })
    }))
  return {
    figures: figures && { ...figures, leaving: leavingOf(figures.leaving) },
    facts: facts && { from: facts.from, to: facts.to, direction: facts.direction, metadata: facts.metadata, variables: facts.variables, details: facts.details },
    state: read('state', schemas.state) ?? {},
    spoken,
    unread
  }
}

function leavingOf (value: unknown): LeavingAction | undefined {
  const action = rebuiltTerminal(value)
  return action?.action === 'press-digits' ? undefined : action
}
