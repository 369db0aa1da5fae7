/**
 * Tools under random interleavings: a real call and a real protocol, a provider that supersedes, drops, dials again and
 * reports what was heard as it likes, a model that calls what it likes, tools that take as long as they like, fail, or do
 * not stop when they are told to. And nodes that die, or give a call away, in the middle of all that.
 */
import assert from 'node:assert/strict'
import t from 'tap'
import type FakeTimers from '@sinonjs/fake-timers'
import { Type } from '@sinclair/typebox'
import fc from 'fast-check'
import type { Provider, Turn } from '../../lib/contract/agent.js'
import { speakInSteps, type ModelAnswer, type StepMessage, type ToolChoice } from '../../lib/tools/tool-loop.js'
import { tool } from '../../lib/tools/tool.js'
import { deferred } from '../helpers/app.js'
import { Line, tick } from '../helpers/call.js'
import { millis, retell, type Frame } from '../helpers/caller.js'
import { installClock } from '../helpers/clock.js'
import { MemoryCluster } from '../helpers/memory-cluster.js'
import { scaledRuns } from '../helpers/runs.js'
import { messageFaults, type WireMessage } from '../helpers/valid-messages.js'

const TIMEOUT_MS = 10_000
const GRACE_MS = 60_000

/** What the model answers when it is asked. */
interface Answer {
  /** Before its calls; in pieces, between which it waits. */
  words: string[]
  calls: Array<{ name: 'book' | 'look', day: string, id: string }>
}

type Step =
  | { do: 'ask', extend: boolean, heard: number, books: 'all' | 'late' | 'none' }
  | { do: 'model' }
  | { do: 'settle', which: number, how: 'done' | 'failed' }
  | { do: 'break' | 'redial' | 'tick' | 'hang up' }
  /** Another node is dialled, as this one is gone, or only out of reach. */
  | { do: 'move', dies: boolean }
  | { do: 'pass', ms: number }

interface Scenario {
  provider: Provider
  onSupersede: 'finish' | 'cancel'
  obeys: boolean
  /** Is there no other node? */
  isAlone: boolean
  answers: Answer[]
  steps: Step[]
}

/** One run of a tool. */
interface Run {
  readonly name: string
  readonly key: string
  readonly idempotencyKey: string
  readonly result: string
  readonly settle: (how: 'done' | 'failed') => void
  /** Of the node that runs it. */
  readonly node: string
  outcome?: 'done' | 'failed'
  /** Has the event loop turned since it was done? */
  isKnown?: boolean
}

/** An entry of the conversation as the provider knows it. */
type Heard =
  | { role: 'user' | 'agent', content: string, turn: unknown }
  | { role: 'tool_call_invocation' | 'tool_call_result', frame: Frame }

class World {
  readonly faults: string[] = []
  readonly runs: Run[] = []
  readonly #scenario: Scenario
  readonly #heard: Heard[] = []
  readonly #cluster = new MemoryCluster()
  #node = 'node 1'
  #nodes = 1
  #line!: Line
  readonly #lines: Line[] = []
  #read = 0
  #turns = 0
  #dials = 0
  #answers = 0
  #isAway = false
  #isOver = false
  #held: Array<() => void> = []

  constructor (scenario: Scenario) {
    this.#scenario = scenario
  }

  async begin (): Promise<void> {
    await this.#dial()
    this.#line.receive(this.#scenario.provider === 'retell' ? retell.details() : millis.start(0))
  }

