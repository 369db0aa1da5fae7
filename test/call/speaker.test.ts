import assert from 'node:assert/strict'
import t from 'tap'
import fc from 'fast-check'
import { endCall, pressDigits, type TerminalAction } from '../../lib/contract/agent.js'
import { Floor, Speaker } from '../../lib/call/speaker.js'
import type { Codec } from '../../lib/providers/codec.js'
import { newCodec, tick, toMillis, toRetell } from '../helpers/call.js'
import type { Frame } from '../helpers/caller.js'
import { scaledRuns } from '../helpers/runs.js'

const PONG = { response_type: 'ping_pong', timestamp: 1 }

function createSpeaker (codec: Codec = newCodec('retell')) {
  const frames: Frame[] = []
  const socket = { send: (frame: string) => { frames.push(JSON.parse(frame)) }, close: () => {}, terminate: () => {} }
  const speaker = new Speaker(socket, codec)
  const floor = new Floor(1)
  speaker.give(floor)
  return { speaker, floor, frames }
}

t.test('the first word leaves at once', async t => {
  const { speaker, floor, frames } = createSpeaker()
  t.equal(floor.firstSaidAt, undefined)
  speaker.say(floor, 'Hello')
  t.strictSame(frames, [toRetell.speech(1, 'Hello')])
  t.ok(floor.firstSaidAt! <= performance.now())
})

t.test('the words after it leave in one frame when all that the event loop has read is dealt with, such as what gives others their first word', async t => {
  const { speaker, floor, frames } = createSpeaker()
  const other = createSpeaker()
  for (const word of ['Hello', ' to']) speaker.say(floor, word)
  await new Promise<void>(resolve => process.nextTick(resolve))
  speaker.say(floor, ' you')
  other.speaker.say(other.floor, 'Hello')
  t.strictSame(frames, [toRetell.speech(1, 'Hello')])
  t.strictSame(other.frames, [toRetell.speech(1, 'Hello')])
  await tick()
  t.strictSame(frames, [toRetell.speech(1, 'Hello'), toRetell.speech(1, ' to you')])
})

t.test('words of a turn that is superseded before then never leave', async t => {
  const { speaker, floor, frames } = createSpeaker()
  for (const word of ['Hello', ' to']) speaker.say(floor, word)
  await new Promise<void>(resolve => process.nextTick(resolve))
  speaker.give(new Floor(2))
  await tick()
  t.strictSame(frames, [toRetell.speech(1, 'Hello')])
  t.equal(floor.text, 'Hello')
})

t.test('words of one tick leave in one frame', async t => {
  const { speaker, floor, frames } = createSpeaker()
  for (const word of ['Hello', ' to', ' you', ' all']) speaker.say(floor, word)
  t.strictSame(frames, [toRetell.speech(1, 'Hello')])
  await tick()
  t.strictSame(frames, [toRetell.speech(1, 'Hello'), toRetell.speech(1, ' to you all')])
  t.equal(floor.characters, 'Hello to you all'.length)
})

t.test('words of two ticks leave in two frames', async t => {
  const { speaker, floor, frames } = createSpeaker()
  for (const word of ['Hello', ' to', ' you']) {
    speaker.say(floor, word)
    await tick()
  }
  t.strictSame(frames.map(frame => frame['content']), ['Hello', ' to', ' you'])
})

t.test('an empty word is neither a frame nor the first word', async t => {
  const { speaker, floor, frames } = createSpeaker()
  speaker.say(floor, '')
  t.strictSame(frames, [])
  t.equal(floor.firstSaidAt, undefined)
  speaker.say(floor, 'Hello')
  speaker.say(floor, '')
  await tick()
  t.strictSame(frames, [toRetell.speech(1, 'Hello')])
})

t.test('the completion carries the words that are ready', async t => {
  const { speaker, floor, frames } = createSpeaker()
  for (const word of ['Hello', ' to', ' you']) speaker.say(floor, word)
  t.strictSame(speaker.complete(floor, ''), [])
  await tick()
  t.strictSame(frames, [toRetell.speech(1, 'Hello'), toRetell.complete(1, ' to you')])
})

t.test('a turn is completed once, and says nothing after it', async t => {
  const { speaker, floor, frames } = createSpeaker()
  speaker.complete(floor, 'Bye')
  speaker.complete(floor, 'Bye')
  speaker.say(floor, 'And')
  speaker.sayWith(floor, 'And', { flush: true })
  await tick()
  t.strictSame(frames, [toRetell.complete(1, 'Bye')])
  t.equal(floor.characters, 3)
})

