import { once } from 'node:events'
import { connect, type AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { endCall, type Agent, type CallSummary, type ChatMessage, type TranscriptUpdate, type VoiceAgentOptions } from '../../lib/index.js'
import { build, deferred, type LogLine } from '../helpers/app.js'
import { dial, dialRetell, dialUrl, millis, retell, type Caller, type Frame } from '../helpers/caller.js'
import { CLOSE, rawFrame, TEXT } from '../helpers/raw-peer.js'

/** Stands in the content of every bad frame, and in no log line that an operator reads. */
const CANARY = 'canary-7f3a'

const MIB = 1024 * 1024
const DEEP = 500_000

/** One broken or odd frame. */
interface Case {
  readonly name: string
  readonly frame: string | Buffer
  /** What the log says of it; undefined where it is tolerated without a word. */
  readonly why?: string
}

/** What both protocols have, so that one test plays either. */
interface Side {
  readonly provider: 'retell' | 'millis'
  dial (t: Test, app: FastifyInstance, callId: string): Promise<Caller>
  /** Introduces the call and reads the greeting. */
  start (caller: Caller, callId: string): Promise<unknown>
  request (id: number, ...words: string[]): Frame
  /** Reads one whole answer and returns its words. */
  answer (caller: Caller, id: number): Promise<string>
  readonly cases: readonly Case[]
  /** Cases that would take a parser a tenth of a second each. */
  readonly deep: readonly Case[]
}

// The agent echoes the last message word by word, having read all there is to read.

const echo: Agent = async function * (turn) {
  if (turn.reason === 'greeting') return yield 'Hello.'
  // Whoever reads these has them converted.
  if (turn.transcript === undefined || turn.call.metadata === undefined) throw new Error('not there')
  const words = String(turn.messages.at(-1)?.content)
  yield 'You said: '
  yield * words.match(/\s*\S+/g) ?? []
}

// Frames, as text: what they hold cannot always be written by JSON.stringify.

const text = (frame: object): string => JSON.stringify(frame)
const arrays = (inner = ''): string => '['.repeat(DEEP) + inner + ']'.repeat(DEEP)
const objects = (): string => '{"a":'.repeat(DEEP) + `"${CANARY}"` + '}'.repeat(DEEP)

const MEMBERS: ReadonlyArray<readonly [kind: string, json: string | undefined]> = [
  ['absent', undefined],
  ['null', 'null'],
  ['boolean', 'true'],
  ['integer', '7'],
  ['negative', '-1'],
  ['fraction', '1.5'],
  ['huge', '1e308'],
  ['infinite', '1e400'],
  ['string', `"${CANARY}"`],
  ['digits', '"1"'],
  ['empty', '""'],
  ['surrogate', `"\\ud800${CANARY}"`],
  ['nul', `"\\u0000${CANARY}"`],
  ['long', `"${CANARY.repeat(10_000)}"`],
  ['array', `["${CANARY}"]`],
  ['object', `{"${CANARY}":"${CANARY}"}`],
  ['prototype', `{"__proto__":{"polluted":"${CANARY}"},"constructor":{"prototype":{"polluted":"${CANARY}"}}}`]
]

const STRINGS = ['string', 'digits', 'empty', 'surrogate', 'nul', 'long']
const NUMBERS = ['integer', 'negative', 'fraction', 'huge']
const ARRAYS = ['array']
const OBJECTS = ['object', 'prototype']
const OPTIONAL = ['absent', 'null']
const ANYTHING = MEMBERS.map(([kind]) => kind)

/** A frame with every kind of value in a member, or in several at once. `$` stands for them in the template. */
function members (template: string, names: string | readonly string[], accepted: readonly string[], why: string): Case[] {
  return MEMBERS.map(([kind, json]) => ({
    name: `${template}: ${String(names)} is ${kind}`,
    frame: template.replace('$', () => json === undefined ? '"x":0' : [names].flat().map(name => `"${name}":${json}`).join()),
    ...(!accepted.includes(kind) && { why })
  }))
}

/** Frames that are bad in any protocol with this discriminator. */
function common (discriminator: string, request: object): Case[] {
  const bad = (why: string, frames: Record<string, string | Buffer>): Case[] =>
    Object.entries(frames).map(([name, frame]) => ({ name, frame, why }))
  const odd = (frames: Record<string, string>): Case[] => Object.entries(frames).map(([name, frame]) => ({ name, frame }))
  const good = text(request)
  return [
    ...bad('not JSON', {
      'an empty frame': '',
      blanks: ' \r\n\t ',
      words: CANARY,
      'a frame cut off': good.slice(0, -1),
      'a frame and a half': `${good}{`,
      'two frames in one': `${good}${good}`,
      'a byte order mark': `\ufeff${good}`,
      'single quotes': `{'${discriminator}':'${CANARY}'}`,
      'a trailing comma': `{"${discriminator}":"${CANARY}",}`,
      'a comment': `{"${discriminator}":"${CANARY}"/* */}`,
      'Python notation': `{"${discriminator}": None, "x": "${CANARY}"}`,
      NaN: `{"${discriminator}":"x","${CANARY}":NaN}`,
      'a bare NUL': `\0${CANARY}`,
      'a NUL in a string': `{"${discriminator}":"${CANARY}\0"}`,
      'a line break in a string': `{"${discriminator}":"${CANARY}\n"}`,
      'a megabyte of nothing': ' '.repeat(MIB)
    }),
    ...bad('not a JSON object', {
      null: 'null',
      true: 'true',
      'a number': '1e308',
      'a string': `"${CANARY}"`,
      'an array': `["${CANARY}"]`,
      'a frame in an array': `[${good}]`,
      'a frame in a string': JSON.stringify(good)
    }),
    ...bad('binary frame', {
      'a good frame as binary': Buffer.from(good),
      'no bytes': Buffer.alloc(0),
      bytes: Buffer.from([0, 255, 254, 128, ...Buffer.from(CANARY)])
    }),
    ...bad('no discriminator', {
      'an empty object': '{}',
      'another protocol': text({ method: 'initiate', data: { [CANARY]: CANARY } }),
      'a discriminator in the prototype': `{"__proto__":${good}}`,
      'a discriminator in the constructor': `{"constructor":{"prototype":${good}}}`,
      ...Object.fromEntries(MEMBERS.filter(([kind]) => !STRINGS.includes(kind)).map(([kind, json]) =>
        [`a discriminator that is ${kind}`, json === undefined ? `{"x":"${CANARY}"}` : `{"${discriminator}":${json}}`]))
    }),
    ...odd(Object.fromEntries(
      [CANARY, '', ' ', '__proto__', 'constructor', 'toString', 'hasOwnProperty', 'then', '\0', '\ud800', 'x'.repeat(MIB), CANARY.repeat(1_000)]
        .map(word => [`an unknown discriminator ${escape(word.slice(0, 20))}`, text({ [discriminator]: word, data: { [CANARY]: CANARY } })])
    ))
  ]
}

const POLLUTED = `"__proto__":{"polluted":"${CANARY}"},"constructor":{"prototype":{"polluted":"${CANARY}"}},"prototype":{"polluted":1}`

const RETELL_ID = 'response_required: /response_id'

const retellCases: Case[] = [
  ...common('interaction_type', retell.request(1, CANARY)),
  ...members('{"interaction_type":"ping_pong",$}', 'timestamp', ANYTHING, ''),
  ...members('{"interaction_type":"call_details",$}', 'call', OBJECTS, 'call_details: /call'),
  ...members('{"interaction_type":"call_details","call":{$}}',
    ['call_id', 'call_type', 'call_status', 'start_timestamp', 'from_number', 'to_number', 'direction', 'metadata', 'retell_llm_dynamic_variables'], ANYTHING, ''),
  ...members('{"interaction_type":"update_only",$}', 'transcript', ARRAYS, 'broken update'),
  ...members('{"transcript":[],$,"interaction_type":"update_only"}', 'transcript_with_tool_calls', ANYTHING, ''),
  ...members('{"transcript":[],"interaction_type":"update_only",$}', 'turntaking', ANYTHING, ''),
  ...members('{"interaction_type":"response_required","transcript":[],$}', 'response_id', ['integer', 'negative'], RETELL_ID),
  ...members('{"interaction_type":"reminder_required","transcript":[],$}', 'response_id', ['integer', 'negative'], 'reminder_required: /response_id'),
  ...members('{"interaction_type":"response_required","response_id":7,$}', 'transcript', ARRAYS, 'response_required: /transcript'),
  ...members('{"interaction_type":"reminder_required","response_id":7,$}', 'transcript', ARRAYS, 'reminder_required: /transcript'),
  ...members('{"interaction_type":"response_required","response_id":7,"transcript":[],$}', 'transcript_with_tool_calls', ANYTHING, ''),
  { name: 'an id past all integers', frame: '{"interaction_type":"response_required","response_id":9007199254740993,"transcript":[]}', why: RETELL_ID },
  { name: 'an update cut off', frame: `{"interaction_type":"update_only","transcript":["${CANARY}"`, why: 'broken update' },
  { name: 'an update that is an array', frame: `["${CANARY}",{"interaction_type":"update_only"}`, why: 'broken update' },
  { name: 'an id twice', frame: `{"interaction_type":"response_required","response_id":7,"response_id":"${CANARY}","transcript":[]}`, why: RETELL_ID },
  { name: 'a discriminator twice', frame: `{"interaction_type":"response_required","response_id":7,"transcript":[],"interaction_type":"${CANARY}"}` },
  { name: 'prototypes in a request', frame: `{${POLLUTED},"interaction_type":"response_required","response_id":7,"transcript":[{${POLLUTED},"role":"user","content":"${CANARY}","metadata":{${POLLUTED}}}],"transcript_with_tool_calls":[{${POLLUTED},"role":"tool_call_invocation","tool_call_id":"__proto__","name":"constructor","arguments":"{}"},{"role":"tool_call_result","tool_call_id":"__proto__","content":"${CANARY}"}]}` },
  { name: 'prototypes in an update', frame: `{"interaction_type":"update_only",${POLLUTED},"transcript":[{${POLLUTED},"role":"__proto__","content":"${CANARY}"}]}` },
  { name: 'prototypes in the details', frame: `{"interaction_type":"call_details",${POLLUTED},"call":{${POLLUTED},"metadata":{${POLLUTED}},"retell_llm_dynamic_variables":{"__proto__":"${CANARY}","constructor":"${CANARY}"}}}` }
]

const millisCases: Case[] = [
  ...common('type', millis.request(1, CANARY)),
  ...['start_call', 'stream_request', 'partial_transcript', 'playback_finished', 'interrupt'].flatMap(type => {
    const why = { start_call: undefined, stream_request: 'stream_request: /stream_id', partial_transcript: 'partial_transcript: /transcript', playback_finished: 'played: /stream_id', interrupt: 'interrupted: /stream_id' }[type]
    return members(`{"type":"${type}",$}`, 'data', why === undefined ? ANYTHING : [], why ?? '')
  }),
  ...members('{"type":"start_call","data":{"session_id":"ses_bad",$}}', 'stream_id', [...OPTIONAL, ...NUMBERS, ...STRINGS], 'start_call: /stream_id'),
  ...members('{"type":"start_call","data":{"stream_id":0,$}}', 'session_id', ANYTHING, '')
    // An id may be logged.
    .filter(({ name }) => !/is (string|surrogate|nul|long)$/.test(name)),
  ...members('{"type":"start_call","data":{"stream_id":0,$}}', ['agent_id', 'call_sid', 'metadata', 'voip'], ANYTHING, ''),
  ...members('{"type":"start_call","data":{"stream_id":0,"voip":{$}}}', ['from', 'to', 'provider', 'direction'], ANYTHING, ''),
  ...members('{"type":"stream_request","data":{"transcript":[],$}}', 'stream_id', [...NUMBERS, ...STRINGS], 'stream_request: /stream_id'),
  ...members('{"type":"stream_request","data":{"stream_id":7,$}}', 'transcript', [...ARRAYS, ...STRINGS], 'stream_request: /transcript'),
  ...members('{"type":"partial_transcript","data":{"session_id":"ses_bad",$}}', 'transcript', STRINGS, 'partial_transcript: /transcript'),
  ...members('{"type":"partial_transcript","data":{"transcript":"x",$}}', 'is_final', [...OPTIONAL, 'boolean'], 'partial_transcript: /is_final'),
  ...members('{"type":"partial_transcript","data":{"transcript":"x",$}}', 'session_id', ANYTHING, ''),
  ...members('{"type":"playback_finished","data":{$}}', 'stream_id', [...NUMBERS, ...STRINGS], 'played: /stream_id'),
  ...members('{"type":"interrupt",$}', 'stream_id', [...NUMBERS, ...STRINGS], 'interrupted: /stream_id'),
  { name: 'an id twice', frame: `{"type":"stream_request","data":{"stream_id":7,"stream_id":["${CANARY}"],"transcript":[]}}`, why: 'stream_request: /stream_id' },
  { name: 'data twice', frame: `{"type":"stream_request","data":{"stream_id":7,"transcript":[]},"data":["${CANARY}"]}`, why: 'stream_request: /stream_id' },
  { name: 'prototypes in a request', frame: `{${POLLUTED},"type":"stream_request","data":{${POLLUTED},"stream_id":7,"transcript":[{${POLLUTED},"role":"__proto__","content":"${CANARY}"},{"role":"constructor","content":[{${POLLUTED},"text":"${CANARY}"}]}]}}` },
  { name: 'a request in the prototype', frame: '{"type":"stream_request","data":{"__proto__":{"stream_id":7,"transcript":[]}}}', why: 'stream_request: /stream_id' },
  { name: 'prototypes in the start', frame: `{${POLLUTED},"type":"start_call","data":{${POLLUTED},"stream_id":0,"metadata":{${POLLUTED}},"voip":{${POLLUTED},"from":"${CANARY}"}}}` }
]

const TOO_DEEP = 'nested too deeply'

const retellDeep: Case[] = [
  { name: 'brackets', frame: arrays(), why: TOO_DEEP },
  { name: 'metadata', frame: `{"interaction_type":"call_details","call":{"metadata":${objects()}}}` },
  { name: 'an update', frame: `{"interaction_type":"update_only","transcript":${arrays()}}`, why: 'broken update' },
  { name: 'a transcript', frame: `{"interaction_type":"response_required","response_id":7,"transcript":${arrays(`"${CANARY}"`)}}`, why: TOO_DEEP }
]

const millisDeep: Case[] = [
  { name: 'unclosed braces', frame: '{"a":'.repeat(DEEP), why: 'not JSON' },
  { name: 'braces', frame: objects(), why: 'no discriminator' },
  { name: 'metadata', frame: `{"type":"start_call","data":{"stream_id":0,"metadata":${objects()}}}` },
  { name: 'a transcript', frame: `{"type":"stream_request","data":{"stream_id":7,"transcript":[{"role":"user","content":${arrays(`"${CANARY}"`)}}]}}`, why: TOO_DEEP }
]

const SIDES: Side[] = [
  {
    provider: 'retell',
    dial: dialRetell,
    start: async caller => {
      caller.send(retell.details())
      await caller.response(0)
    },
    request: retell.request,
    answer: async (caller, id) => wordsOf((await caller.response(id)).filter(frame => frame['response_id'] === id), 'content_complete'),
    cases: retellCases,
    deep: retellDeep
  },
  {
    provider: 'millis',
    dial: (t, app) => dial(t, app, '/millis'),
    start: async (caller, callId) => {
      caller.send(millis.start('first', callId))
      await caller.stream('first')
    },
    request: millis.request,
    answer: async (caller, id) => wordsOf((await caller.stream(id)).map(frame => frame['data']).filter(data => data.stream_id === id), 'end_of_stream'),
    cases: millisCases,
    deep: millisDeep
  }
]

// The words of one answer, which is completed once and by its last frame.
function wordsOf (frames: Frame[], end: string): string {
  const completions = frames.map(frame => frame[end])
  const complete = completions.at(-1) === true && completions.indexOf(true) === completions.length - 1
  return frames.map(frame => frame['content']).join('') + (complete ? '' : ' (not completed exactly once)')
}

/** Every string in a value that holds the canary, keys included. */
function canaries (value: unknown): string[] {
  if (typeof value === 'string') return value.includes(CANARY) ? [value.slice(0, 100)] : []
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, member]) => [...canaries(key), ...canaries(member)])
}

