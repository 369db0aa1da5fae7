import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { endCall } from '../../lib/contract/agent.js'
import type { Reply, Speech, Turn } from '../../lib/contract/agent.js'
import type { LiveCall } from '../../lib/call/call.js'
import { Pulse } from '../../lib/call/pulse.js'
import { CallRegistry } from '../../lib/call/registry.js'
import { Line, tick, type CallOptions } from '../helpers/call.js'
import { millis, retell } from '../helpers/caller.js'
import { useClock } from '../helpers/clock.js'
import { scaledRuns } from '../helpers/runs.js'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const CALLS = scaledRuns(10_000)

/** What is left of all calls, counted. */
interface Left {
  generators: number
  listeners: number
}

function agent (turn: Turn, left: Left): Reply {
  const words = String(turn.messages.at(-1)?.content)
  if (words.includes('hang')) return new Promise<string>(() => {})
  if (words.includes('throw')) throw new Error('told to')
  if (words.includes('string')) return 'Yes.'
  return speak(turn, words, left)
}

// Listens to its signal, as a request to a model does, until it is aborted or done.
async function * speak (turn: Turn, words: string, left: Left): AsyncGenerator<Speech> {
  left.generators++
  const aborted = new Promise<void>(resolve => {
    left.listeners++
    turn.signal.addEventListener('abort', () => {
      left.listeners--
      resolve()
    }, { once: true })
  })
  try {
    yield 'One '
    if (words.includes('wait')) await aborted
    if (words.includes('end')) yield endCall({ say: 'Bye.' })
    yield 'two.'
  } finally {
    left.generators--
    if (!turn.signal.aborted) left.listeners--
  }
}

type Fate = (line: Line, pass: (ms: number) => Promise<void>, redial: () => Line) => Promise<void>

const ask = (line: Line, id: number, words: string): void =>
  line.receive(line.connection.codec.provider === 'retell' ? retell.request(id, words) : millis.request(id, words))
const introduce = (line: Line): void =>
  line.receive(line.connection.codec.provider === 'retell' ? retell.details() : millis.start(0, line.call.id))

/** Everything that may become of a call. */
const FATES: Record<string, Fate> = {
  'is answered, and hangs up': async line => {
    introduce(line)
    ask(line, 1, 'Hi')
    await tick()
    line.hangUp(1000)
  },
  'hangs up in mid-answer': async line => {
    introduce(line)
    ask(line, 1, 'wait')
    await tick()
    line.hangUp(1000)
  },
  'never introduces itself': async line => {
    line.hangUp(1006)
  },
  'interrupts every answer': async line => {
    introduce(line)
    for (let id = 1; id <= 3; id++) ask(line, id, 'wait')
    await tick()
    for (let id = 4; id <= 6; id++) ask(line, id, 'wait')
    line.hangUp(1000)
  },
  'has an agent that hangs for ever, and gives up': async line => {
    introduce(line)
    ask(line, 1, 'hang')
    line.hangUp(1000)
  },
  'has an agent that hangs for ever, and is apologised to': async (line, pass) => {
    introduce(line)
    ask(line, 1, 'hang')
    await pass(5_000)
    line.hangUp(1000)
  },
  'has an agent that throws': async line => {
    introduce(line)
    ask(line, 1, 'throw')
    line.hangUp(1000)
  },
  'is hung up on by the agent': async line => {
    introduce(line)
    ask(line, 1, 'end')
    await tick()
    line.hangUp(1000)
  },
  'is hung up on by the app': async line => {
    introduce(line)
    await line.call.end({ say: 'Bye.' })
    line.hangUp(1006)
  },
  'is lost, and does not come back': async (line, pass) => {
    introduce(line)
    ask(line, 1, 'wait')
    await tick()
    line.hangUp(1006)
    await pass(30_000)
  },
  'is lost, comes back, and hangs up': async (line, _pass, redial) => {
    introduce(line)
    ask(line, 1, 'wait')
    await tick()
    line.hangUp(1006)
    const again = redial()
    introduce(again)
    ask(again, 1, 'string')
    again.hangUp(1000)
  },
  'comes back before it is missed': async (line, _pass, redial) => {
    introduce(line)
    const again = redial()
    introduce(again)
    line.hangUp(1006)
    again.hangUp(1000)
  },
  floods: async line => {
    for (let n = 0; n < 1_100; n++) line.receive('{')
    line.hangUp(1008)
  },
  'does not read': async line => {
    introduce(line)
    line.bufferedAmount = 100_000
    ask(line, 1, 'wait')
    await tick()
    line.hangUp(1006)
    line.take()
    await line.call.end().catch(() => {})
  }
}

t.test('of calls of every fate nothing is left', async t => {
  const { pass, left: timers } = useClock(t)
  const left: Left = { generators: 0, listeners: 0 }
  const calls = new CallRegistry<LiveCall>()
  const pulse = new Pulse()
  const remembered: Array<WeakRef<LiveCall>> = []
  const ended: string[] = []
  const options: CallOptions = {
    calls,
    waitMs: 2_000,
    reconnectGraceMs: 30_000,
    deadlines: { firstTokenMs: 5_000, tokenGapMs: 5_000, turnMs: 60_000, fillerMs: 1_500 },
    filler: 'One moment.',
    hooks: { onCallStart: async () => {}, onTurnEnd: () => {}, onCallEnd: call => { ended.push(call.id) } }
  }
  const fates = Object.values(FATES)

  // A function of its own, so that the last call is not held by a variable of the loop.
  const play = async (n: number): Promise<void> => {
    const provider = n % 2 === 0 ? 'retell' : 'millis'
    const id = `call_${n}`
    const lines: Line[] = []
    const dial = (id: string): Line => {
      const line = new Line(provider, turn => agent(turn, left), { ...options, id })
      pulse.add(line.connection)
      lines.push(line)
      return line
    }
    const line = dial(id)
    remembered.push(new WeakRef(line.call))
    await fates[Math.floor(n / 2) % fates.length]!(line, pass, () => dial(provider === 'retell' ? id : `made-up ${n}`))
    for (const { connection } of lines) pulse.remove(connection)
    await tick()
  }
  for (let n = 0; n < CALLS; n++) await play(n)
  await pass(60_000)

  t.equal(calls.size, 0, 'calls')
  t.equal(timers(), 0, 'timers')
  t.equal(left.generators, 0, 'generators')
  t.equal(left.listeners, 0, 'listeners')
  t.equal(new Set(ended).size, ended.length, 'no call ended twice')
  t.ok(ended.length > CALLS * 0.8)
  // More than once: optimised code can hold the object that it was made for until the second collection.
  for (let round = 0; round < 3; round++) {
    await tick()
    collectGarbage()
  }
  t.equal(remembered.filter(call => call.deref() !== undefined).length, 0, 'calls in memory')
})
