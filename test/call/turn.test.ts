import { once } from 'node:events'
import t, { type Test } from 'tap'
import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import {
  endCall, filler, flush, pause, pressDigits, toolCall, toolResult, transferCall, uninterruptible
} from '../../lib/contract/agent.js'
import type { Action, Provider, Reply, Speech, Turn, Utterance } from '../../lib/contract/agent.js'
import { createFallback } from '../../lib/call/stand-in.js'
import { CALLER_SILENT } from '../../lib/call/messages.js'
import { Floor, Speaker } from '../../lib/call/speaker.js'
import type { Connection } from '../../lib/call/connection.js'
import type { TurnOwner } from '../../lib/call/turn-owner.js'
import { LiveTurn } from '../../lib/call/turn.js'
import type { TurnAbortedError } from '../../lib/contract/errors.js'
import type { TurnReport } from '../../lib/telemetry/report.js'
import type { Entry } from '../../lib/providers/codec.js'
import { deferred, type LogLine } from '../helpers/app.js'
import { APOLOGY, GREETING, newCodec, openCall, tick, toMillis, toRetell, type CallOptions, type Line } from '../helpers/call.js'
import { millis, retell } from '../helpers/caller.js'

/** A Retell call in mid-conversation: nothing was written yet that a test would have to look past. */
function midCall (t: Test, agent: (turn: Turn) => Reply, options: CallOptions = {}): Line {
  const line = openCall(t, 'retell', agent, options)
  line.receive(retell.details({ call_status: 'ongoing' }))
  line.frames.length = 0
  return line
}

/** Has the agent answer one request, and returns the line once that is done. */
async function answer (t: Test, reply: (turn: Turn) => Reply, options: CallOptions = {}): Promise<Line> {
  const line = midCall(t, reply, options)
  line.receive(retell.request(1, 'Hi'))
  await line.completed(1)
  return line
}

function * words (...words: Speech[]): Generator<Speech> { yield * words }

async function * stream (...pieces: unknown[]): AsyncGenerator<Speech> {
  for (const piece of pieces) yield piece as Speech
}

const withoutReturn = (generator: Generator<Speech>) => ({ next: () => generator.next() })

const failures = (line: Line): Array<[string, string | undefined]> =>
  line.complaints.map(({ msg, err }) => [msg, (err as { code?: string } | undefined)?.code])

t.test('an agent may reply in many ways', async t => {
  const whole = [toRetell.complete(1, 'One two')]
  const pieces = [toRetell.speech(1, 'One'), toRetell.complete(1, ' two')]
  const silence = [toRetell.complete(1)]
  const cases: Record<string, [reply: () => unknown, frames: object[]]> = {
    'a string': [() => 'One two', whole],
    'an empty string': [() => '', silence],
    nothing: [() => undefined, silence],
    null: [() => null, silence],
    'an array': [() => ['One', ' two'], pieces],
    'an empty array': [() => [], silence],
    'a set': [() => new Set(['One', ' two']), pieces],
    'a generator': [() => words('One', ' two'), pieces],
    'an async generator': [() => stream('One', ' two'), pieces],
    'an async generator that yields nothing': [() => stream(), silence],
    'a ReadableStream': [() => ReadableStream.from(['One', ' two']), pieces],
    'an iterator without return()': [() => ({ [Symbol.iterator]: () => withoutReturn(words('One', ' two')) }), pieces],
    'a promise of a string': [async () => 'One two', whole],
    'a promise of nothing': [async () => {}, silence],
    'a promise of a generator': [async () => words('One', ' two'), pieces],
    'a promise of an async generator': [async () => stream('One', ' two'), pieces],
    'a promise of a ReadableStream': [async () => ReadableStream.from(['One', ' two']), pieces],
    'a thenable': [() => ({ then: (resolve: (reply: string) => void) => resolve('One two') }), whole]
  }
  for (const [kind, [reply, frames]] of Object.entries(cases)) {
    t.test(kind, async t => {
      const line = await answer(t, reply as () => Reply)
      t.strictSame(line.frames, frames)
      t.strictSame(line.complaints.map(({ level, msg }) => [level, msg.split(':')[0]]), frames === silence ? [[40, 'the agent said nothing, and the caller hears silence']] : [])
    })
  }
})

t.test('what a generator returns is not spoken', async t => {
  const line = await answer(t, async function * () {
    yield 'One'
    return ' two'
  })
  t.strictSame(line.frames, [toRetell.speech(1, 'One'), toRetell.complete(1)])
})