const polluted = (): unknown => ({} as Record<string, unknown>)['polluted']

/** An app whose calls tell when they are over, with a call on each provider that nothing must happen to. */
async function setup (t: Test, agent: Agent = echo, options: VoiceAgentOptions = {}) {
  const summaries: CallSummary[] = []
  const asked = new Set<string>()
  let onEnd = deferred()
  const { app, logs } = await build(t, function (turn) {
    asked.add(String(turn.messages.at(-1)?.content))
    return agent.call(this, turn)
  }, {
    onCallEnd: (_call, summary) => {
      summaries.push(summary)
      onEnd.resolve()
      onEnd = deferred()
    },
    ...options
  })
  const witnesses = await Promise.all(SIDES.map(async side => ({ side, caller: await side.dial(t, app, 'witness') })))
  let question = 1_000
  return {
    app,
    logs,
    summaries,
    /** Asks, and says what is heard, or that the agent was not even asked. */
    async ask (side: Side, caller: Caller, id: number, words: string): Promise<string> {
      caller.send(side.request(id, words))
      await caller.settled()
      return asked.has(words) ? side.answer(caller, id) : 'the agent was not asked'
    },
    /** Hangs up, and waits until the call is over. */
    async hangUp (caller: Caller): Promise<CallSummary> {
      const over = onEnd.promise
      caller.socket.terminate()
      await over
      return summaries.at(-1)!
    },
    /** Asks the bystanders, and says what they hear. */
    async witness (): Promise<string[]> {
      const id = ++question
      return Promise.all(witnesses.map(({ side, caller }) => {
        caller.send(side.request(id, 'Witness'))
        return side.answer(caller, id)
      }))
    }
  }
}

