import assert from 'node:assert/strict'
import t from 'tap'
import fc from 'fast-check'
import { endCall, pressDigits, toolCall, toolResult, transferCall, type Action, type AgentConfig, type TerminalAction } from '../../../lib/contract/agent.js'
import type { LeavingAction } from '../../../lib/providers/codec.js'
import { retellOutbound } from '../../../lib/providers/retell/frames.js'
import { RetellCodec, retellBegin } from '../../../lib/providers/retell/codec.js'
import { retell } from '../../helpers/caller.js'

type Kind = keyof typeof retellOutbound
type Frame = Record<string, unknown>

const SAMPLES: Record<Kind, Frame[]> = {
  config: [{ response_type: 'config', config: { auto_reconnect: true, call_details: true, transcript_with_tool_calls: false } }],
  ping_pong: [{ response_type: 'ping_pong', timestamp: 1760000002000 }],
  response: [
    { response_type: 'response', response_id: 4, content: 'Tuesday at nine is free. ', content_complete: false },
    { response_type: 'response', response_id: 9, content: 'Goodbye!', content_complete: true, end_call: true, no_interruption_allowed: true },
    { response_type: 'response', response_id: 0, content: '', content_complete: true, transfer_number: '+15550100009', show_transferee_as_caller: true },
    { response_type: 'response', response_id: 1, content: '', content_complete: true, digit_to_press: '1' }
  ],
  agent_interrupt: [
    { response_type: 'agent_interrupt', interrupt_id: 1, content: 'One moment.', content_complete: true, no_interruption_allowed: true },
    { response_type: 'agent_interrupt', interrupt_id: 2, content: '', content_complete: true, end_call: true }
  ],
  tool_call_invocation: [{ response_type: 'tool_call_invocation', tool_call_id: 'tc_7f3', name: 'find_slot', arguments: '{"day":"tue"}' }],
  tool_call_result: [
    { response_type: 'tool_call_result', tool_call_id: 'tc_7f3', content: '{"slots":["09:00"]}', successful: true },
    { response_type: 'tool_call_result', tool_call_id: 'tc_7f3', content: '' }
  ],
  metadata: [{ response_type: 'metadata', metadata: { panel: 'calendar', day: 'tue' } }],
  update_agent: [
    { response_type: 'update_agent', agent_config: { reminder_trigger_ms: 4000, reminder_max_count: 1 } },
    { response_type: 'update_agent', agent_config: {} }
  ]
}

/** Changes that make the first sample of a kind one that Retell would drop. */
const WRONG: Record<Kind, Frame[]> = {
  config: [{ config: null }, { config: {} }, { config: { auto_reconnect: 'true', call_details: true, transcript_with_tool_calls: true } }],
  ping_pong: [{ timestamp: '1760000002000' }, { timestamp: null }],
  response: [
    { response_id: '4' }, { response_id: 4.5 }, { response_id: null }, { content: 7 }, { content: null },
    { content_complete: 'true' }, { content_complete: 1 }, { content_complete: null },
    { no_interruption_allowed: 'true' }, { no_interruption_allowed: false }, { end_call: 'true' }, { end_call: false }, { end_call: null },
    { transfer_number: '' }, { transfer_number: null }, { transfer_number: 15550100009 }, { show_transferee_as_caller: 'true' },
    { digit_to_press: '' }, { digit_to_press: null }, { digit_to_press: 1 }, { interrupt_id: 1 }
  ],
  agent_interrupt: [
    { interrupt_id: '1' }, { interrupt_id: 1.5 }, { content: null }, { content_complete: false }, { content_complete: 'true' },
    { end_call: 'true' }, { transfer_number: null }, { show_transferee_as_caller: true }, { response_id: 1 }
  ],
  tool_call_invocation: [{ tool_call_id: '' }, { tool_call_id: 7 }, { name: '' }, { name: null }, { arguments: { day: 'tue' } }, { response_id: 1 }],
  tool_call_result: [{ tool_call_id: '' }, { content: { slots: [] } }, { content: null }, { successful: 'true' }, { successful: null }],
  metadata: [{ metadata: null }, { metadata: 'calendar' }, { metadata: ['calendar'] }],
  update_agent: [
    { agent_config: null }, { agent_config: { responsiveness: '1' } }, { agent_config: { responsiveness: 1.1 } },
    { agent_config: { interruption_sensitivity: -0.1 } },
    { agent_config: { reminder_trigger_ms: 0 } }, { agent_config: { reminder_max_count: 0.5 } }, { agent_config: { voice_id: 'x' } }
  ]
}