t.test('last words do not run into those before them', async t => {
  const cases: Array<[words: string[], last: string, content: string]> = [
    [['Hello'], 'Sorry', ' Sorry'],
    [['Hello '], 'Sorry', 'Sorry'],
    [['Hello\n'], 'Sorry', 'Sorry'],
    [['Hello'], ' Sorry', ' Sorry'],
    [['Hello', ' there'], 'Sorry', ' there Sorry'],
    [['Hello', ' '], 'Sorry', ' Sorry'],
    [['Hello'], '', ''],
    [[], 'Sorry', 'Sorry']
  ]
  for (const [words, last, content] of cases) {
    const { speaker, floor, frames } = createSpeaker()
    for (const word of words) speaker.say(floor, word)
    speaker.complete(floor, last)
    t.strictSame(frames.at(-1), toRetell.complete(1, content), JSON.stringify([words, last]))
    t.equal(floor.characters, words.join('').length + content.length - words.slice(1).join('').length)
  }
})

t.test('a turn that lost the floor writes nothing, also no word that was ready', async t => {
  const { speaker, floor, frames } = createSpeaker()
  speaker.say(floor, 'Hello')
  speaker.say(floor, ' to')
  const newer = new Floor(2)
  speaker.give(newer)
  speaker.say(floor, ' you')
  speaker.sayWith(floor, ' you', { flush: true })
  speaker.complete(floor, '')
  speaker.say(newer, 'Yes')
  await tick()
  t.strictSame(frames, [toRetell.speech(1, 'Hello'), toRetell.speech(2, 'Yes')])
})

t.test('a turn without the floor cannot take it from another', async t => {
  const { speaker, floor, frames } = createSpeaker()
  const newer = new Floor(2)
  speaker.give(newer)
  speaker.take(floor)
  speaker.say(newer, 'Yes')
  speaker.take(newer)
  speaker.say(newer, ' Sir')
  await tick()
  t.strictSame(frames, [toRetell.speech(2, 'Yes')])
})

t.test('two turns with the same id are two turns', async t => {
  const { speaker, floor, frames } = createSpeaker()
  const newer = new Floor(1)
  speaker.give(newer)
  speaker.say(floor, 'Old')
  speaker.say(newer, 'New')
  t.strictSame(frames, [toRetell.speech(1, 'New')])
})

t.test('a frame that is no speech goes out behind the words that are ready', async t => {
  const { speaker, floor, frames } = createSpeaker()
  speaker.say(floor, 'Hello')
  speaker.say(floor, ' to')
  speaker.send(JSON.stringify(PONG))
  speaker.say(floor, ' you')
  await tick()
  t.strictSame(frames, [toRetell.speech(1, 'Hello'), toRetell.speech(1, ' to'), PONG, toRetell.speech(1, ' you')])
})

t.test('a frame that is no speech needs no floor', async t => {
  const { speaker, floor, frames } = createSpeaker()
  speaker.take(floor)
  speaker.send(JSON.stringify(PONG))
  t.strictSame(frames, [PONG])
})

t.test('flush and pause take along the words that are ready', async t => {
  const { speaker, floor, frames } = createSpeaker(newCodec('millis'))
  speaker.say(floor, 'One')
  speaker.say(floor, ' moment')
  speaker.sayWith(floor, '', { flush: true })
  speaker.say(floor, ' and')
  speaker.sayWith(floor, '', { pauseMs: 300 })
  await tick()
  t.strictSame(frames, [
    toMillis.speech(1, 'One'),
    toMillis.speech(1, ' moment', { flush: true }),
    toMillis.speech(1, ' and', { pause: 300 })
  ])
})

t.test('words that cannot be interrupted leave alone', async t => {
  const { speaker, floor, frames } = createSpeaker()
  speaker.say(floor, 'One')
  speaker.say(floor, ' moment.')
  speaker.sayWith(floor, ' This call is recorded.', { uninterruptible: true })
  t.strictSame(frames, [
    toRetell.speech(1, 'One'),
    toRetell.speech(1, ' moment.'),
    toRetell.speech(1, ' This call is recorded.', { no_interruption_allowed: true })
  ])
})

t.test('frames that wait for playback are handed back, not sent', async t => {
  const { speaker, floor, frames } = createSpeaker(newCodec('millis'))
  t.strictSame(speaker.complete(floor, 'Bye', endCall()).map(frame => JSON.parse(frame)), [toMillis.endCall(1)])
  t.strictSame(frames, [toMillis.complete(1, 'Bye')])
})