t.test('empty, undefined and null pieces are skipped', async t => {
  const line = await answer(t, () => stream(undefined, '', null, 'One', null, undefined, '', ' two'))
  t.strictSame(line.frames, [toRetell.speech(1, 'One'), toRetell.complete(1, ' two')])
  t.strictSame(line.complaints, [])
})

t.test('what cannot be spoken is an error to the author and an apology to the caller', async t => {
  const wrong: Array<[value: unknown, kind: string]> = [
    [42, 'a value of type number'],
    [Number.NaN, 'a value of type number'],
    [true, 'a value of type boolean'],
    [1n, 'a value of type bigint'],
    [() => 'Hi', 'a function: call it'],
    [Symbol('Hi'), 'a value of type symbol'],
    [{ content: 'secret' }, 'a value of type object'],
    [{ action: 'sing' }, 'a value of type object']
  ]
  const wrongPieces: typeof wrong = [
    ...wrong,
    [Buffer.from('secret'), 'what looks like bytes: decode them, a stream by stream.pipeThrough(new TextDecoderStream())'],
    [['secret'], 'what looks like an array: yield * array'],
    [Promise.resolve('secret'), 'what looks like a promise: await it']
  ]
  for (const [value, kind] of wrong) {
    t.test(`a reply: ${kind}`, async t => {
      const line = await answer(t, () => value as Reply)
      t.strictSame(line.frames, [toRetell.complete(1, APOLOGY)])
      t.strictSame(failures(line), [['agent failed', 'VOICE_AGENT_ERR_SPEECH']])
      t.match(line.complaints[0], { err: { message: `An agent speaks strings and actions, got ${kind}` } })
    })
  }
  for (const [value, kind] of wrongPieces) {
    t.test(`a piece: ${kind}`, async t => {
      // An async generator would await a promise itself.
      const line = await answer(t, () => words('One', value as Speech, ' two'))
      t.strictSame(line.frames, [toRetell.speech(1, 'One'), toRetell.complete(1, ` ${APOLOGY}`)])
      t.strictSame(failures(line), [['agent failed', 'VOICE_AGENT_ERR_SPEECH']])
      t.match(line.complaints[0], { err: { message: `An agent speaks strings and actions, got ${kind}` } })
    })
  }
  t.test('a reply: bytes', async t => {
    const line = await answer(t, () => Buffer.from('secret') as unknown as Reply)
    t.strictSame(line.frames, [toRetell.complete(1, APOLOGY)])
    t.match(line.complaints, [{ err: { message: /bytes: decode them/ } }])
  })
  t.test('a stream that somebody else reads', async t => {
    const taken = ReadableStream.from(['One'])
    taken.getReader()
    const line = await answer(t, () => taken)
    t.strictSame(line.frames, [toRetell.complete(1, APOLOGY)])
  })
})

t.test('an agent that fails is heard as the fallback, and the turn is completed', async t => {
  const error = new Error('model down')
  const cases: Record<string, [reply: () => Reply, frames: object[]]> = {
    'it throws': [() => { throw error }, [toRetell.complete(1, APOLOGY)]],
    'its promise rejects': [async () => { throw error }, [toRetell.complete(1, APOLOGY)]],
    'its generator throws before the first word': [
      async function * () { throw error },
      [toRetell.complete(1, APOLOGY)]
    ],
    'its generator throws after a word': [
      async function * () { yield 'Well'; throw error },
      [toRetell.speech(1, 'Well'), toRetell.complete(1, ` ${APOLOGY}`)]
    ],
    'its generator throws with words ready': [
      function * () { yield 'Well'; yield ', so. '; throw error },
      [toRetell.speech(1, 'Well'), toRetell.complete(1, `, so. ${APOLOGY}`)]
    ],
    'its stream fails': [
      () => new ReadableStream({ start: controller => controller.error(error) }),
      [toRetell.complete(1, APOLOGY)]
    ],
    'it throws nothing at all': [
      () => { throw undefined }, // eslint-disable-line no-throw-literal
      [toRetell.complete(1, APOLOGY)]
    ]
  }
  for (const [how, [reply, frames]] of Object.entries(cases)) {
    t.test(how, async t => {
      const line = await answer(t, reply)
      t.strictSame(line.frames, frames)
      t.strictSame(line.complaints.map(({ msg, turnId }) => [msg, turnId]), [['agent failed', 1]])
    })
  }
  t.test('a piece that cannot be spoken closes the generator', async t => {
    const closed = deferred()
    await answer(t, async function * () {
      try {
        yield 42 as unknown as Speech
      } finally {
        closed.resolve()
      }
    })
    await closed.promise
  })
  t.test('an action that cannot be written', async t => {
    const line = await answer(t, () => stream('Well', { action: 'filler' }))
    t.strictSame(line.frames, [toRetell.speech(1, 'Well'), toRetell.complete(1, ` ${APOLOGY}`)])
  })
})

