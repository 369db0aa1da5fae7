/**
 * Settings. One row defines the environment variable, the option and the accepted values of a setting. The schema of the environment, the
 * check of the options and the texts of errors are made from the rows.
 */
import { Type, type TObject, type TSchema } from '@sinclair/typebox'

/** One setting that has a variable. */
export interface Setting<S extends TSchema = TSchema> {
  /**
   * The schema of the variable's value. `title` is the path of the option, such as `limits.maxCalls`, `description` names the accepted
   * values. Errors contain both, and never a value.
   */
  readonly schema: S
  /** The schema of the option's value, if it accepts more than the variable's type. */
  readonly shape?: TSchema
}

/** Settings by the names of their variables. */
export type SettingTable = Readonly<Record<string, Setting>>

/** The type of a table's environment schema. */
export type SettingsSchema<T extends SettingTable> = TObject<{ [K in keyof T]: T[K]['schema'] }>

/** @returns the JSON schema of a table's variables */
export function schemaOf<T extends SettingTable> (table: T): SettingsSchema<T> {
  return Type.Object(Object.fromEntries(Object.entries(table).map(([name, { schema }]) => [name, schema]))) as SettingsSchema<T>
}

/** A setting's name for the operator: variable and option. */
export function settingName<T extends SettingTable> (table: T, variable: keyof T & string): string {
  return `${variable} (option ${table[variable]!.schema.title})`
}

/** The entries of a comma-separated list. */
export function entriesOf (list: string): string[] {
  return list.split(',')
}

/** The schema of an option that accepts text or a list of texts. */
export const TextList = Type.Union([Type.String(), Type.Array(Type.String())])

/** The path of a route that always exists. */
export function path (option: string, path: string) {
  return setting(Type.String({ title: option, description: `a path such as ${path}`, default: path, pattern: '^(/[A-Za-z0-9._~-]+)+$' }))
}

/** The path of a route that exists only if the path is given. */
export function optionalPath (option: string, path: string) {
  return setting(Type.String({ title: option, description: `a path such as ${path}`, default: '', pattern: '^(/[A-Za-z0-9._~-]+)*$' }))
}

/** IP addresses and CIDR ranges. */
export function addresses (option: string, list = '') {
  return setting(Type.String({ title: option, description: 'addresses and CIDR ranges, separated by commas', default: list }), TextList)
}

/** Keys, of which each is valid. An empty entry would admit everybody, so only the whole list may be empty. */
export function secrets (option: string) {
  return setting(Type.String({
    title: option,
    description: 'ASCII text other than blanks; several are separated by commas',
    default: '',
    pattern: '^([ ,]*[!-+\\--~][ -~]*)?$'
  }), TextList)
}

/** Milliseconds, from 0 to a maximum. */
export function milliseconds (option: string, ms: number, maximum: number) {
  return setting(Type.Integer({ title: option, description: `milliseconds, 0 to ${maximum}`, default: ms, minimum: 0, maximum }))
}

/** A row. Its option is checked by `shape`, or else by the variable's type. */
export function setting<S extends TSchema> (schema: S, shape?: TSchema): Setting<S> {
  return { schema, ...(shape !== undefined && { shape }) }
}
