import t, { type Test } from 'tap'
import type { Dispatcher } from 'undici'
import { AnswerReader, REST_MS } from '../../../lib/agents/openai/answer-reader.js'
import { Exchange } from '../../../lib/agents/openai/exchange.js'
import { useClock } from '../../helpers/clock.js'

function setup (t: Test) {
  const clock = useClock(t)
  const progress = { isFinished: false, isOver: false }
  const exchange = new Exchange()
  const aborts: unknown[] = []
  const controller = { paused: false, pause () { controller.paused = true }, resume () { controller.paused = false }, abort: (reason: unknown) => { aborts.push(reason) } }
  exchange.onRequestStart(controller as unknown as Dispatcher.DispatchController)
  return {
    clock,
    progress,
    exchange,
    aborts,
    controller,
    reader: new AnswerReader(exchange, progress),
    receive: (text: string) => exchange.onResponseData(controller as unknown as Dispatcher.DispatchController, Buffer.from(text)),
    fail: () => exchange.onResponseError(controller as unknown as Dispatcher.DispatchController, new Error('reset'))
  }
}

const END = { done: true, value: undefined }

t.test('bytes are read until the response ends', async t => {
  const { reader, receive, exchange, clock } = setup(t)
  receive('a')
  t.match(await reader.next(), { done: false, value: Buffer.from('a') })
  const next = reader.next()
  receive('b')
  t.match(await next, { done: false, value: Buffer.from('b') })
  exchange.onResponseEnd()
  t.strictSame(await reader.next(), END)
  t.equal(clock.left(), 0)
})

t.test('a failure within the answer is thrown', async t => {
  const { reader, fail } = setup(t)
  const next = reader.next()
  fail()
  await t.rejects(next, { message: 'reset' })
})

t.test('behind the mark of the end nothing is read, and a response that does not end is cancelled', async t => {
  const { reader, progress, receive, aborts, clock } = setup(t)
  progress.isOver = true
  t.strictSame(await reader.next(), END)
  receive('dropped')
  await clock.pass(499)
  t.strictSame(aborts, [])
  await clock.pass(1)
  t.equal(aborts.length, 1)
  t.equal(clock.left(), 0)
})

t.test('behind the mark of the end a response that ends leaves no timer', async t => {
  const { reader, progress, exchange, aborts, clock } = setup(t)
  progress.isOver = true
  await reader.next()
  t.equal(clock.left(), 1)
  exchange.onResponseEnd()
  t.equal(clock.left(), 0)
  t.strictSame(aborts, [])
})

t.test('behind the mark of the end a response that is over, or was paused, is left alone, or goes on', async t => {
  const { reader, progress, exchange, clock } = setup(t)
  progress.isOver = true
  exchange.onResponseEnd()
  t.strictSame(await reader.next(), END)
  t.equal(clock.left(), 0)

  const other = setup(t)
  other.receive('x'.repeat(300_000))
  t.equal(other.controller.paused, true)
  other.progress.isOver = true
  await other.reader.next()
  t.equal(other.controller.paused, false)
})

t.test(`behind finish_reason the rest has ${REST_MS} ms in all, whatever comes`, async t => {
  const { reader, progress, receive, clock, aborts } = setup(t)
  progress.isFinished = true
  let ended = false
  const first = reader.next()
  await clock.pass(REST_MS - 1)
  receive(': ping')
  t.match(await first, { done: false })
  const second = reader.next().finally(() => { ended = true })
  await clock.pass(0)
  t.equal(ended, false)
  await clock.pass(1)
  t.strictSame(await second, END)
  await clock.pass(500)
  t.equal(aborts.length, 1, 'then the request is cancelled')
  t.equal(clock.left(), 0)
})

t.test('behind finish_reason a failure is the end, and no timer is left', async t => {
  const { reader, progress, fail, clock } = setup(t)
  progress.isFinished = true
  const next = reader.next()
  fail()
  t.strictSame(await next, END)
  t.equal(clock.left(), 0)
})

t.test('behind finish_reason the end of the response is the end', async t => {
  const { reader, progress, exchange, clock } = setup(t)
  progress.isFinished = true
  const next = reader.next()
  exchange.onResponseEnd()
  t.strictSame(await next, END)
  t.equal(clock.left(), 0)
})

t.test('where words follow a finish_reason, the wait is over', async t => {
  const { reader, progress, receive, clock } = setup(t)
  progress.isFinished = true
  const first = reader.next()
  receive('more words')
  await first
  t.equal(clock.left(), 1)
  progress.isFinished = false
  const second = reader.next()
  t.equal(clock.left(), 0)
  receive('and more')
  t.match(await second, { done: false })
})

t.test('leaving cancels the request, with and without a wait', async t => {
  for (const isFinished of [false, true]) {
    const { reader, progress, aborts, receive, clock } = setup(t)
    progress.isFinished = isFinished
    receive('a')
    for await (const bytes of reader) if (bytes.length > 0) break
    t.equal(aborts.length, 1)
    t.equal(clock.left(), 0)
  }
})
