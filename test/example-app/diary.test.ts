import { ToolError } from 'fastify-voice-agent'
import t from 'tap'
import { DAYS, Diary } from '../../example-app/diary.js'

t.test('a time that was booked is free no more', async t => {
  const diary = new Diary()
  t.strictSame(diary.free('Tuesday'), ['9 am', '2 pm'])
  t.equal(diary.book('Tuesday', '2 pm', 'key_1'), 'Tuesday at 2 pm')
  t.strictSame(diary.free('Tuesday'), ['9 am'])
})

t.test('a booking that is made again with its key is the same one', async t => {
  const diary = new Diary()
  diary.book('Tuesday', '2 pm', 'key_1')
  t.equal(diary.book('Tuesday', '2 pm', 'key_1'), 'Tuesday at 2 pm')
  t.strictSame(diary.free('Tuesday'), ['9 am'])
})

t.test('a time that is taken, or none, is refused, and stays free for nobody', async t => {
  const diary = new Diary()
  diary.book('Tuesday', '2 pm', 'key_1')
  t.throws(() => diary.book('Tuesday', '2 pm', 'key_2'), new ToolError('Tuesday at 2 pm is not free'))
  t.throws(() => diary.book('Tuesday', '2 pm', 'key_2'), ToolError)
  t.throws(() => diary.book('Tuesday', '3 am', 'key_3'), new ToolError('Tuesday at 3 am is not free'))
  t.strictSame(diary.free('Tuesday'), ['9 am'])
})

t.test('a key whose booking was refused may book another time', async t => {
  const diary = new Diary()
  t.throws(() => diary.book('Tuesday', '3 am', 'key_1'), ToolError)
  t.equal(diary.book('Tuesday', '9 am', 'key_1'), 'Tuesday at 9 am')
})

t.test('other days are closed', async t => {
  const diary = new Diary()
  for (const day of ['Sunday', 'tuesday', 'toString', '']) t.throws(() => diary.free(day), new ToolError(`we are closed on ${day}`))
  t.throws(() => diary.book('Sunday', '9 am', 'key_1'), new ToolError('we are closed on Sunday'))
})

t.test('each of its days has a free time, and diaries share none', async t => {
  const [one, two] = [new Diary(), new Diary()]
  for (const day of DAYS) {
    for (const time of one.free(day)) one.book(day, time, `${day} ${time}`)
    t.strictSame(one.free(day), [])
    t.ok(two.free(day).length > 0)
  }
})
