/**
 * Tasks that run before an app closes.
 */
import type { Server } from 'node:http'
import type { FastifyInstance } from 'fastify'

/** Shared by all registrations on one HTTP server: they close as one. */
class Closing {
  readonly #tasks: Array<() => Promise<void>> = []
  #isClosing = false

  get isClosing (): boolean {
    return this.#isClosing
  }

  /** Makes the app wait for a task before it closes. All tasks run concurrently. */
  add (task: () => Promise<void>): void {
    this.#tasks.push(task)
  }

  async run (): Promise<void> {
    this.#isClosing = true
    await Promise.all(this.#tasks.map(task => task()))
  }
}

const closings = new WeakMap<Server, Closing>()

/** The tasks of an app, shared by the root and its scopes. */
export function closingOf (app: FastifyInstance): Closing {
  const known = closings.get(app.server)
  if (known !== undefined) return known
  const closing = new Closing()
  closings.set(app.server, closing)
  // Of onClose hooks the last one runs first. Added when everything is loaded, it comes before Fastify's own, which
  // stops serving and gives preClose hooks no more than `pluginTimeout`.
  app.addHook('onReady', async () => { app.addHook('onClose', async () => closing.run()) })
  return closing
}