t.test('the fallback option', async t => {
  const logs: unknown[][] = []
  const turn = (reason: string) => ({ reason, log: { error: (...line: unknown[]) => logs.push(line), debug: () => {} } }) as unknown as Turn
  const error = new Error('model down')

  t.test('has a line for greetings and one for the rest, unless it is set', async t => {
    const fallback = createFallback(undefined, GREETING, APOLOGY)
    t.equal(fallback(turn('greeting'), error), GREETING)
    t.equal(fallback(turn('response'), error), APOLOGY)
    t.equal(fallback(turn('reminder'), error), APOLOGY)
  })
  t.test('may be a line, also an empty one', async t => {
    t.equal(createFallback('Oh no', GREETING, APOLOGY)(turn('greeting'), error), 'Oh no')
    t.equal(createFallback('', GREETING, APOLOGY)(turn('response'), error), '')
  })
  t.test('may be a function of turn and error', async t => {
    const asked = turn('response')
    const given: unknown[][] = []
    const fallback = createFallback((...args) => { given.push(args); return 'Oh no' }, GREETING, APOLOGY)
    t.equal(fallback(asked, error), 'Oh no')
    t.equal(given[0]![0], asked)
    t.equal(given[0]![1], error)
  })
  t.test('has a line also where the function fails or returns none', async t => {
    const broken = new Error('no line')
    logs.length = 0
    t.equal(createFallback(() => { throw broken }, GREETING, APOLOGY)(turn('greeting'), error), GREETING)
    t.equal(createFallback((() => 42) as never, GREETING, APOLOGY)(turn('response'), error), APOLOGY)
    t.equal(createFallback((async () => 'Oh no') as never, GREETING, APOLOGY)(turn('response'), error), APOLOGY)
    t.strictSame(logs.map(line => line.at(-1)), [
      'the fallback function failed',
      'the fallback function returned no string',
      'the fallback function returned no string'
    ])
  })
  t.test('is spoken', async t => {
    const line = await answer(t, () => { throw error }, { fallback: (turn, error) => `${turn.id} ${(error as Error).message}` })
    t.strictSame(line.frames, [toRetell.complete(1, '1 model down')])
  })
})