const UNHARMED = ['You said: Witness', 'You said: Witness']

const faults = (lines: LogLine[]) => lines.filter(({ level }) => level >= 40).map(({ level, msg, ...line }) =>
  ({ level, msg, why: line['why'] }))
const leaks = (lines: LogLine[]) => lines.filter(({ level }) => level >= 30).flatMap(canaries)

/** One case of each fault, and of each kind of frame that is none. */
function brief (cases: readonly Case[]): Case[] {
  return [...new Map(cases.map(item => [item.why ?? item.name.replace(/ is .*/, ''), item])).values()]
}

for (const side of SIDES) {
  for (const [when, started, cases, times] of [
    ['sends first', false, brief(side.cases), 1],
    ['sends in mid-call', true, side.cases, 2],
    ['nests', true, side.deep, 1]
  ] as const) {
    t.test(`whatever ${side.provider} ${when}, the next good request is answered`, async t => {
      const { app, logs, ask, witness, hangUp } = await setup(t, echo, { onTranscript: () => {} })

      for (const [n, { name, frame, why }] of cases.entries()) {
        const from = logs.length
        const callId = `call_${n}`
        const caller = await side.dial(t, app, callId)
        if (started) await side.start(caller, callId)
        const questions = Array.from({ length: times }, (_, i) => `Question ${i} of call ${n}`)
        const answers: string[] = []
        for (const [i, question] of questions.entries()) {
          caller.send(frame)
          answers.push(await ask(side, caller, 100 + i, question))
        }
        const { malformedFrames } = await hangUp(caller)
        const lines = logs.slice(from)

        t.strictSame({ answers, witness: await witness(), malformedFrames, faults: faults(lines), leaks: leaks(lines), polluted: polluted() }, {
          answers: questions.map(question => `You said: ${question}`),
          witness: UNHARMED,
          malformedFrames: why === undefined ? 0 : times,
          faults: why === undefined ? [] : [{ level: 40, msg: 'malformed frame ignored', why }],
          leaks: [],
          polluted: undefined
        }, `${n}: ${name}`)
      }
    })
  }

  t.test(`whatever ${side.provider} sends in mid-answer, the answer goes on`, async t => {
    const first = deferred()
    const gate = deferred()
    const outcome = deferred<string>()
    const { app, logs, witness, hangUp } = await setup(t, async function * (turn) {
      if (turn.id !== 5) return yield * echo.call(this, turn) as AsyncIterable<string>
      yield 'One '
      first.resolve()
      await gate.promise
      yield 'two '
      yield 'three.'
    }, { onTurnEnd: (turn, report) => { if (turn.id === 5) outcome.resolve(report.outcome) } })
    const caller = await side.dial(t, app, 'call_1')
    await side.start(caller, 'call_1')
    const bad = side.cases.filter(({ why }) => why !== undefined && why !== 'broken update')

    caller.send(side.request(5, 'Hi'))
    await first.promise
    for (const { frame } of bad) caller.send(frame)
    await caller.settled()
    gate.resolve()

    t.equal(await outcome.promise === 'completed' && await side.answer(caller, 5), 'One two three.')
    t.strictSame(await witness(), UNHARMED)
    t.equal((await hangUp(caller)).malformedFrames, bad.length)
    t.equal(faults(logs).length, 1, 'one warning for them all')
    t.strictSame(leaks(logs), [])
    t.equal(polluted(), undefined)
  })

  t.test(`what ${side.provider} sends after the agent hung up neither ends nor revives anything else`, async t => {
    const { app, logs, ask, witness } = await setup(t, async function * (turn) {
      if (turn.id !== 5) return yield * echo.call(this, turn) as AsyncIterable<string>
      yield endCall({ say: 'Bye.' })
    })
    const caller = await side.dial(t, app, 'call_1')
    await side.start(caller, 'call_1')
    caller.send(side.request(5, 'Hi'))
    t.equal(await side.answer(caller, 5), 'Bye.')

    for (const { frame, why } of side.cases) if (why !== undefined) caller.send(frame)

    t.equal(await ask(side, caller, 6, 'Still there?'), 'You said: Still there?')
    t.strictSame(await witness(), UNHARMED)
    t.strictSame(leaks(logs), [])
  })
}