  async #dial (calls?: Line['calls']): Promise<void> {
    const { provider, isAlone } = this.#scenario
    const cluster = this.#cluster.node(this.#node)
    const claim = isAlone || provider === 'millis' ? undefined : await cluster.claim({ provider, id: 'call_1' })
    this.#read = 0
    this.#line = new Line(provider, turn => this.#agent(turn), {
      id: provider === 'retell' ? 'call_1' : `made up ${++this.#dials}`,
      reconnectGraceMs: GRACE_MS,
      ...(calls !== undefined && { calls }),
      ...(!isAlone && { cluster }),
      ...(claim !== undefined && { claim })
    })
    this.#lines.push(this.#line)
  }

  // The agent: a model, and two tools

  #agent (turn: Turn) {
    if (turn.reason === 'greeting') return 'Hello.'
    let isFirst = true
    const node = this.#node
    return speakInSteps(turn, {
      tools: [this.#tool('book', node), this.#tool('look', node)],
      toolChoice: 'auto',
      maxSteps: 4,
      speakable: true,
      startsInReasoning: false,
      runsTextCalls: false,
      ask: (messages, choice) => {
        if (!this.#cluster.isDead(node)) this.#judge(messages, isFirst)
        isFirst = false
        return this.#answer(turn, choice)
      }
    })
  }

  #answer (turn: Turn, choice: ToolChoice): ModelAnswer {
    const { answers } = this.#scenario
    const { words, calls } = answers[this.#answers++ % answers.length]!
    return {
      chunks: this.#chunks(turn, words, this.#answers),
      read: String,
      end: () => '',
      isCalling: false,
      hasFailed: false,
      usage: undefined,
      complete: () => choice === 'none'
        ? []
        : calls.map(({ name, day, id }) => ({
          id, name, arguments: JSON.stringify({ day }), extra: {}
        })),
      called: () => {},
      explain: error => error,
      close: () => {}
    }
  }

  async * #chunks (turn: Turn, words: string[], n: number): AsyncGenerator<string> {
    for (const [index, word] of words.entries()) {
      await new Promise<void>(resolve => { this.#held.push(resolve) })
      if (turn.signal.aborted) return
      // Words that can be told apart, most of them.
      yield word === '' ? '' : `${word}${index === 0 ? n : ''} `
    }
    await new Promise<void>(resolve => { this.#held.push(resolve) })
  }

  #tool (name: 'book' | 'look', node: string) {
    const { onSupersede, obeys } = this.#scenario
    return tool({
      name,
      description: name,
      parameters: Type.Object({ day: Type.String() }),
      sideEffects: name === 'book',
      onSupersede,
      timeoutMs: TIMEOUT_MS,
      filler: 'Hm.',
      execute: ({ day }, { signal, idempotencyKey }) => {
        const { promise, resolve, reject } = deferred<string>()
        const key = `${name} ${day}`
        // What was on its way in the node that died.
        if (this.#cluster.isDead(node)) return promise
        this.#expect(name === 'look' || this.runs.every(run => run.key !== key || run.outcome === 'failed'), `${key} ran twice`)
        const earlier = this.runs.find(run => run.key === key)
        this.#expect(
          name === 'look' || earlier === undefined || earlier.idempotencyKey === idempotencyKey,
          'the idempotency key of a second try is another'
        )
        const run: Run = {
          name,
          key,
          idempotencyKey,
          result: `${key} is done, run ${this.runs.length}`,
          node,
          settle: how => {
            if (run.outcome !== undefined || this.#cluster.isDead(node)) return
            run.outcome = how
            if (how === 'done') resolve(run.result)
            else reject(new Error('told to'))
          }
        }
        this.runs.push(run)
        if (obeys) signal.addEventListener('abort', () => run.settle('failed'))
        return promise
      }
    })
  }

  #judge (messages: readonly StepMessage[], isFirst: boolean): void {
    const faults = messageFaults(messages as unknown as WireMessage[])
    this.#expect(faults.length === 0, `a model would reject its messages: ${faults.join('; ')}`)
    this.#expect(['user', 'tool'].includes(messages.at(-1)!.role), 'there is nothing to answer')
    if (!isFirst) return
    const told = JSON.stringify(messages)
    for (const { name, outcome, isKnown, result } of this.runs) {
      // A look-up that was told to stop has done nothing.
      if (outcome === 'done' && isKnown && name === 'book') this.#expect(told.includes(result), 'what was done is not in the messages')
    }
    // What was said in passing, or never heard, is not in it.
    this.#expect(!/"assistant","content":"[^"]*Hm\./.test(told), 'a filler is in the messages')
  }

  // The provider

  async run (step: Step): Promise<void> {
    if (this.#isOver) return
    switch (step.do) {
      case 'ask':
        return this.#isAway ? undefined : this.#ask(step)
      case 'model':
        return this.#held.shift()?.()
      case 'settle': {
        const running = this.runs.filter(({ outcome, node }) => outcome === undefined && !this.#cluster.isDead(node))
        return running[step.which % running.length]?.settle(step.how)
      }
      case 'break':
        if (this.#isAway) return
        this.#hear()
        this.#isAway = true
        return this.#line.hangUp(1006)
      case 'redial':
        if (!this.#isAway) return
        this.#isAway = false
        await this.#dial(this.#line.calls)
        return this.#introduce()
      case 'move':
        if (this.#scenario.isAlone) return
        this.#hear()
        if (step.dies) {
          this.#cluster.kill(this.#node)
          // Its models answer nobody any more.
          this.#held = []
        }
        this.#isAway = false
        this.#node = `node ${++this.#nodes}`
        await this.#dial()
        return this.#introduce()
      case 'pass':
        clock.tick(step.ms)
        return
      case 'hang up':
        this.#isOver = true
        return this.#line.hangUp(1000)
      case 'tick':
    }
  }

  #introduce (): void {
    if (this.#scenario.provider === 'millis') this.#line.receive(millis.start(`again ${this.#dials}`))
  }

  async tick (): Promise<void> {
    const done = this.runs.filter(({ outcome }) => outcome === 'done')
    await tick()
    // A node that died meanwhile has told nobody.
    for (const run of done) run.isKnown ||= !this.#cluster.isDead(run.node)
  }

  // Reads what was written since.
  #hear (): void {
    for (const frame of this.#line.frames.slice(this.#read)) {
      if (frame['tool_call_id'] !== undefined) this.#heard.push({ role: frame['response_type'], frame })
      const content: string = frame['content'] ?? frame['data']?.content ?? ''
      const turn: unknown = frame['response_id'] ?? frame['data']?.stream_id
      if (frame['tool_call_id'] !== undefined || content === '') continue
      const last = this.#heard.at(-1)
      if (last !== undefined && 'turn' in last && last.role === 'agent' && last.turn === turn) last.content += content
      else this.#heard.push({ role: 'agent', content, turn })
    }
    this.#read = this.#line.frames.length
  }

  #ask ({ extend, heard, books }: Extract<Step, { do: 'ask' }>): void {
    this.#hear()
    this.#cutOff(heard)
    const caller = this.#heard.findLast(entry => entry.role === 'user')
    const isNext = caller !== undefined && this.#heard.at(-1) === caller
    if (extend && isNext) (caller as { content: string }).content += ' and more'
    else this.#heard.push({ role: 'user', content: `request ${this.#turns + 1}`, turn: undefined })
    const id = ++this.#turns
    const transcript = this.#heard.flatMap(entry => 'turn' in entry && entry.content.trim() !== ''
      ? [
          { role: entry.role, content: entry.content }
        ]
      : [])
    if (this.#scenario.provider === 'millis') {
      return this.#line.receive({
        type: 'stream_request',
        data: {
          stream_id: id, transcript: transcript.map(({ role, content }) => ({ role: role === 'agent' ? 'assistant' : 'user', content }))
        }
      })
    }
    // Its books may be a few entries behind, though never behind the caller.
    const late = books === 'late' ? new Set(this.#heard.filter(entry => 'frame' in entry).slice(-2)) : new Set()
    const entries = this.#heard.filter(entry => !late.has(entry)).flatMap<object>(entry => {
      if ('turn' in entry) return entry.content.trim() === '' ? [] : [{ role: entry.role, content: entry.content }]
      const { tool_call_id: id, name, arguments: args, content, successful } = entry.frame
      return [entry.role === 'tool_call_invocation'
        ? {
            role: entry.role, tool_call_id: id, name, arguments: args
          }
        : { role: entry.role, tool_call_id: id, content, successful }]
    })
    this.#line.receive({
      interaction_type: 'response_required', response_id: id, transcript, ...(books !== 'none' && { transcript_with_tool_calls: entries })
    })
  }

  // The caller speaks over the last words.
  #cutOff (part: number): void {
    const last = this.#heard.findLast(entry => 'turn' in entry && entry.role === 'agent')
    if (last === undefined || !('turn' in last) || this.#heard.findLast(entry => 'turn' in entry) !== last) return
    const words = last.content.split(' ')
    last.content = words.slice(0, Math.ceil(words.length * part)).join(' ')
  }

  #expect (fulfilled: boolean, promise: string): void {
    if (!fulfilled) this.faults.push(promise)
  }

  async finish (): Promise<void> {
    if (!this.#isOver) {
      await this.run({ do: 'redial' })
      await this.tick()
      // The caller goes on until everything has come to its end.
      for (let more = 0; more < 2; more++) {
        await this.run({ do: 'ask', extend: false, heard: 1, books: 'none' })
        for (let steps = 0; steps < 40; steps++) {
          await this.run({ do: 'model' })
          await this.run({ do: 'settle', which: 0, how: 'done' })
          await this.tick()
        }
      }
      await this.run({ do: 'hang up' })
    }
    for (const run of this.runs) run.settle('done')
    await tick()
    clock.tick(GRACE_MS)
    const failures = this.#lines.flatMap(({ logs }) => logs).filter(({ level, msg }) => level >= 50 && msg !== 'a tool failed' && msg !== 'agent failed')
    this.#expect(failures.length === 0, `logged: ${failures.map(({ msg }) => msg).join()}`)
    this.#expect(this.#line.calls.size === 0, 'the call is still registered')
    this.#expect(this.#cluster.entries.size === 0, 'something is kept of the call')
    await this.#line.hooks.settled()
  }
}