t.test('a superseded turn', async t => {
  t.test('has its finally block run, and what it yields there is dropped', async t => {
    const closed = deferred()
    const held = deferred()
    const line = midCall(t, turn => turn.id === 2 ? 'New' : speak())
    async function * speak () {
      try {
        yield 'Old'
        await held.promise
        yield ' late'
      } finally {
        closed.resolve()
        yield ' clean-up'
      }
    }
    line.receive(retell.request(1, 'Hi'))
    await line.wrote(frame => frame['content'] === 'Old')
    line.receive(retell.request(2, 'Hi'))
    held.resolve()
    await closed.promise
    await tick()
    t.strictSame(line.frames, [toRetell.speech(1, 'Old'), toRetell.complete(2, 'New')])
    t.strictSame(line.complaints, [])
  })

  t.test('has its finally block run before the newer agent is called, where nothing is awaited', async t => {
    const order: string[] = []
    const line = midCall(t, turn => {
      order.push(`agent ${turn.id}`)
      return turn.id === 2 ? 'New' : endless()
    })
    function * endless () {
      try {
        for (;;) yield 'a'
      } finally {
        order.push('finally')
      }
    }
    line.receive(retell.request(1, 'Hi'))
    await tick()
    line.receive(retell.request(2, 'Hi'))
    t.strictSame(order, ['agent 1', 'finally', 'agent 2'])
  })

  t.test('has its ReadableStream cancelled, also while a read is pending', async t => {
    const cancelled = deferred()
    const line = midCall(t, turn => turn.id === 2
      ? 'New'
      : new ReadableStream<string>({
        start: controller => controller.enqueue('Old'),
        pull: () => new Promise(() => {}),
        cancel: () => cancelled.resolve()
      }))
    line.receive(retell.request(1, 'Hi'))
    await line.wrote(frame => frame['content'] === 'Old')
    await tick()
    line.receive(retell.request(2, 'Hi'))
    await cancelled.promise
    t.strictSame(line.frames, [toRetell.speech(1, 'Old'), toRetell.complete(2, 'New')])
  })

  t.test('may ignore its signal, and is not heard', async t => {
    const held = deferred()
    const spoke = deferred()
    const line = midCall(t, turn => turn.id === 2
      ? 'New'
      : {
          [Symbol.asyncIterator]: () => ({
            next: async () => {
              await held.promise
              spoke.resolve()
              return { done: false, value: 'Old' }
            }
          })
        })
    line.receive(retell.request(1, 'Hi'))
    line.receive(retell.request(2, 'Hi'))
    held.resolve()
    await spoke.promise
    await tick()
    t.strictSame(line.frames, [toRetell.complete(2, 'New')])
  })

  t.test('may throw, which is no failure', async t => {
    const line = midCall(t, async function * (turn) {
      if (turn.id === 2) return yield 'New'
      await once(turn.signal, 'abort').then(() => turn.signal.throwIfAborted())
    })
    line.receive(retell.request(1, 'Hi'), retell.request(2, 'Hi'))
    await line.completed(2)
    t.strictSame(line.frames, [toRetell.speech(2, 'New'), toRetell.complete(2)])
    t.strictSame(line.complaints, [])
    t.match(line.logs.filter(({ msg }) => msg === 'agent threw after its turn was over'), [{ level: 20, turnId: 1, err: { code: 'VOICE_AGENT_ERR_TURN_ABORTED' } }])
  })

  t.test('may fail in its clean-up, which concerns nobody', async t => {
    const clean: Record<string, () => Reply> = {
      'a generator': function * () { try { for (;;) yield 'Old' } finally { throw new Error('clean-up') } }, // eslint-disable-line no-unsafe-finally
      'an async generator': async function * () { try { for (;;) { yield 'Old'; await tick() } } finally { throw new Error('clean-up') } }, // eslint-disable-line no-unsafe-finally
      'a stream': () => new ReadableStream<string>({ start: controller => controller.enqueue('Old'), cancel: () => { throw new Error('clean-up') } })
    }
    for (const [kind, reply] of Object.entries(clean)) {
      const line = midCall(t, turn => turn.id === 2 ? 'New' : reply())
      line.receive(retell.request(1, 'Hi'))
      await line.wrote(frame => frame['content'].startsWith('Old'))
      line.receive(retell.request(2, 'Hi'))
      await tick()
      t.strictSame(line.frames.at(-1), toRetell.complete(2, 'New'), kind)
      t.strictSame(line.complaints, [], kind)
    }
  })

  t.test('has a reply that is promised too late closed unheard', async t => {
    const late = deferred<Reply>()
    const cancelled = deferred()
    const line = midCall(t, turn => turn.id === 2 ? 'New' : late.promise as Reply)
    line.receive(retell.request(1, 'Hi'), retell.request(2, 'Hi'))
    late.resolve(new ReadableStream({ start: controller => controller.enqueue('Old'), cancel: () => cancelled.resolve() }))
    await cancelled.promise
    t.strictSame(line.frames, [toRetell.complete(2, 'New')])
  })

  t.test('has a string that is promised too late dropped', async t => {
    const late = deferred<string>()
    const line = midCall(t, turn => turn.id === 2 ? 'New' : late.promise)
    line.receive(retell.request(1, 'Hi'), retell.request(2, 'Hi'))
    late.resolve('Old')
    await tick()
    t.strictSame(line.frames, [toRetell.complete(2, 'New')])
  })
})

t.test('an agent that never waits does not keep the call from reading', async t => {
  const endless: Record<string, (turn: Turn) => Reply> = {
    'a generator': function * () { for (;;) yield 'a' },
    'an async generator': async function * () { for (;;) yield 'a' },
    'a generator that says nothing': function * () { for (;;) yield '' }
  }
  for (const [kind, agent] of Object.entries(endless)) {
    t.test(kind, async t => {
      const line = midCall(t, turn => turn.id === 1 ? agent(turn) : 'New')
      line.receive(retell.request(1, 'Hi'))
      for (let timestamp = 1; timestamp <= 3; timestamp++) {
        await tick()
        line.receive(retell.ping(timestamp))
        t.strictSame(line.frames.at(-1), { response_type: 'ping_pong', timestamp })
      }
      line.receive(retell.request(2, 'Hi'))
      await tick()
      const frames = line.frames.length
      t.strictSame(line.frames.at(-1), toRetell.complete(2, 'New'))
      await tick()
      t.equal(line.frames.length, frames)
    })
  }
})