/** What the first samples could do without. */
const OPTIONAL: ReadonlySet<string> = new Set(['no_interruption_allowed', 'successful'])

for (const [kind, schema] of Object.entries(retellOutbound) as Array<[Kind, typeof retellOutbound[Kind]]>) {
  t.test(`a ${kind} as Retell wants it is accepted`, async t => {
    for (const sample of SAMPLES[kind]) t.ok(schema.Check(sample), JSON.stringify(sample))
  })

  t.test(`a ${kind} that Retell would drop is refused`, async t => {
    const [sample] = SAMPLES[kind] as [Frame]
    for (const change of [...WRONG[kind], { response_type: undefined }, { response_type: `${kind} ` }, { mood: 'calm' }]) {
      t.notOk(schema.Check({ ...sample, ...change }), JSON.stringify(change))
    }
  })

  t.test(`a ${kind} with a member missing is refused`, async t => {
    const [sample] = SAMPLES[kind] as [Frame]
    for (const missing of Object.keys(sample).filter(member => !OPTIONAL.has(member))) {
      t.notOk(schema.Check(Object.fromEntries(Object.entries(sample).filter(([member]) => member !== missing))), missing)
    }
  })
}

t.test('a frame is of one kind only', async t => {
  for (const [kind, samples] of Object.entries(SAMPLES)) {
    for (const sample of samples) t.strictSame(Object.entries(retellOutbound).filter(([, schema]) => schema.Check(sample)).map(([name]) => name), [kind])
  }
})

// Whatever is asked of the encoder

