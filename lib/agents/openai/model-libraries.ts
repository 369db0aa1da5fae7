/**
 * The two packages that only an agent with a model needs. They are most of what an app takes to start, so an app whose agent asks no
 * model does not load them.
 */

/** What both packages export. */
export interface ModelLibraries {
  readonly openai: typeof import('openai')
  /** The types of undici's default export leave one of its members out. */
  readonly undici: (typeof import('undici'))['default'] & Pick<typeof import('undici'), 'EnvHttpProxyAgent'>
}

/** Loads both. Later calls resolve with the same modules. */
export async function loadModelLibraries (): Promise<ModelLibraries> {
  // The first copy of undici that is loaded in a process becomes the dispatcher of `fetch`. Reading one of the globals that Node
  // implements with its own copy loads that copy, so the app's `fetch` works as if this package were not there.
  Reflect.get(globalThis, 'Headers')
  // By its file: Bun has a module of its own for the name alone, whose connections cannot be cut. A bundler that cuts an app in pieces
  // gives a CommonJS module no names but `default`.
  const [openai, { default: undici }] = await Promise.all([import('openai'), import('undici/index.js')])
  return { openai, undici: undici as ModelLibraries['undici'] }
}
