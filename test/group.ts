/**
 * Runs the test files that are its arguments, one after the other, in this process. A file is loaded once the tests of the
 * file before it have ended, and all of them share the root test of tap.
 */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'

const files = process.argv.slice(2)

// Each file is queued behind the tests of the one before, so that the root test is never idle, which would end it.
function queueNext (): void {
  const file = files.shift()
  if (file === undefined) return
  t.test(`loads ${file}`, async t => {
    try {
      await t.resolves(import(pathToFileURL(resolve(file)).href))
    } finally {
      queueNext()
    }
  })
}

queueNext()