const word = fc.constantFrom('Sure', 'it', 'is', '')
const answer: fc.Arbitrary<Answer> = fc.record({
  words: fc.array(word, { maxLength: 3 }),
  calls: fc.oneof(
    { weight: 1, arbitrary: fc.constant<Answer['calls']>([]) },
    {
      weight: 3,
      arbitrary: fc.array(fc.record({
        name: fc.constantFrom('book' as const, 'book' as const, 'look' as const),
        day: fc.constantFrom('tue', 'tue', 'wed'),
        // As careless as servers are.
        id: fc.constantFrom('call_0', 'call_1', '')
      }), { minLength: 1, maxLength: 3 })
    }
  )
})
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 30,
    arbitrary: fc.record({
      do: fc.constant('ask' as const),
      extend: fc.boolean(),
      heard: fc.constantFrom(0, 0.5, 1),
      books: fc.constantFrom('all' as const, 'late' as const, 'none' as const)
    })
  },
  { weight: 60, arbitrary: fc.constant<Step>({ do: 'model' }) },
  { weight: 60, arbitrary: fc.constant<Step>({ do: 'tick' }) },
  {
    weight: 25,
    arbitrary: fc.record({
      do: fc.constant('settle' as const), which: fc.nat(3), how: fc.constantFrom('done' as const, 'done' as const, 'failed' as const)
    })
  },
  { weight: 5, arbitrary: fc.constantFrom<Step>({ do: 'break' }, { do: 'redial' }, { do: 'redial' }) },
  { weight: 10, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(2_000, TIMEOUT_MS) }) },
  { weight: 15, arbitrary: fc.record({ do: fc.constant('move' as const), dies: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'hang up' }) }
)