t.test('the warning says how large the malformed frame was', async t => {
  const { app, logs } = await setup(t, echo, { onTranscript: () => {} })
  for (const side of SIDES) {
    // Of which each is either one's frame with something missing, and no frame to the other.
    for (const [n, frame] of ['', `"${CANARY}é"`, '{"type":"interrupt"}', '{"interaction_type":"update_only"}', Buffer.alloc(1_000)].entries()) {
      const from = logs.length
      const caller = await side.dial(t, app, `call_${n}`)
      caller.send(frame)
      await caller.settled()
      const sizes = logs.slice(from).filter(({ level }) => level === 40).map(({ bytes }) => bytes)
      t.strictSame(sizes, [Buffer.byteLength(frame)], `${side.provider} ${escape(String(frame).slice(0, 40))}`)
    }
  }
})

t.test('a session id without bounds does not fill the log', async t => {
  const { app, logs, hangUp } = await setup(t)
  const caller = await dial(t, app, '/millis')
  caller.send(millis.start(0, 'x'.repeat(MIB)), millis.request(1, 'Hi'))
  await caller.stream(1)
  await hangUp(caller)
  t.strictSame(logs.filter(line => JSON.stringify(line).length > 4_096).map(({ msg }) => msg), [])
})

t.test('a Millis start without a stream id leaves the greeting to the one that has it', async t => {
  const { app } = await setup(t)
  for (const [n, frame] of [{ type: 'start_call' }, { type: 'start_call', data: null }, millis.start(null, 'ses_2')].entries()) {
    const caller = await dial(t, app, '/millis')
    caller.send(frame, millis.start(0, `ses_${n}`))
    await caller.settled()
    caller.send(millis.request(1, 'Hi'))
    const spoken = (await caller.stream(1)).filter(({ data }) => data.stream_id === 0).map(({ data }) => data.content)
    t.equal(spoken.join(''), 'Hello.', JSON.stringify(frame))
  }
})

