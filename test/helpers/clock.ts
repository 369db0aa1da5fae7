import FakeTimers from '@sinonjs/fake-timers'
import type { Test } from 'tap'
import type { Clock } from '../../lib/testing/index.js'
import { tick } from './call.js'

const ALL = ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] as const

/** Timers that go off when the test says so, from now until it ends. */
export function installClock (t: Test, toFake: ReadonlyArray<typeof ALL[number]> = ALL): FakeTimers.Clock {
  const clock = FakeTimers.install({ toFake: [...toFake] })
  t.teardown(() => clock.uninstall())
  return clock
}

/** The same, for a test that waits for what the timers wake. */
export function useClock (t: Test) {
  const clock = installClock(t)
  return {
    /** Lets time pass, in ms, and whatever it wakes. */
    async pass (ms: number): Promise<void> {
      clock.tick(ms)
      await tick()
      // Words that it woke leave at the end of a turn of the event loop.
      await tick()
    },
    /** How many timers are left. */
    left: () => clock.countTimers()
  }
}

/** The time of one caller, which passes when the test says so. */
export function clockOf (clock: FakeTimers.Clock): Clock {
  return { now: () => clock.now, setTimeout: (act, ms) => clock.setTimeout(act, ms), clearTimeout: timer => { clock.clearTimeout(timer) } }
}
