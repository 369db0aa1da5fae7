import assert from 'node:assert/strict'
import t from 'tap'
import fc from 'fast-check'
import { Alignment, type Spoken } from '../../lib/call/spoken.js'
import { scaledRuns } from '../helpers/runs.js'

/** What a turn said: strings as they are, what is in a list in passing. */
function turn (...pieces: Array<string | [string]>): Spoken {
  let text = ''
  const inPassing: Array<[number, number]> = []
  for (const piece of pieces) {
    const words = typeof piece === 'string' ? piece : piece[0]
    if (typeof piece !== 'string') inPassing.push([text.length, text.length + words.length])
    text += words
  }
  return { text, inPassing, tools: [] }
}

const cases: Array<[behaviour: string, turns: Spoken[], heard: string[], meant: string[]]> = [
  ['fillers before, between and behind words are left out',
    [turn(['One moment. '], 'It is five', [' Hm... '], 'or six.', [' Sorry?'])], ['One moment. It is five Hm... or six. Sorry?'], ['It is five or six.']],
  ['a turn that said nothing else leaves nothing', [turn(['Sorry?'])], ['Sorry?'], ['']],
  ['providers may write spaces, dashes and punctuation as they like',
    [turn(['One moment, please. '], 'It is - five!')], [' One moment please — It is five'], ['— It is five']],
  ['an utterance that was cut off in the filler leaves nothing', [turn(['One moment, please. '], 'It is five.')], ['One mom'], ['']],
  ['one that was cut off behind it leaves its words', [turn(['One moment, please. '], 'It is five.')], ['One moment, please. It is fi'], ['It is fi']],
  ['the same words are kept where they were meant',
    [turn('Okay.'), turn(['Okay. '], 'It is five.'), turn('Okay.')], ['Okay.', 'Okay. It is five.', 'Okay.'], ['Okay.', 'It is five.', 'Okay.']],
  ['turns of which nothing was heard are passed over', [turn(['Hm. '], 'One.'), turn(['Hm. '], 'Two.')], ['Hm. Two.'], ['Two.']],
  ['one utterance may be several turns', [turn(['Hm. '], 'One.'), turn('Two. '), turn(['Hm. '], 'Three.')], ['Hm. One. Two. Hm. Three.'], ['One. Two. Three.']],
  ['and end in the middle of one', [turn('One. '), turn(['Hm. '], 'Two and three.')], ['One. Hm. Two and'], ['One. Two and']],
  ['but not within a word', [turn(['Hm']), turn('Other.')], ['Hmm, what?'], ['Hmm, what?']],
  ['what nobody said stays, and harms nothing behind it', [turn(['Hm. '], 'Two.')], ['Hm. Guess what!', 'Hm. Two.'], ['Hm. Guess what!', 'Two.']],
  ['an utterance without a letter stays', [turn(['Hm. '], 'Two.')], ['...', ' ', ''], ['...', ' ', '']],
  ['letters of any script count', [turn(['Момент… '], '五時です。')], ['Момент… 五時です。'], ['五時です。']],
  ['a filler without a letter is no reason to cut anything', [turn(['... '], 'Two.')], ['... Two.'], ['... Two.']],
  ['what stands before the first letter behind a filler is part of the answer',
    [turn(['Let me check. '], '-3 degrees.'), turn(['Hm. '], '$5, ¿sí? 👍'), turn('It is 5. ', ['Hm. '], '(maybe 6)')],
    ['Let me check. -3 degrees.', 'Hm. $5, ¿sí? 👍', 'It is 5. Hm. (maybe 6)'], ['-3 degrees.', '$5, ¿sí? 👍', 'It is 5. (maybe 6)']],
  ['words that another server said are not taken for a filler', [turn(['No. '])], ['No, that is not possible.'], ['No, that is not possible.']],
  ['an answer is not taken for an older filler', [turn(['Okay. ']), turn('Okay, booked.')], ['Okay, booked.'], ['Okay, booked.']],
  ['a turn is found also after a beginning was taken for it', [turn(['One moment. '], 'B.')], ['One moment.', 'One moment. B.'], ['', 'B.']],
  ['without anything in passing nothing is looked at', [turn('One.')], ['Hm. One.'], ['Hm. One.']]
]

for (const [behaviour, turns, heard, meant] of cases) {
  t.test(behaviour, async t => {
    const alignment = new Alignment(turns)
    t.strictSame(heard.map(utterance => alignment.read(utterance).join('').trim()), meant.map(text => text.trim()))
  })
}

t.test('behind the words of somebody else a turn that begins then is found before the rest of an older one', async t => {
  const before = { ...turn('Sure. ', ['Hm. ']), place: { utterances: 1, more: 0 } }
  const after = { ...turn(['Hm. '], 'Booked. ', ['One moment. ']), place: { utterances: 2, more: 0 } }
  const read = (turns: Spoken[]) => {
    const alignment = new Alignment(turns)
    return [['Sure.', 1], ['Hm. Booked.', 2], ['One moment.', 2]].map(([words, heard]) => alignment.read(words as string, heard as number).join(''))
  }
  t.strictSame(read([before, after]), ['Sure.', 'Booked.', ''])
  // Where none begins like that it is the rest after all.
  const alone = new Alignment([before])
  t.strictSame([alone.read('Sure.', 1), alone.read('Hm.', 2)], [['Sure.'], ['']])
})

t.test('whatever was said, and wherever it was cut off, what was meant is left, and nothing else', async t => {
  // Words are numbered, so that each can be found again.
  const piece = fc.record({ passing: fc.boolean(), words: fc.integer({ min: 1, max: 4 }) })
  const conversation = fc.array(fc.record({ pieces: fc.array(piece, { minLength: 1, maxLength: 4 }), heard: fc.double({ min: 0, max: 1, noNaN: true }) }), { maxLength: 8 })
  fc.assert(fc.property(conversation, conversation => {
    let n = 0
    const turns = conversation.map(({ pieces }) => turn(...pieces.map(({ passing, words }) => {
      const text = Array.from({ length: words }, () => `${passing ? 'p' : 'm'}${++n}x `).join('')
      return passing ? [text] as [string] : text
    })))
    const alignment = new Alignment(turns)
    conversation.forEach(({ heard }, index) => {
      const words = turns[index]!.text.trim().split(' ')
      const cut = words.slice(0, Math.ceil(words.length * heard))
      if (cut.length === 0) return
      assert.equal(alignment.read(cut.join(' ')).join('').trim().replaceAll(/ +/g, ' '), cut.filter(word => word.startsWith('m')).join(' '))
    })
  }), { numRuns: scaledRuns(2_000) })
  t.pass('it is')
})

t.test('a long call in one utterance takes linear time', async t => {
  const turns = Array.from({ length: 3_000 }, (_, n) => turn(['One moment. '], `Answer ${n} is that. `))
  t.equal(new Alignment(turns).read(turns.map(({ text }) => text).join('')).join(''), turns.map((_, n) => `Answer ${n} is that. `).join(''))
})
