import { Type, type TSchema } from '@sinclair/typebox'

/** A member that may be missing or null. */
export const optional = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))
