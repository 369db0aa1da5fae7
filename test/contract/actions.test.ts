/**
 * What is an action, and what only looks like one: data that a tool got from elsewhere, objects written by hand, copies.
 */
import t from 'tap'
import { Type } from '@sinclair/typebox'
import {
  endCall, filler, flush, isAction, pause, pressDigits, rebuiltTerminal, toolCall, toolResult, transferCall, uninterruptible, usage, working, type Action, type Speech
} from '../../lib/contract/agent.js'
import { transferCallTool } from '../../lib/tools/call-tools.js'
import { failover } from '../../lib/agents/failover/failover.js'
import { scriptedAgent } from '../../lib/agents/scripted.js'
import { speakable } from '../../lib/speech/speakable.js'
import { tool } from '../../lib/tools/tool.js'
import type { Agent } from '../../lib/index.js'
import { dialRetell, retell } from '../helpers/caller.js'
import { build } from '../helpers/app.js'
import { calling, openLine } from '../helpers/model-line.js'

const NUMBER = '+19005551234'

/** One of each, by the name of its builder. */
const ACTIONS: Readonly<Record<string, Action>> = {
  endCall: endCall({ say: 'Bye.' }),
  transferCall: transferCall(NUMBER),
  pressDigits: pressDigits('1'),
  pause: pause(500),
  flush: flush(),
  filler: filler('Hm.'),
  uninterruptible: uninterruptible('This call is recorded.'),
  working: working(),
  usage: usage('model'),
  toolCall: toolCall('1', 'look_up', {}),
  toolResult: toolResult('1', 'nine')
}

const throughJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

// Data

for (const [builder, action] of Object.entries(ACTIONS)) {
  t.test(`foreign JSON that looks like ${builder}()'s action is plain data as a tool's result`, async t => {
    for (const returned of [
      throughJson(action), structuredClone(action), { ...throughJson(action) as object, 'Symbol(fastify-voice-agent.action)': true }
    ]) {
      const lookUp = tool({ name: 'look_up', description: 'x', parameters: Type.Object({}), sideEffects: false, execute: () => returned })
      const line = await openLine(t, 'retell', [lookUp, transferCallTool({ destinations: { desk: '+15550100009' } })])
      line.server.next(calling('look_up({})'), 'I have looked.')
      t.equal(await line.hear(1, 'Look it up'), 'I have looked.')
      t.strictSame(
        line.line.frames.filter(frame => 'transfer_number' in frame || frame['end_call'] === true || 'digit_to_press' in frame), []
      )
      t.match(line.last().at(-1), { role: 'tool', content: JSON.stringify(returned) })
    }
  })
}

t.test('a tool that returns transferCall(), or a copy with other words, transfers the call', async t => {
  for (const returned of [transferCall(NUMBER), { ...transferCall(NUMBER, { say: 'One' }), say: 'One moment.' }]) {
    const give = tool({ name: 'give', description: 'x', parameters: Type.Object({}), execute: () => returned })
    const line = await openLine(t, 'retell', [give])
    line.server.next(calling('give({})'))
    await line.hear(1, 'Somebody else, please')
    t.match(line.line.frames.at(-1), { content: returned.say, transfer_number: NUMBER })
  }
})

// Agents

for (const [builder, action] of Object.entries(ACTIONS)) {
  t.test(`the error for a hand-written action names ${builder}()`, async t => {
    const agents: Agent[] = [
      async function * () { yield * ['So. ', throughJson(action) as Speech] },
      () => speakable(['So. ', structuredClone(action)])
    ]
    for (const agent of [...agents, failover([agents[0]!, scriptedAgent])]) {
      const { app, logs } = await build(t, agent)
      const caller = await dialRetell(t, app)
      caller.send(retell.request(1, 'Hi'))
      const frames = await caller.response(1)
      t.equal(frames.map(({ content }) => content).join(''), 'So. I am sorry, can you say that again?')
      t.strictSame(frames.filter(frame => 'transfer_number' in frame || frame['end_call'] === true), [])
      t.match(logs.filter(({ level }) => level === 50), [{
        msg: 'agent failed',
        err: {
          code: 'VOICE_AGENT_ERR_SPEECH',
          message: `An agent speaks strings and actions, got an object with action ${action.action} that ${builder}() did not build`
        }
      }])
    }
  })
}

t.test('failover treats a hand-written action ahead of the first word as a failure', async t => {
  const { app, logs } = await build(t, failover([function * () { yield throughJson(endCall()) as Speech }, () => 'Here I am.']))
  const caller = await dialRetell(t, app)
  caller.send(retell.request(1, 'Hi'))
  t.equal((await caller.response(1)).map(({ content }) => content).join(''), 'Here I am.')
  t.match(logs.find(({ msg }) => msg === 'agent gave no answer'), { err: { message: /action end-call that endCall\(\) did not build/ } })
})

t.test('failover and speakable() pass actions on', async t => {
  const { app } = await build(t, failover([() => speakable(['**Bye**. ', endCall()]), scriptedAgent]))
  const caller = await dialRetell(t, app)
  caller.send(retell.request(1, 'Hi'))
  t.match((await caller.response(1)).at(-1), { end_call: true })
})

// Copies

t.test('a second copy of the package understands the actions of the first', async t => {
  const specifier = '../../lib/contract/actions.js?copy'
  const copy = await import(specifier) as typeof import('../../lib/contract/actions.js')
  t.notOk(copy.isAction === isAction)
  t.ok(isAction(copy.endCall()))
  t.ok(copy.isAction(endCall()))
})

t.test('an action that was stored as JSON is rebuilt if it ends the turn', async t => {
  for (const [builder, action] of Object.entries(ACTIONS)) {
    const isTerminal = ['endCall', 'transferCall', 'pressDigits'].includes(builder)
    t.strictSame(rebuiltTerminal(throughJson(action)), isTerminal ? action : undefined, builder)
  }
  const broken = [
    undefined, null, 'end-call', { action: 'end-call' }, { action: 'fly' },
    { action: 'transfer-call', destination: ' ', say: '', showCaller: false }
  ]
  for (const kept of broken) t.equal(rebuiltTerminal(kept), undefined)
})
