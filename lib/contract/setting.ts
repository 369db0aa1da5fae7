/**
 * Settings: what each of them is called as an environment variable and as an option, and what it accepts. One row says it all: the
 * schema of the environment, the check of the options and the texts of errors are made of it.
 */
import { Type, type TObject, type TSchema } from '@sinclair/typebox'

/** One setting that has a variable. */
export interface Setting<S extends TSchema = TSchema> {
  /**
   * Of the variable's value. `title` is the path of the option, such as `limits.maxCalls`, `description` what is accepted: errors name
   * both, and never a value.
   */
  readonly schema: S
  /** Of the option's value, where it is more than the variable's type. */
  readonly shape?: TSchema
}

/** Settings by their variables. */
export type SettingTable = Readonly<Record<string, Setting>>

/** The schema of the environment that a table makes. */
export type SettingsSchema<T extends SettingTable> = TObject<{ [K in keyof T]: T[K]['schema'] }>

/** @returns the JSON schema of the variables of a table */
export function schemaOf<T extends SettingTable> (table: T): SettingsSchema<T> {
  return Type.Object(Object.fromEntries(Object.entries(table).map(([name, { schema }]) => [name, schema]))) as SettingsSchema<T>
}

/** What the operator calls a setting: the variable and the option. */
export function settingName<T extends SettingTable> (table: T, variable: keyof T & string): string {
  return `${variable} (option ${table[variable]!.schema.title})`
}

/** The entries of a comma-separated list. */
export function entriesOf (list: string): string[] {
  return list.split(',')
}

const LIST = Type.Union([Type.String(), Type.Array(Type.String())])

/** A path of a route that is always there. */
export function path (option: string, path: string) {
  return setting(Type.String({ title: option, description: `a path such as ${path}`, default: path, pattern: '^(/[A-Za-z0-9._~-]+)+$' }))
}

/** A path of a route that is there where a path is given. */
export function optionalPath (option: string, path: string) {
  return setting(Type.String({ title: option, description: `a path such as ${path}`, default: '', pattern: '^(/[A-Za-z0-9._~-]+)*$' }))
}

/** IP addresses and CIDR ranges. */
export function addresses (option: string, list = '') {
  return setting(Type.String({ title: option, description: 'addresses and CIDR ranges, separated by commas', default: list }), LIST)
}

/** Keys, any of which is right. An entry that is empty would be known to everybody: to have no key the list is left empty. */
export function secrets (option: string) {
  return setting(Type.String({
    title: option,
    description: 'ASCII text other than blanks; several are separated by commas',
    default: '',
    pattern: '^([ ,]*[!-+\\--~][ -~]*)?$'
  }), LIST)
}

/** Milliseconds, from 0 to a maximum. */
export function milliseconds (option: string, ms: number, maximum: number) {
  return setting(Type.Integer({ title: option, description: `milliseconds, 0 to ${maximum}`, default: ms, minimum: 0, maximum }))
}

/** A row whose option is checked by the variable's type, or by a shape of its own. */
export function setting<S extends TSchema> (schema: S, shape?: TSchema): Setting<S> {
  return { schema, ...(shape !== undefined && { shape }) }
}

/** A list of texts as an option. */
export const TextList = LIST