t.test('the signal', async t => {
  const asked: Turn[] = []
  const agent = (turn: Turn) => {
    asked.push(turn)
    return new Promise<string>(() => {})
  }
  const causes: Record<string, [Provider, (line: Line) => void]> = {
    superseded: ['retell', line => line.receive(retell.request(2, 'Hi'))],
    interrupted: ['millis', line => line.receive(millis.interrupt(1))],
    interjected: ['retell', line => { line.call.interject('Stop') }],
    ended: ['retell', line => { line.call.end() }],
    'hang-up': ['retell', line => line.hangUp(1006)]
  }
  for (const [reason, [provider, abort]] of Object.entries(causes)) {
    for (const when of ['before', 'after']) {
      t.test(`says ${reason}, read ${when} it aborts`, async t => {
        asked.length = 0
        const line = openCall(t, provider, agent)
        line.receive(provider === 'retell' ? retell.request(1, 'Hi') : millis.request(1, 'Hi'))
        const turn = asked[0]!
        if (when === 'before') t.notOk(turn.signal.aborted)
        abort(line)
        t.ok(turn.signal.aborted)
        t.equal(turn.signal, turn.signal)
        const error = turn.signal.reason as TurnAbortedError
        t.ok(error instanceof Error)
        t.match(error, { name: 'AbortError', code: 'VOICE_AGENT_ERR_TURN_ABORTED', reason, message: `The turn was aborted: ${reason}` })
      })
    }
  }
  t.test('never aborts once the turn was completed', async t => {
    let turn!: Turn
    const line = await answer(t, asked => { turn = asked; return 'Yes' })
    line.receive(retell.request(2, 'Hi'))
    line.hangUp(1006)
    t.notOk(turn.signal.aborted)
  })
})

t.test('a turn', async t => {
  t.test('converts what was heard when first read, and once', async t => {
    let conversions = 0
    const utterances: Utterance[] = [{ role: 'user', content: 'Hi' }]
    const entries: Entry[] = [{ kind: 'speech', role: 'user', content: 'Hi' }]
    const heard = {
      utterances: () => { conversions++; return utterances },
      entries: () => { conversions++; return entries }
    }
    const call = { settings: { leadingAssistant: false }, spoken: [] } as unknown as TurnOwner
    const turn = new LiveTurn(call, {} as Connection, new Floor(1), 'response', heard)
    t.equal(conversions, 0)
    t.equal(turn.transcript, utterances)
    t.equal(turn.transcript, utterances)
    t.equal(conversions, 1)
    t.strictSame(turn.messages, [{ role: 'user', content: 'Hi' }])
    turn.messages.push({ role: 'user', content: 'more' })
    t.equal(turn.messages.length, 2)
    t.equal(conversions, 2)
  })

  t.test('is not asked twice', async t => {
    let asked = 0
    const call = {
      settings: { ask: () => { asked++; return 'Yes' } },
      log: { child: () => ({ debug: () => {} }) } as unknown as FastifyBaseLogger,
      turnEnded: () => {}
    } as unknown as TurnOwner
    const connection = { speaker: new Speaker({ send: () => {} }, newCodec('retell')), takePeak: () => 0 } as unknown as Connection
    const turn = new LiveTurn(call, connection, new Floor(1), 'response', { utterances: () => [], entries: () => [] })
    turn.abort('superseded')
    turn.abort('hang-up')
    turn.finish('ended', 'Bye')
    turn.start()
    t.equal(asked, 0)
    t.equal((turn.signal.reason as TurnAbortedError).reason, 'superseded')
  })

  t.test('tells who asked for what', async t => {
    const turns: Turn[] = []
    const line = midCall(t, turn => { turns.push(turn); return 'Yes' })
    line.receive(retell.request(1, 'Hello', 'Hi'), retell.reminder(5, 'Hello', 'Hi'))
    t.strictSame(turns.map(({ id, reason, call, transcript, messages }) => ({ id, reason, call: call === line.call, transcript, messages })), [
      {
        id: 1,
        reason: 'response',
        call: true,
        transcript: [{ role: 'agent', content: 'Hello' }, { role: 'user', content: 'Hi' }],
        messages: [{ role: 'user', content: '(The call has connected.)' }, { role: 'assistant', content: 'Hello' }, { role: 'user', content: 'Hi' }]
      },
      {
        id: 5,
        reason: 'reminder',
        call: true,
        transcript: [{ role: 'agent', content: 'Hello' }, { role: 'user', content: 'Hi' }],
        messages: [{ role: 'user', content: '(The call has connected.)' }, { role: 'assistant', content: 'Hello' }, { role: 'user', content: `Hi ${CALLER_SILENT}` }]
      }
    ])
    t.strictSame(line.frames, [toRetell.complete(1, 'Yes'), toRetell.complete(5, 'Yes')])
  })

  t.test('logs with the ids of call and turn', async t => {
    const line = await answer(t, turn => {
      turn.log.info('looking')
      turn.log.info('found')
      return 'Yes'
    })
    t.strictSame(line.logs.filter(({ level, turnId }) => level === 30 && turnId === 1).map(({ msg, callId, provider, turnId }: LogLine) => ({ msg, callId, provider, turnId })), [
      { msg: 'looking', callId: 'call_1', provider: 'retell', turnId: 1 },
      { msg: 'found', callId: 'call_1', provider: 'retell', turnId: 1 },
      { msg: 'turn ended', callId: 'call_1', provider: 'retell', turnId: 1 }
    ])
  })
})