t.test('words that are ready do not count as spoken before they left', async t => {
  const spoken: boolean[] = []
  const codec = newCodec('retell')
  const completion = codec.completion.bind(codec)
  codec.completion = (id, text, isSpoken, action) => {
    spoken.push(isSpoken)
    return completion(id, text, isSpoken, action)
  }
  const silent = createSpeaker(codec)
  silent.speaker.complete(silent.floor, 'Bye')
  const spoke = createSpeaker(codec)
  spoke.speaker.say(spoke.floor, 'Well')
  spoke.speaker.say(spoke.floor, ' then')
  spoke.speaker.complete(spoke.floor, '')
  t.strictSame(spoken, [false, true])
})

t.test('an action that cannot be written leaves the floor, so that the turn can still be completed', async t => {
  const codec = newCodec('millis')
  const completion = codec.completion.bind(codec)
  codec.completion = (id, text, spoken, action?: TerminalAction) => {
    if (action !== undefined) throw new Error('no such frame')
    return completion(id, text, spoken)
  }
  const { speaker, floor, frames } = createSpeaker(codec)
  speaker.say(floor, 'Well')
  speaker.say(floor, ' then')
  t.throws(() => speaker.complete(floor, 'Bye', pressDigits('1') as TerminalAction), { message: 'no such frame' })
  speaker.complete(floor, 'Sorry')
  t.strictSame(frames, [toMillis.speech(1, 'Well'), toMillis.complete(1, ' then Sorry')])
  t.equal(floor.characters, 'Well then Sorry'.length)
})

t.test('many speakers with words ready in one tick all leave in it', async t => {
  const speakers = Array.from({ length: 5 }, () => createSpeaker())
  for (const { speaker, floor } of speakers) {
    for (const word of ['Hello', ' to', ' you']) speaker.say(floor, word)
  }
  await tick()
  for (const { frames } of speakers) t.strictSame(frames, [toRetell.speech(1, 'Hello'), toRetell.speech(1, ' to you')])
})

t.test('whatever the split, the frames put together are the words put together', async () => {
  // Halves of surrogate pairs as well: a model's tokens may split a character.
  const word = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom('\ud83d', '\ude00', 'a', ' ', '"', '\\', '\u2028', '\0') }))
  const step = fc.oneof(
    { weight: 6, arbitrary: word },
    { weight: 2, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.record({ text: word, options: fc.constantFrom({ flush: true }, { uninterruptible: true }, {}) }) }
  )
  await fc.assert(fc.asyncProperty(fc.constantFrom('retell' as const, 'millis' as const), fc.array(step, { maxLength: 12 }), async (provider, steps) => {
    const { speaker, floor, frames } = createSpeaker(newCodec(provider))
    const words: string[] = []
    for (const step of steps) {
      if (step === null) {
        await tick()
        assert.equal(contentOf(frames), words.join(''), 'a tick leaves nothing behind')
        continue
      }
      const text = typeof step === 'string' ? step : step.text
      words.push(text)
      if (typeof step === 'string') speaker.say(floor, step)
      else speaker.sayWith(floor, step.text, step.options)
    }
    speaker.complete(floor, '')
    await tick()
    assert.equal(contentOf(frames), words.join(''))
    assert.equal(floor.characters, words.join('').length)
    assert.equal(contentOf(frames.filter(frame => speechOf(frame) !== '').slice(0, 1)), words.find(text => text !== '') ?? '', 'the first word is not joined')
    assert.equal(frames.filter(frame => frame['content_complete'] ?? frame['data'].end_of_stream).length, 1)
  }), { numRuns: scaledRuns(500) })
})

t.test('what is said in parts is set apart, and on Millis each part is spoken at once', async t => {
  const { speaker, floor, frames } = createSpeaker(newCodec('millis'))
  speaker.say(floor, 'One')
  speaker.part(floor)
  speaker.part(floor)
  speaker.sayWith(floor, 'Two', { pauseMs: 100 })
  speaker.part(floor)
  speaker.give(new Floor(2))
  speaker.part(floor)
  t.same(frames, [
    toMillis.speech(1, 'One'), toMillis.speech(1, '', { flush: true }), toMillis.speech(1, ' Two', { pause: 100 }), toMillis.speech(1, '', { flush: true })
  ])
})

function speechOf (frame: Frame): string {
  return frame['content'] ?? frame['data'].content
}

function contentOf (frames: Frame[]): string {
  return frames.map(speechOf).join('')
}