t.test('a broken update that nobody listens to is not even read', async t => {
  const { app, logs } = await setup(t)
  const caller = await dialRetell(t, app, 'call_1')
  caller.send(retell.details())
  await caller.response(0)
  caller.send(`{"interaction_type":"update_only","transcript":["${CANARY}"`, retell.request(1, 'Hi'))
  t.equal(await SIDES[0]!.answer(caller, 1), 'You said: Hi')
  t.strictSame(faults(logs), [])
})

// Ids

t.test('any number and any string is a Millis stream id, and comes back as it was', async t => {
  const { app } = await setup(t)
  const ids = [0, -1, 1.5, 1e308, 5e-324, 2 ** 53, '', '0', '1', ' ', '\0', '\ud800', '__proto__', 'constructor', 'NaN', 'x'.repeat(MIB)]

  for (const [n, id] of ids.entries()) {
    const caller = await dial(t, app, '/millis')
    caller.send(millis.start(id, `ses_${n}`))
    const greeting = await caller.stream(id)
    caller.send(millis.request(id, 'Hi'))
    const answer = await caller.stream(id)
    t.strictSame([...greeting, ...answer].filter(({ data }) => data.stream_id !== id), [], `${typeof id} ${escape(String(id).slice(0, 20))}`)
    t.equal(wordsOf(answer.map(({ data }) => data), 'end_of_stream'), 'You said: Hi')
  }
})

