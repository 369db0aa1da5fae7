import { clearImmediate, setImmediate } from 'node:timers'
import t from 'tap'
import { atLoopEnd, letOthersFirst } from '../../lib/timing/loop-end.js'

/** What happened in one turn of the event loop and the few that follow. */
async function order (begin: (note: (what: string) => () => void) => void): Promise<string[]> {
  const noted: string[] = []
  const note = (what: string) => () => { noted.push(what) }
  await new Promise<void>(resolve => setImmediate(() => {
    setImmediate(() => setImmediate(() => setImmediate(resolve)))
    begin(note)
    note('now')()
  }))
  return noted
}

t.test('all deferred work runs together at the end of the turn', async t => {
  t.strictSame(await order(note => {
    atLoopEnd({ flush: note('one') })
    setImmediate(note('other'))
    atLoopEnd({ flush: note('two') })
  }), ['now', 'one', 'two', 'other'])
})

t.test('letOthersFirst lets queued immediates run first, and not later ones', async t => {
  t.strictSame(await order(note => {
    atLoopEnd({ flush: note('one') })
    setImmediate(note('other'))
    letOthersFirst()
    atLoopEnd({ flush: note('two') })
    setImmediate(note('later'))
  }), ['now', 'other', 'one', 'two', 'later'])
})

t.test('letOthersFirst does nothing when no work is deferred', async t => {
  t.strictSame(await order(note => {
    letOthersFirst()
    setImmediate(note('other'))
  }), ['now', 'other'])
})

t.test('work that is added during the flush runs in the next turn', async t => {
  t.strictSame(await order(note => {
    atLoopEnd({ flush: () => { atLoopEnd({ flush: note('two') }) } })
    setImmediate(note('other'))
  }), ['now', 'other', 'two'])
})

t.test('letOthersFirst in every turn does not defer work for ever', async t => {
  const since = performance.now()
  await new Promise<void>((resolve, reject) => {
    const ask = (): void => {
      if (performance.now() - since > 5_000) return reject(new Error('never flushed'))
      again = setImmediate(ask)
      letOthersFirst()
    }
    let again = setImmediate(ask)
    atLoopEnd({
      flush () {
        clearImmediate(again)
        resolve()
      }
    })
  })
  t.pass()
})

t.test('when one object throws, the others are flushed in the next turn', async t => {
  const thrown = new Promise(resolve => { process.prependOnceListener('uncaughtException', resolve) })
  // tap would take it for a failure of its own.
  const others = process.listeners('uncaughtException').slice(1)
  for (const listener of others) process.off('uncaughtException', listener)
  t.teardown(() => { for (const listener of others) process.on('uncaughtException', listener) })
  t.strictSame(await order(note => {
    atLoopEnd({ flush: note('one') })
    atLoopEnd({ flush () { throw new Error('no') } })
    atLoopEnd({ flush: note('two') })
  }), ['now', 'one', 'two'])
  t.match(await thrown, { message: 'no' })
})