const open = () => new RetellCodec(retellBegin(1))
const anyId = fc.nat()
const anyText = fc.string({ unit: 'binary' })
const anyWord = anyText.filter(text => text.trim() !== '')
const anyDigits = fc.stringMatching(/^[0-9*#A-D]+$/)
const anyPause = fc.double({ min: 0, minExcluded: true, max: 60_000, noNaN: true })
const anySpeechOptions = fc.record({ uninterruptible: fc.boolean(), flush: fc.boolean(), pauseMs: anyPause }, { requiredKeys: [] })
const anyAction: fc.Arbitrary<TerminalAction> = fc.oneof(
  anyText.map(say => endCall({ say })),
  fc.record({ destination: anyWord, say: anyText, showCaller: fc.boolean() }).map(({ destination, ...options }) => transferCall(destination, options)),
  anyDigits.map(digits => pressDigits(digits) as TerminalAction)
)
const anyToolAction = fc.oneof(
  fc.tuple(anyWord, anyWord, fc.oneof(anyText, fc.dictionary(fc.string(), fc.jsonValue()))).map(([id, name, args]) => toolCall(id, name, args)),
  fc.tuple(anyWord, anyText, fc.constantFrom(true, false, undefined)).map(([id, content, successful]) => toolResult(id, content, successful))
) as fc.Arbitrary<Extract<Action, { action: 'tool-call' | 'tool-result' }>>
const anyConfig = fc.record({
  responsiveness: fc.double({ min: 0, max: 1, noNaN: true }),
  interruption_sensitivity: fc.double({ min: 0, max: 1, noNaN: true }),
  reminder_trigger_ms: fc.double({ min: 0, minExcluded: true, noNaN: true, noDefaultInfinity: true }),
  reminder_max_count: fc.nat()
}, { requiredKeys: [] }) as fc.Arbitrary<AgentConfig>

/** Reads frames of ours as Retell would, and fails where one is not what Retell wants. */
function readBack (...frames: string[]): Frame[] {
  return frames.map(text => {
    const frame: Frame = JSON.parse(text)
    const kind = frame['response_type'] as Kind
    assert.ok(Object.hasOwn(retellOutbound, kind), text)
    assert.ok(retellOutbound[kind].Check(frame), text)
    assert.ok(['end_call', 'transfer_number', 'digit_to_press'].filter(member => member in frame).length <= 1, text)
    return frame
  })
}

t.test('the opening and every answer to a ping are what Retell wants', async () => fc.assert(fc.property(
  fc.option(fc.double({ noNaN: true, noDefaultInfinity: true })), timestamp => {
    const event = open().decode(Buffer.from(JSON.stringify({ ...retell.ping(), timestamp })), false)
    readBack(...open().opening, event.type === 'keepalive' ? event.reply : event.type)
  })))

t.test('all speech is what Retell wants, with every character of it', async () => fc.assert(fc.property(
  anyId, anyText, anySpeechOptions, (id, text, options) => {
    const [frame] = readBack(open().speech(id, text, options))
    const content = String(frame!['content'])
    assert.equal(options.pauseMs === undefined ? content : content.slice(0, text.length), text)
  })))

t.test('every completion is what Retell wants: all of the text, and a last frame that completes and acts', async () => fc.assert(fc.property(
  anyId, anyText, fc.boolean(), fc.option(anyAction, { nil: undefined }), (id, text, spoken, action) => {
    const { now, afterPlayback } = open().completion(id, text, spoken, action)
    const frames = readBack(...now)
    assert.deepEqual(afterPlayback, [])
    assert.deepEqual(frames.map(frame => frame['response_id']), frames.map(() => id))
    assert.deepEqual(frames.map(frame => frame['content_complete']), frames.map((_, i) => i === frames.length - 1))
    assert.equal(frames.map(frame => frame['content']).join(''), text)
    const acting = frames.filter(frame => 'end_call' in frame || 'transfer_number' in frame || 'digit_to_press' in frame)
    assert.deepEqual(acting, action === undefined ? [] : [frames.at(-1)])
  })))

t.test('every tool record is what Retell wants', async () => fc.assert(fc.property(anyToolAction, action => {
  const [frame] = readBack(open().toolRecord(action))
  assert.equal(frame!['tool_call_id'], action.id)
})))

t.test('every interjection is what Retell wants', async () => fc.assert(fc.property(anyId, anyText, fc.boolean(), (n, text, uninterruptible) => {
  const [frame] = readBack(open().interjection(n, text, uninterruptible))
  assert.deepEqual([frame!['interrupt_id'], frame!['content']], [n, text])
})))

t.test('every control from outside a turn is what Retell wants', async () => fc.assert(fc.property(
  anyId, fc.option(anyId, { nil: undefined }), anyAction.filter((action): action is LeavingAction => action.action === 'end-call' || (action.action === 'transfer-call' && !action.showCaller)), (n, last, action) => {
    const { now, afterPlayback } = open().control(n, last, action)
    const frames = readBack(...now)
    assert.deepEqual([frames.length, afterPlayback], [1, []])
    assert.deepEqual([frames[0]!['interrupt_id'], frames[0]!['content']], [n, action.say])
  })))

t.test('all metadata is what Retell wants, and comes back as it was given', async () => fc.assert(fc.property(
  fc.dictionary(fc.string(), fc.jsonValue()), metadata => {
    const [frame] = readBack(open().metadata(metadata))
    assert.deepEqual(frame!['metadata'], JSON.parse(JSON.stringify(metadata)))
  })))

t.test('every change of the agent is what Retell wants', async () => fc.assert(fc.property(anyConfig, config => {
  readBack(open().agentConfig(config))
})))