let clock: FakeTimers.Clock

for (const provider of ['retell', 'millis'] as const) {
  t.test(`whatever happens on ${provider}, nothing is booked twice, and every model gets messages it accepts`, async t => {
    const scenario = fc.record({
      provider: fc.constant(provider),
      onSupersede: fc.constantFrom('finish' as const, 'cancel' as const),
      obeys: fc.boolean(),
      isAlone: fc.boolean(),
      answers: fc.array(answer, { minLength: 1, maxLength: 5 }),
      steps: fc.array(step, { maxLength: 60 })
    })
    clock = installClock(t)
    let booked = 0
    let superseded = 0
    await fc.assert(fc.asyncProperty(scenario, async scenario => {
      clock.reset()
      const world = new World(scenario)
      await world.begin()
      await tick()
      for (const step of scenario.steps) {
        await world.run(step)
        if (step.do === 'tick') await world.tick()
      }
      await world.finish()
      booked += world.runs.filter(({ name, outcome }) => name === 'book' && outcome === 'done').length
      superseded += scenario.steps.filter(({ do: what }) => what === 'ask').length
      assert.deepEqual([...new Set(world.faults)], [])
    }), { numRuns: scaledRuns(600) })
    t.ok(booked > scaledRuns(300) && superseded > scaledRuns(150), 'and enough did happen')
  })
}
