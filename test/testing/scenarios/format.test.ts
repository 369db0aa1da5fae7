import t from 'tap'
import { readScenario, ScenarioError } from '../../../lib/testing/index.js'

t.test('a scenario is a call', async t => {
  t.strictSame(readScenario(`
name: An appointment
provider: retell
call:
  from: '+14155550123'
  variables: { customer: Ada }
  metadata: { said: /(/ }
words-per-minute: 160
timeout-ms: 5000
greeting:
  said: How may I help you?
steps:
  - say: Tuesday, please
  - interrupt: No, Friday
    after: 3 words
    expect:
      said: [Friday, /9|10 am/i]
      not-said: Tuesday
      first-token-ms: 800
  - silence
  - wait: 20
  - drop
  - hang-up
expect:
  tools: { book_appointment: 1 }
  ended-by: caller
allow: [late-config]
`), {
    name: 'An appointment',
    provider: 'retell',
    call: { from: '+14155550123', variables: { customer: 'Ada' }, metadata: { said: '/(/' } },
    'words-per-minute': 160,
    'timeout-ms': 5000,
    greeting: { said: 'How may I help you?' },
    steps: [
      { say: 'Tuesday, please' },
      { interrupt: 'No, Friday', after: '3 words', expect: { said: ['Friday', '/9|10 am/i'], 'not-said': 'Tuesday', 'first-token-ms': 800 } },
      { silence: true }, { wait: 20 }, { drop: true }, { 'hang-up': true }
    ],
    expect: { tools: { book_appointment: 1 }, 'ended-by': 'caller' },
    allow: ['late-config']
  })
})

const wrongs: Array<[what: string, yaml: string, message: string | RegExp]> = [
  ['no YAML', 'steps: [', /^s\.yaml: .* at line 1/],
  ['an empty file', '', 's.yaml:1: it must be a scenario'],
  ['no steps', 'name: A call', 's.yaml:1: /steps must be a list of steps'],
  ['an empty list of steps', 'name: A call\nsteps: []', 's.yaml:2: /steps must be a list of steps'],
  ['a step of no kind', 'steps:\n  - say: Hi\n  - shout: Hi', 's.yaml:3: /steps/1 must be one of say, interrupt, silence, wait, drop, hang-up'],
  ['a bare word of no kind', 'steps: [shout]', 's.yaml:1: /steps/0 must be one of say, interrupt, silence, wait, drop, hang-up'],
  ['an empty step', 'steps:\n  -', 's.yaml:2: /steps/0 must be one of say, interrupt, silence, wait, drop, hang-up'],
  ['a bare word that needs more', 'steps: [say]', 's.yaml:1: /steps/0/say must be a text'],
  ['a step that says two things', 'steps:\n  - say: Hi\n    silence: true', 's.yaml:3: /steps/0/silence is not known here: Unexpected property'],
  ['a wrong amount', 'steps:\n  - interrupt: No\n    after: a while', 's.yaml:3: /steps/0/after must be a number of words or ms, as "3 words" or "500 ms"'],
  ['an unknown expectation', 'steps:\n  - say: Hi\n    expect:\n      says: Hello', 's.yaml:4: /steps/0/expect/says is not known here: Unexpected property'],
  ['a text that is a number', 'steps:\n  - say: Hi\n    expect:\n      said: 9', 's.yaml:4: /steps/0/expect/said must be a text, a list of texts, or false where nothing is to be said'],
  ['an end by nobody', 'steps: [drop]\nexpect:\n  ended-by: me', 's.yaml:3: /expect/ended-by must be caller, agent or fault'],
  ['another provider', 'provider: vapi\nsteps: [drop]', 's.yaml:1: /provider must be retell or millis'],
  ['an expectation of a greeting that is interrupted', 'greeting: { said: Hi }\nsteps:\n  - interrupt: No', 's.yaml:3: /steps/0 cuts in on a reply of which something is expected'],
  ['an expectation of a reply that is interrupted', 'steps:\n  - say: Hi\n    expect: { said: Hi }\n  - interrupt: No', 's.yaml:4: /steps/1 cuts in on a reply of which something is expected'],
  ['an option of the caller that there is not', 'call: { frm: "+1" }\nsteps: [drop]', 's.yaml:1: /call/frm is not known here: Unexpected property (did you mean "from"?)'],
  ['another kind of call', 'call: { callType: fax }\nsteps: [drop]', 's.yaml:1: /call/callType must be phone_call or web_call'],
  ['a blank text', 'steps:\n  - say: Hi\n    expect: { said: "  " }', 's.yaml:3: /steps/0/expect/said must be a text, a list of texts, or false where nothing is to be said'],
  ['no text at all', 'steps:\n  - say: Hi\n    expect: { said: [] }', 's.yaml:3: /steps/0/expect/said must be a text, a list of texts, or false where nothing is to be said'],
  ['an endless wait', 'steps:\n  - wait: 3000000000', 's.yaml:2: /steps/0/wait must be a number of milliseconds, up to an hour'],
  ['a finding that there is not', 'steps: [drop]\nallow: [stale-respnse]', 's.yaml:2: /allow/0 must be the code of a finding'],
  ['a name that stands for nothing', 'steps: *nothing', /^s\.yaml: .*nothing/],
  ['an expectation of a reply that is dropped', 'steps:\n  - say: Hi\n    expect: { said: Hi }\n  - { drop: true, after: 1 word }', 's.yaml:4: /steps/1 cuts in on a reply of which something is expected'],
  ['a pattern that is none', 'steps:\n  - say: Hi\n    expect: { said: /(/ }', 's.yaml:3: /steps/0/expect/said is no pattern: /(/']
]

for (const [what, yaml, message] of wrongs) {
  t.test(`${what} is refused, with its place`, async t => {
    try {
      readScenario(yaml, 's.yaml')
      t.fail('it was read')
    } catch (error) {
      t.type(error, ScenarioError)
      t.match((error as Error).message, message)
    }
  })
}

t.test('a file has a name for errors only where it has one', async t => {
  t.throws(() => readScenario('steps: 1'), { name: 'ScenarioError', message: 'scenario:1: /steps must be a list of steps' })
})