t.test('the report of a turn', async t => {
  const error = new Error('model down')
  const cases: Record<string, [Provider, reply: () => Reply, abort: (line: Line) => void, report: Partial<TurnReport>]> = {
    'that was completed': ['retell', () => words('One', ' two'), () => {}, { outcome: 'completed', characters: 7 }],
    'that said nothing': ['retell', () => undefined as never, () => {}, { outcome: 'completed', characters: 0 }],
    'that failed': ['retell', () => { throw error }, () => {}, { outcome: 'error', characters: APOLOGY.length, error }],
    'that failed in mid-sentence': ['retell', () => fails('One'), () => {}, { outcome: 'error', characters: 3 + 1 + APOLOGY.length, error }],
    'that was superseded': ['retell', () => new Promise<string>(() => {}), line => line.receive(retell.request(2, 'Hi')), { outcome: 'superseded', characters: 0 }],
    'that was interrupted': ['millis', () => stalled('One'), line => line.receive(millis.interrupt(1)), { outcome: 'interrupted', characters: 3 }],
    'that was talked over by the app': ['retell', () => stalled('One'), line => { line.call.interject('Stop') }, { outcome: 'interjected', characters: 3 }],
    'that was ended by the app': ['retell', () => stalled('One'), line => { line.call.end({ say: 'Bye' }) }, { outcome: 'ended', characters: 3 + 1 + 3 }],
    'that was hung up on': ['retell', () => stalled('One'), line => line.hangUp(1006), { outcome: 'hang-up', characters: 3 }]
  }
  function * fails (word: string) {
    yield word
    throw error
  }
  async function * stalled (word: string) {
    yield word
    await new Promise(() => {})
  }
  for (const [which, [provider, reply, abort, expected]] of Object.entries(cases)) {
    t.test(which, async t => {
      const reported = deferred<[Turn, TurnReport]>()
      const line = openCall(t, provider, turn => turn.id === 1 ? reply() : '', {
        hooks: { onTurnEnd: (turn, report) => { if (turn.id === 1) reported.resolve([turn, report]) } }
      })
      line.receive(provider === 'retell' ? retell.request(1, 'Hi') : millis.request(1, 'Hi'))
      await tick()
      abort(line)
      const [turn, report] = await reported.promise
      const { outcome, characters, durationMs, firstFrameMs, error: thrown } = report
      t.equal(turn.id, 1)
      t.equal(turn.reason, 'response')
      t.strictSame({ outcome, characters, ...('error' in report && { error: thrown }) }, expected)
      if (characters === 0) t.equal(firstFrameMs, undefined)
      else t.ok(firstFrameMs! >= 0 && firstFrameMs! <= durationMs)
    })
  }
})