t.test('an interrupt with the same id of another type stops nothing', async t => {
  const gate = deferred()
  const { app } = await setup(t, async function * (turn) {
    if (turn.reason === 'greeting') return
    yield 'One '
    await gate.promise
    yield 'two.'
  })
  const caller = await dial(t, app, '/millis')
  caller.send(millis.start(0), millis.request(1, 'Hi'))
  await caller.until(({ data }) => data.stream_id === 1)

  for (const id of ['1', '1.0', true, null, [1], { valueOf: 1 }, 1.0000000000000002, 0]) caller.send(millis.interrupt(id))
  await caller.settled()
  gate.resolve()

  t.equal((await caller.stream(1))[0]?.['data'].content, 'two.')
})

t.test('of requests with one id the first is answered on Retell, each on Millis', async t => {
  const { app } = await setup(t)
  const caller = await dialRetell(t, app, 'call_1')
  caller.send(retell.request(1, 'First'))
  await caller.response(1)
  caller.send(retell.request(1, 'Again'), retell.request(0, 'Older'), retell.request(-1, 'Oldest'), retell.request(2, 'Second'))
  await caller.response(2)
  t.equal(caller.frames.filter(frame => frame['response_id'] === 1 && frame['content_complete']).length, 1)
  t.equal(caller.frames.filter(frame => frame['response_id'] === -1).length, 0)

  const other = await dial(t, app, '/millis')
  for (const words of ['First', 'Again']) {
    other.send(millis.request(1, words))
    t.equal(wordsOf((await other.stream(1)).map(({ data }) => data), 'end_of_stream'), `You said: ${words}`)
  }
})

// Transcripts

/** Entries that are none. */
const NO_ENTRIES = [
  'null', 'true', '1', '1e400', `"${CANARY}"`, '[]', `[["${CANARY}"]]`, '{}', '{"role":"user"}', '{"content":"x"}',
  '{"role":null,"content":"x"}', '{"role":5,"content":"x"}', '{"role":["user"],"content":"x"}', '{"role":"user","content":null}',
  '{"role":"user","content":5}', '{"role":"user","content":true}', '{"role":"user","content":{"text":"x"}}',
  '{"Role":"user","Content":"x"}', '{"__proto__":{"role":"user","content":"x"}}'
]
const GOOD_ENTRIES = ['{"role":"agent","content":"Hello."}', '{"role":"user","content":"Good one."}']
const UTTERANCES = [{ role: 'agent', content: 'Hello.' }, { role: 'user', content: 'Good one.' }]
const MESSAGES: ChatMessage[] = [
  { role: 'user', content: '(The call has connected.)' },
  { role: 'assistant', content: 'Hello.' },
  { role: 'user', content: 'Good one.' }
]

/** Between any two good entries, and around them, stands what is none. */
const mixed = (more: readonly string[] = []): string => {
  const broken = [...NO_ENTRIES, ...more]
  return `[${[...broken, GOOD_ENTRIES[0], ...broken, GOOD_ENTRIES[1], ...broken].join(',')}]`
}

/** Entries of Retell's other transcript that say nothing to a model. */
const NO_TOOL_ENTRIES = [
  '{"role":"tool_call_invocation"}', '{"role":"tool_call_invocation","tool_call_id":"","name":"x"}',
  '{"role":"tool_call_invocation","tool_call_id":1,"name":"x"}', '{"role":"tool_call_invocation","tool_call_id":"x","name":{}}',
  '{"role":"tool_call_result"}', '{"role":"tool_call_result","tool_call_id":[],"content":"x"}',
  '{"role":"tool_call_result","tool_call_id":"orphan","content":"x"}', '{"role":"dtmf"}', '{"role":"dtmf","digit":5}',
  '{"role":"node_transition","content":5}', '{"role":"injected"}', '{"role":"injected","content":[]}', '{"role":"sms","content":{}}'
]

t.test('entries that are none are left out of a Retell transcript', async t => {
  const turns: unknown[] = []
  const updates: Array<TranscriptUpdate['transcript']> = []
  const { app, logs } = await setup(t, turn => {
    if (turn.messages.some(({ content }) => content === 'Witness')) return 'You said: Witness'
    turns.push({ transcript: turn.transcript, messages: turn.messages })
    return 'Good.'
  }, { onTranscript: (_call, update) => { updates.push(update.transcript) } })
  const caller = await dialRetell(t, app, 'call_1')

  caller.send(`{"interaction_type":"update_only","transcript":${mixed()}}`)
  for (const [id, more] of [[1, ''], [2, ',"transcript_with_tool_calls":null'], [3, `,"transcript_with_tool_calls":${mixed(NO_TOOL_ENTRIES)}`]] as const) {
    caller.send(`{"interaction_type":"response_required","response_id":${id},"transcript":${mixed()}${more}}`)
    await caller.response(id)
  }

  t.strictSame(turns, Array(3).fill({ transcript: UTTERANCES, messages: MESSAGES }))
  t.strictSame(updates, [UTTERANCES])
  t.strictSame(faults(logs), [])
  t.equal(polluted(), undefined)
})

