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

t.test('what can wait is done at the end, all of it at once', async t => {
  t.strictSame(await order(note => {
    atLoopEnd({ flush: note('one') })
    setImmediate(note('other'))
    atLoopEnd({ flush: note('two') })
  }), ['now', 'one', 'two', 'other'])
})

t.test('others are let first, but not those that come later', async t => {
  t.strictSame(await order(note => {
    atLoopEnd({ flush: note('one') })
    setImmediate(note('other'))
    letOthersFirst()
    atLoopEnd({ flush: note('two') })
    setImmediate(note('later'))
  }), ['now', 'other', 'one', 'two', 'later'])
})

t.test('where nothing waits nobody is let first', async t => {
  t.strictSame(await order(note => {
    letOthersFirst()
    setImmediate(note('other'))
  }), ['now', 'other'])
})

t.test('what comes up meanwhile is done in the next turn', async t => {
  t.strictSame(await order(note => {
    atLoopEnd({ flush: () => { atLoopEnd({ flush: note('two') }) } })
    setImmediate(note('other'))
  }), ['now', 'other', 'two'])
})

t.test('who asks in every turn does not put others off for ever', async t => {
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

t.test('what is left when one throws is done in the next turn', async t => {
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
