/**
 * Functions that are called with a mistake, and what they answer. The texts are whole, so that a reader can judge their wording.
 */
import t, { type Test } from 'tap'

/** A function that is called with a mistake. */
export interface WrongCall {
  readonly what: string
  readonly make: (t: Test) => unknown
  /** Of the error that it throws, or rejects with. */
  readonly error: string
}

/** Tests each of them. All errors are VOICE_AGENT_ERR_CONFIG, but those of scenarios. */
export function testCalls (calls: readonly WrongCall[]): void {
  for (const { what, make, error } of calls) {
    t.test(what, async t => {
      const thrown = await Promise.resolve().then(() => make(t)).then(() => undefined, (error: Error & { code?: string }) => error)
      t.equal(thrown?.message, error)
      t.equal(thrown?.code, thrown?.name === 'ScenarioError' ? undefined : 'VOICE_AGENT_ERR_CONFIG')
    })
  }
}
