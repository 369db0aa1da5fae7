/**
 * A tool's run as it is stored for another node.
 */
import { createHash } from 'node:crypto'
import { Type, type Static } from '@sinclair/typebox'
import { compile } from '../contract/compile.js'

const PersistedRunSchema = Type.Object({
  /** Tool and arguments; the tool alone if it is doubted. */
  key: Type.String(),
  /** The number of its known ends. */
  ends: Type.Number({ minimum: 0 }),
  /** The call's completed turns at that time. */
  turns: Type.Number({ minimum: 0 }),
  /** running: also if its node is lost; failed: it may run again; doubted: the model learned that the outcome is unknown. */
  state: Type.Union([Type.Literal('running'), Type.Literal('failed'), Type.Literal('done'), Type.Literal('doubted')]),
  /** The result for the model, if it succeeded. */
  content: Type.Optional(Type.String()),
  /** The action that it returned. */
  action: Type.Optional(Type.Unknown())
})

/** The state of a run, or its last state before its node was lost. */
export type PersistedRun = Static<typeof PersistedRunSchema>

const schemas = compile({ run: PersistedRunSchema })

const RUN = 'run:'

/** The field of a run. Its name has a fixed length. */
export function runField (run: PersistedRun): Readonly<Record<string, string>> {
  return { [RUN + createHash('sha256').update(run.key).digest('base64url')]: JSON.stringify(run) }
}

/** The valid runs among fields. Never throws. */
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
