/**
 * Schemas of libraries such as Zod, Valibot and ArkType, by their common interface: https://standardschema.dev
 */
import { misfits, type Check, type Checked } from './argument-check.js'

/** A schema of any library that implements Standard Schema. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>
    readonly types?: { readonly input: Input, readonly output: Output } | undefined
    /** Standard JSON Schema: converts the schema to JSON Schema. */
    readonly jsonSchema?: { readonly input: (options: { readonly target: 'draft-2020-12' }) => Record<string, unknown> }
  }
}

/** The result of a schema's validation. */
export type StandardResult<Output> = { readonly value: Output, readonly issues?: undefined } | { readonly issues: readonly StandardIssue[] }

/** One mismatch. */
export interface StandardIssue {
  readonly message: string
  readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined
}

/** The output type of a schema. */
export type OutputOf<S extends StandardSchema> = NonNullable<S['~standard']['types']>['output']

/** True for a Standard Schema. ArkType's are functions. */
export function isStandardSchema (value: unknown): value is StandardSchema {
  return (typeof value === 'object' || typeof value === 'function') && value !== null && '~standard' in value
}

/** Checks by the schema's own validator, whose output the tool gets. An asynchronous validator delays nothing else. */
export function standardCheck ({ '~standard': standard }: StandardSchema): Check {
  const checked = (result: StandardResult<unknown>): Checked =>
    result.issues === undefined ? { value: result.value } : { error: misfits(result.issues.map(issue => [pathOf(issue), issue.message])) }
  const failed = (cause: unknown): Checked => ({ error: 'the arguments could not be checked', cause })
  return args => {
    try {
      const result = standard.validate(args)
      return 'then' in result ? Promise.resolve(result).then(checked).catch(failed) : checked(result)
    } catch (error) {
      return failed(error)
    }
  }
}

function pathOf ({ path = [] }: StandardIssue): string {
  return path.map(segment => `/${String(typeof segment === 'object' ? segment.key : segment)}`).join('')
}