t.test('an agent may yield actions', async t => {
  const retellCases: Record<string, [Speech[], object[]]> = {
    'hang up': [['Well. ', endCall({ say: 'Bye' })], [toRetell.speech(1, 'Well. '), toRetell.complete(1, 'Bye', { no_interruption_allowed: true, end_call: true })]],
    'hang up in silence': [[endCall()], [toRetell.complete(1, '', { end_call: true })]],
    'hang up with words ready': [['Well', ', so', endCall()], [toRetell.speech(1, 'Well'), toRetell.complete(1, ', so', { no_interruption_allowed: true, end_call: true })]],
    transfer: [[transferCall('+15550100009', { say: 'Hold on', showCaller: true })], [toRetell.complete(1, 'Hold on', { no_interruption_allowed: true, show_transferee_as_caller: true, transfer_number: '+15550100009' })]],
    'press digits': [['Dialling', pressDigits('12#')], [toRetell.speech(1, 'Dialling'), toRetell.complete(1, '', { digit_to_press: '12#' })]],
    'press digits with words ready': [['Dial', 'ling', pressDigits('12#')], [toRetell.speech(1, 'Dial'), toRetell.speech(1, 'ling'), toRetell.complete(1, '', { digit_to_press: '12#' })]],
    'cover a wait': [[filler('One moment. '), 'Yes'], [toRetell.speech(1, 'One moment. '), toRetell.speech(1, 'Yes'), toRetell.complete(1)]],
    'be heard out': [['One', ' two', uninterruptible(' three'), ' four'], [toRetell.speech(1, 'One'), toRetell.speech(1, ' two'), toRetell.speech(1, ' three', { no_interruption_allowed: true }), toRetell.complete(1, ' four')]],
    pause: [['One', ' two', pause(1500), 'three'], [toRetell.speech(1, 'One'), toRetell.speech(1, ' two - - '), toRetell.complete(1, 'three')]],
    'flush, which Retell lacks': [['One', ' two', flush(), ' three'], [toRetell.speech(1, 'One'), toRetell.complete(1, ' two three')]],
    'record a tool': [
      ['One', ' two', toolCall('tc_1', 'look', { day: 'tue' }), toolResult('tc_1', 'free', true), ' three'],
      [
        toRetell.speech(1, 'One'),
        toRetell.speech(1, ' two'),
        { response_type: 'tool_call_invocation', tool_call_id: 'tc_1', name: 'look', arguments: '{"day":"tue"}' },
        { response_type: 'tool_call_result', tool_call_id: 'tc_1', content: 'free', successful: true },
        toRetell.complete(1, ' three')
      ]
    ]
  }
  for (const [what, [pieces, frames]] of Object.entries(retellCases)) {
    t.test(`Retell: ${what}`, async t => {
      const line = await answer(t, () => words(...pieces))
      t.strictSame(line.frames, frames)
    })
  }

  const millisCases: Record<string, [Speech[], object[]]> = {
    'hang up in silence': [[endCall()], [toMillis.complete(1), toMillis.endCall(1)]],
    'transfer, and show the caller, which Millis cannot': [[transferCall('+15550100009', { showCaller: true })], [toMillis.complete(1), toMillis.transferCall(1, '+15550100009')]],
    'cover a wait': [['One', ' two', filler(' moment. '), 'Yes'], [toMillis.speech(1, 'One'), toMillis.speech(1, ' two moment. ', { flush: true }), toMillis.complete(1, 'Yes')]],
    pause: [['One', ' two', pause(300), ' three'], [toMillis.speech(1, 'One'), toMillis.speech(1, ' two', { pause: 300 }), toMillis.complete(1, ' three')]],
    flush: [['One', ' two', flush(), ' three'], [toMillis.speech(1, 'One'), toMillis.speech(1, ' two', { flush: true }), toMillis.complete(1, ' three')]],
    'be heard out, which Millis lacks': [['One', uninterruptible(' two'), ' three'], [toMillis.speech(1, 'One'), toMillis.complete(1, ' two three')]],
    'press digits, which Millis lacks': [['One', pressDigits('1'), ' two'], [toMillis.speech(1, 'One'), toMillis.complete(1, ' two')]],
    'record a tool, for which Millis has no books, while what was said is heard': [['One', toolCall('tc_1', 'look', {}), toolResult('tc_1', 'free'), ' two'], [toMillis.speech(1, 'One'), toMillis.speech(1, '', { flush: true }), toMillis.complete(1, ' two')]]
  }
  for (const [what, [pieces, frames]] of Object.entries(millisCases)) {
    t.test(`Millis: ${what}`, async t => {
      const line = openCall(t, 'millis', () => words(...pieces))
      line.receive(millis.request(1, 'Hi'))
      await line.completed(1)
      t.strictSame(line.frames, frames)
    })
  }

  t.test('what the provider lacks is told to the author once a call', async t => {
    const line = openCall(t, 'millis', () => words(pressDigits('1'), uninterruptible('One'), pressDigits('2'), transferCall('+15550100009', { showCaller: true })))
    line.receive(millis.request(1, 'Hi'), millis.request(2, 'Hi'))
    await line.completed(2)
    t.strictSame(line.complaints.map(({ level, msg, err }) => ({ level, msg, ...err as object })).map(({ stack, ...line }: Record<string, unknown>) => line), [
      { level: 40, msg: 'action ignored', type: 'FastifyError', name: 'FastifyError', code: 'VOICE_AGENT_ERR_UNSUPPORTED', message: 'press-digits is not supported by millis', statusCode: 501 },
      { level: 40, msg: 'action ignored', type: 'FastifyError', name: 'FastifyError', code: 'VOICE_AGENT_ERR_UNSUPPORTED', message: 'uninterruptible is not supported by millis', statusCode: 501 },
      { level: 40, msg: 'action ignored', type: 'FastifyError', name: 'FastifyError', code: 'VOICE_AGENT_ERR_UNSUPPORTED', message: 'show-caller is not supported by millis', statusCode: 501 }
    ])
  })

  t.test('nothing is said after a terminal one, and the generator is closed', async t => {
    const terminal: Action[] = [endCall({ say: 'Bye' }), transferCall('+15550100009'), pressDigits('1')]
    for (const action of terminal) {
      const closed = deferred()
      let signal!: AbortSignal
      const line = await answer(t, async function * (turn) {
        signal = turn.signal
        try {
          yield 'Well'
          yield action
          yield 'more'
          yield endCall()
        } finally {
          closed.resolve()
        }
      })
      await closed.promise
      await tick()
      t.equal(line.frames.length, 2, action.action)
      t.equal(line.frames.filter(frame => frame['content_complete']).length, 1)
      t.notOk(signal.aborted, 'it was not aborted')
    }
  })
})