t.test('entries that are none are left out of a Millis transcript', async t => {
  const turns: unknown[] = []
  const { app, logs } = await setup(t, turn => {
    turns.push({ transcript: turn.transcript, messages: turn.messages })
    return 'Good.'
  })
  const caller = await dial(t, app, '/millis')

  caller.send(`{"type":"stream_request","data":{"stream_id":1,"transcript":${mixed()}}}`)
  await caller.stream(1)

  t.strictSame(turns, [{ transcript: UTTERANCES, messages: MESSAGES }])
  t.strictSame(faults(logs), [])
  t.equal(polluted(), undefined)
})

t.test('the text parts of a Millis entry are joined, and what is no text in them is left out', async t => {
  const contents: unknown[] = []
  const { app } = await setup(t, turn => {
    contents.push(turn.messages.at(-1)?.content)
    return ''
  })
  const caller = await dial(t, app, '/millis')
  const parts = ['"Good "', 'null', '5', 'true', '{}', '[]', '{"text":5}', '{"type":"image","url":"x"}', '[["x"]]', '{"type":"text","text":"one."}']
  caller.send(`{"type":"stream_request","data":{"stream_id":1,"transcript":[{"role":"user","content":[${parts.join(',')}]}]}}`)
  await caller.stream(1)
  t.strictSame(contents, ['Good one.'])
})

for (const side of SIDES) {
  t.test(`odd characters and long words come through ${side.provider} as they are`, async t => {
    const { app } = await setup(t, turn => turn.messages.at(-1)?.content ?? '')
    const caller = await side.dial(t, app, 'call_1')
    const words = [
      '\ud800', 'a\udfff\ud800b', '\ud83d', '😀', 'x\0y', 'x\u2028\u2029y', '\u202eright to left', '</script>', '${x}', '%s %d %j', // eslint-disable-line no-template-curly-in-string
      '"\\"', 'é\u0301'.repeat(1_000), 'x'.repeat(2 * MIB), '\ud800'.repeat(100_000), '__proto__', 'null', '{"interaction_type":"update_only"}'
    ]
    for (const [n, word] of words.entries()) {
      caller.send(side.request(n + 1, word))
      const answer = await side.answer(caller, n + 1)
      // Compared first, because a difference of megabytes takes minutes to print.
      t.ok(answer === word, escape(word.slice(0, 20)))
    }
  })
}

// Over the network

async function listen (t: Test, agent: Agent, options: VoiceAgentOptions = {}) {
  const { app, logs } = await build(t, agent, options)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  return { app, logs, port, url: `ws://127.0.0.1:${port}` }
}

/** A frame of exactly so many bytes; `$` stands where it is filled up. */
function sized (frame: object, bytes: number): string {
  const [head = '', tail = ''] = JSON.stringify(frame).split('$')
  return head + 'x'.repeat(bytes - head.length - tail.length) + tail
}

const counting: Agent = turn => turn.reason === 'greeting' ? 'Hello.' : `${turn.messages.at(-1)?.content?.length}`

const PATHS = { retell: '/llm-websocket/call_', millis: '/millis?' }

for (const side of SIDES) {
  t.test(`what ${side.provider} sends right before it hangs up is nobody else's business`, async t => {
    const cases = brief(side.cases)
    const codes: number[] = []
    const over = deferred()
    const { url, logs } = await listen(t, counting, {
      onCallEnd: (_call, { code }) => { if (codes.push(code) === cases.length) over.resolve() }
    })
    const other = await dialUrl(t, `${url}${PATHS[side.provider]}other`)

    for (const [n, { frame }] of cases.entries()) {
      const caller = await dialUrl(t, `${url}${PATHS[side.provider]}${n}`)
      // The first frame introduces the call, so that its end is told.
      caller.send(side.request(100, 'Hi'), frame, side.request(101, CANARY), frame)
      if (n % 2 === 0) caller.socket.close(1000)
      else caller.socket.terminate()
    }
    await over.promise
    other.send(side.request(1, 'Hello'))

    t.equal(await side.answer(other, 1), '5')
    t.equal(codes.length, cases.length, 'no call ended twice')
    t.strictSame(leaks(logs), [])
  })
}

t.test('frames of up to 8 MiB are read, requests and updates alike', async t => {
  const heard: unknown[] = []
  const { url } = await listen(t, counting, {
    onTranscript: (_call, { transcript, partial }) => { heard.push((transcript?.at(-1)?.content ?? partial)?.length) }
  })
  const overhead = (frame: object) => JSON.stringify(frame).length - 1

  for (const side of SIDES) {
    const caller = await dialUrl(t, `${url}${PATHS[side.provider]}1`)
    const update = side.provider === 'retell' ? retell.update('$') : { type: 'partial_transcript', data: { transcript: '$', is_final: false } }
    const request = side.request(1, '$')
    caller.send(side.provider === 'retell' ? retell.details() : millis.start(0, 'ses_big'), sized(update, 8 * MIB - 1024), sized(request, 8 * MIB))
    t.equal(await side.answer(caller, 1), `${8 * MIB - overhead(request)}`)
    t.equal(heard.pop(), 8 * MIB - 1024 - overhead(update))
  }
})

