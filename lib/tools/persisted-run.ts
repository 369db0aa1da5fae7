/**
 * A run of a tool as it is kept for another node.
 */
import { createHash } from 'node:crypto'
import { Type, type Static } from '@sinclair/typebox'
import { compile } from '../contract/compile.js'

const PersistedRunSchema = Type.Object({
  /** Tool and arguments; the tool alone where it is doubted. */
  key: Type.String(),
  /** How often it has come to an end that is known. */
  ends: Type.Number({ minimum: 0 }),
  /** How many turns of the call had been completed by then. */
  turns: Type.Number({ minimum: 0 }),
  /** It is under way, be it that its node is gone; it failed, and may run again; it succeeded; or the model was told that nobody knows of it. */
  state: Type.Union([Type.Literal('running'), Type.Literal('failed'), Type.Literal('done'), Type.Literal('doubted')]),
  /** What the model was told, where it succeeded. */
  content: Type.Optional(Type.String()),
  /** The action that it returned. */
  action: Type.Optional(Type.Unknown())
})

/** How a run stands, or stood when its node was lost. */
export type PersistedRun = Static<typeof PersistedRunSchema>

const schemas = compile({ run: PersistedRunSchema })

const RUN = 'run:'

/** The field of a run. Its name is of one length, whatever the arguments. */
export function runField (run: PersistedRun): Readonly<Record<string, string>> {
  return { [RUN + createHash('sha256').update(run.key).digest('base64url')]: JSON.stringify(run) }
}

/** The runs among fields that can be read. Never throws. */
export function runsOf (fields: Readonly<Record<string, string>>): PersistedRun[] {
  return Object.entries(fields).filter(([name]) => name.startsWith(RUN)).flatMap(([, text]) => read(text) ?? [])
}

function read (text: string): PersistedRun | undefined {
  try {
    const run: unknown = JSON.parse(text)
    return schemas.run.Check(run) ? run : undefined
  } catch {
    return undefined
  }
}