t.test('words leave while the agent waits for the next', async t => {
  const held = deferred()
  const line = midCall(t, async function * () {
    yield 'One'
    yield ' two'
    await held.promise
    await nextLoopTurn()
    yield ' three'
  })
  line.receive(retell.request(1, 'Hi'))
  await line.wrote(frame => frame['content'] === ' two')
  held.resolve()
  await line.completed(1)
  t.strictSame(line.frames, [toRetell.speech(1, 'One'), toRetell.speech(1, ' two'), toRetell.complete(1, ' three')])
})

t.test('a generator that ends its own turn is closed, be it sync or not', async t => {
  for (const kind of ['sync', 'async']) {
    let closed = false
    const agent = kind === 'sync'
      ? function * (turn: Turn): Generator<Speech> {
        try {
          turn.call.end().catch(t.error)
          yield 'talking on'
        } finally {
          closed = true
        }
      }
      : async function * (turn: Turn): AsyncGenerator<Speech> {
        try {
          await turn.call.end()
          yield 'talking on'
        } finally {
          closed = true
        }
      }
    const line = await answer(t, agent)
    await tick()
    t.ok(closed, kind)
    t.strictSame(line.frames, [toRetell.complete(1, '', { end_call: true })])
  }
})

t.test('a stream that cannot be cancelled properly does not hold up the next turn', async t => {
  for (const cancel of [() => undefined, () => { throw new Error('no') }, () => Promise.reject(new Error('no'))]) {
    const stuck = { getReader: () => ({ read: () => new Promise(() => {}), cancel }) }
    const line = midCall(t, turn => turn.id === 1 ? stuck as never : 'Yes')
    line.receive(retell.request(1, 'Hi'), retell.request(2, 'Hello?'))
    t.strictSame(line.frames, [toRetell.complete(2, 'Yes')])
  }
})

t.test('a copy of an action that lacks something is answered with the fallback', async t => {
  const line = await answer(t, () => ['So. ', { ...endCall(), say: undefined } as never])
  t.strictSame(line.frames, [toRetell.speech(1, 'So. '), toRetell.complete(1, APOLOGY)])
  t.strictSame(failures(line), [['agent failed', 'VOICE_AGENT_ERR_SPEECH']])
})

t.test('an error that resists being looked at is logged and answered', async t => {
  const error = new Proxy(new Error('x'), { getPrototypeOf () { throw new Error('no') } })
  const line = await answer(t, () => { throw error })
  t.strictSame(line.frames, [toRetell.complete(1, APOLOGY)])
})

t.test('a fallback that is async is told of, and its failure harms nobody', async t => {
  const line = await answer(t, () => { throw new Error('x') }, { fallback: (async () => { throw new Error('y') }) as never })
  await tick()
  t.strictSame(line.frames, [toRetell.complete(1, APOLOGY)])
  t.strictSame(line.complaints.map(({ msg }) => msg), ['agent failed', 'the fallback function returned no string', 'the fallback function failed'])
})