t.test('a frame of more than 8 MiB closes its own socket with 1009 and no other', async t => {
  const ends: number[] = []
  const over = deferred()
  const { url, logs } = await listen(t, counting, {
    onCallEnd: (_call, { turns }) => { if (ends.push(turns) === 4) over.resolve() }
  })

  for (const side of SIDES) {
    const other = await dialUrl(t, `${url}${PATHS[side.provider]}other`)
    const caller = await dialUrl(t, `${url}${PATHS[side.provider]}1`)
    caller.send(side.request(1, 'Hi'))
    t.equal(await side.answer(caller, 1), '2')

    caller.send(sized(side.request(2, `$${CANARY}`), 8 * MIB + 1))
    t.equal((await caller.closed).code, 1009)

    other.send(side.request(1, 'Hello'))
    t.equal(await side.answer(other, 1), '5')
    other.socket.terminate()
  }
  await over.promise
  t.strictSame(ends, [1, 1, 1, 1], 'each call ended once, after its one turn')
  t.strictSame(leaks(logs), [])
})

t.test('many small pieces that are too much together are as much as one big frame', async t => {
  const { url } = await listen(t, counting)
  const caller = await dialUrl(t, `${url}/llm-websocket/call_1`)
  const piece = 'x'.repeat(MIB)
  caller.socket.send(`{"interaction_type":"${CANARY}`, { fin: false })
  for (let n = 0; n < 9; n++) caller.socket.send(piece, { fin: false })
  t.equal((await caller.closed).code, 1009)
})

t.test('a frame in many pieces, with a ping between them, is one frame', async t => {
  const { url } = await listen(t, counting)
  const caller = await dialUrl(t, `${url}/llm-websocket/call_1`)
  for (const piece of JSON.stringify(retell.request(1, 'Hello')).match(/.{1,7}/g) ?? []) {
    caller.socket.send(piece, { fin: false })
    caller.socket.ping()
  }
  caller.socket.send('', { fin: true })
  t.equal(await SIDES[0]!.answer(caller, 1), '5')
})

/** Opens a socket by hand, sends bytes, and returns all that comes back until the server hangs up. */
async function exchange (port: number, ...bytes: Buffer[]): Promise<Buffer> {
  const socket = connect(port, '127.0.0.1')
  const received: Buffer[] = []
  socket.write('GET /llm-websocket/call_raw HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
  await once(socket, 'data')
  socket.on('data', data => received.push(data))
  // What the server no longer reads may come back as a reset.
  socket.on('error', () => {})
  socket.write(Buffer.concat(bytes))
  await once(socket, 'close')
  return Buffer.concat(received)
}

t.test('frames that come after the close frame are not read', async t => {
  const asked: unknown[] = []
  const ended = deferred()
  const { port, logs } = await listen(t, turn => { asked.push(turn.id); return 'Yes.' }, { onCallEnd: () => ended.resolve() })

  await exchange(port,
    rawFrame(TEXT, text(retell.request(1, 'Hi'))),
    rawFrame(CLOSE, Buffer.from([0x03, 0xe8])),
    rawFrame(TEXT, text(retell.request(2, CANARY))),
    rawFrame(TEXT, CANARY))
  await ended.promise

  t.strictSame(asked, [1])
  t.strictSame(faults(logs), [])
})

t.test('bytes that are no WebSocket close their own socket and no other', async t => {
  const { port, url, logs } = await listen(t, counting)
  const other = await dialUrl(t, `${url}/llm-websocket/call_other`)
  const broken: ReadonlyArray<readonly [name: string, code: number, bytes: Buffer]> = [
    ['text that is not UTF-8', 1007, rawFrame(TEXT, Buffer.from([0xed, 0xa0, 0x80]))],
    ['an unmasked frame', 1002, Buffer.concat([Buffer.from([TEXT, CANARY.length]), Buffer.from(CANARY)])],
    ['an unknown opcode', 1002, rawFrame(0x83, CANARY)],
    ['a reserved bit', 1002, rawFrame(0xc1, CANARY)],
    ['a continuation of nothing', 1002, rawFrame(0x80, CANARY)],
    ['a ping in pieces', 1002, rawFrame(0x09, CANARY)],
    ['a close frame with half a code', 1002, rawFrame(CLOSE, Buffer.from([3]))],
    ['a close code that nobody may send', 1002, rawFrame(CLOSE, Buffer.from([0x03, 0xed]))],
    ['a length past all numbers', 1009, Buffer.from([TEXT, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])],
    ['a length of 8 MiB and a byte', 1009, Buffer.from([TEXT, 0xff, 0, 0, 0, 0, 0, 0x80, 0, 1, 0, 0, 0, 0])]
  ]
  for (const [n, [name, code, bytes]] of broken.entries()) {
    const received = await exchange(port, bytes)
    const close = received.lastIndexOf(CLOSE)
    t.equal(received.readUInt16BE(close + 2), code, name)
    other.send(retell.request(n + 1, 'Hello'))
    t.equal(await SIDES[0]!.answer(other, n + 1), '5')
  }
  t.strictSame(leaks(logs), [])
})
