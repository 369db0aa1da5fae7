import t from 'tap'
import { millisTranscript } from '../../../lib/providers/millis/transcript.js'

t.test('utterances are kept as they are, with whatever else is in them', async t => {
  t.strictSame(millisTranscript([
    { role: 'assistant', content: 'Front desk, good morning.', at: 3 },
    { role: 'user', content: 'Are you open on Sunday?' }
  ]).utterances(), [
    { role: 'agent', content: 'Front desk, good morning.', at: 3 },
    { role: 'user', content: 'Are you open on Sunday?' }
  ])
})

t.test('entries are utterances and nothing else', async t => {
  t.strictSame(millisTranscript([{ role: 'assistant', content: 'Good morning.', at: 3 }, { role: 'user', content: 'Hi' }]).entries(), [
    { kind: 'speech', role: 'agent', content: 'Good morning.' },
    { kind: 'speech', role: 'user', content: 'Hi' }
  ])
})

for (const [role, ours] of [
  ['assistant', 'agent'], ['agent', 'agent'], ['ai', 'agent'], ['bot', 'agent'], ['model', 'agent'],
  ['user', 'user'], ['human', 'user'], ['caller', 'user'], ['customer', 'user'],
  ['system', 'system'], ['tool', 'tool'], ['function', 'tool']
] as const) {
  t.test(`8: ${role} is ${ours}, in upper and lower case`, async t => {
    const spellings = [role, role.toUpperCase(), role[0]!.toUpperCase() + role.slice(1)]
    t.strictSame(millisTranscript(spellings.map(role => ({ role, content: 'Hi' }))).utterances(), spellings.map(() => ({ role: ours, content: 'Hi' })))
  })
}

t.test('8: a role nobody knows stays its own', async t => {
  const roles = ['supervisor', '', 'constructor', '__proto__', 'tostring']
  t.strictSame(millisTranscript(roles.map(role => ({ role, content: 'Hi' }))).entries(), roles.map(role => ({ kind: 'speech', role, content: 'Hi' })))
})

t.test('7: a transcript that is a string is one turn of the user', async t => {
  const transcript = millisTranscript('are you open')
  t.strictSame(transcript.utterances(), [{ role: 'user', content: 'are you open' }])
  t.strictSame(transcript.entries(), [{ kind: 'speech', role: 'user', content: 'are you open' }])
})

t.test('content in parts is joined', async t => {
  t.strictSame(millisTranscript([
    { role: 'user', content: ['Are ', { type: 'text', text: 'you ' }, { type: 'image' }, null, 7, { text: 8 }, { text: 'open?' }] },
    { role: 'user', content: [] }
  ]).utterances(), [{ role: 'user', content: 'Are you open?' }, { role: 'user', content: '' }])
})

t.test('an entry without a role or without text is left out, and the others are not', async t => {
  const said = { role: 'user', content: 'Sunday?' }
  t.strictSame(millisTranscript([
    null, 7, 'Hi', [], {}, { role: 'user' }, { content: 'Hi' }, { role: 'user', content: null }, { role: 7, content: 'Hi' },
    { role: 'user', content: { text: 'Hi' } }, said
  ]).utterances(), [said])
})

t.test('an empty transcript is an empty conversation', async t => {
  t.strictSame([millisTranscript([]).utterances(), millisTranscript([]).entries()], [[], []])
})
