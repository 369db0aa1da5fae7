/**
 * Retell's side of a call, as docs.retellai.com describes it: what it sends, what it drops without a word, and when it
 * hangs up.
 */
import { randomBytes } from 'node:crypto'
import { Value } from '@sinclair/typebox/value'
import { isObject, type JsonObject } from '../protocols/frame.js'
import { Caller, type CallerOptions, type Spoken } from './caller.js'
import { Reply, wordsOf, type ReplyAction } from './reply.js'
import { retellAccepts } from './retell-frames.js'
import type { DialTarget } from './target.js'

/** The address that Retell calls from. */
const RETELL_ADDRESS = '100.20.5.228'

const KEEPALIVE_MS = 2_000
const WATCHDOG_MS = 5_000

/** Without a begin message an agent says nothing, for as long as the call lasts. */
const BEGIN_TIMEOUT_MS = 7_000

const MAX_RECONNECTS = { keepalive: 2, abnormal: 4 } as const

// Close codes.
const NORMAL = 1000
const NO_CODE = 1005
const ABNORMAL = 1006
const BINARY = 1007

const MS_PER_WORD = 300

/** Options of {@link RetellCaller.dial}. */
export interface RetellCallerOptions extends CallerOptions {
  /** Of the route of an app. Default `/llm-websocket`. */
  path?: string
  /** Default a made-up one. */
  callId?: string
  /** Default `phone_call`. */
  callType?: 'phone_call' | 'web_call'
  /** Of phone calls. Default +14155550101. */
  from?: string
  /** Of phone calls. Default +14155550199. */
  to?: string
  /** Of phone calls. Default `inbound`. */
  direction?: 'inbound' | 'outbound'
  /** Default `{}`. */
  metadata?: Record<string, unknown>
  /** Dynamic variables. Default `{}`. */
  variables?: Record<string, string>
}

/** A call that Retell would place. */
export class RetellCaller extends Caller {
  readonly callId: string
  /** Digits that the agent pressed. */
  digits = ''
  /** What the server sent for the front end of a web call. */
  readonly metadata: unknown[] = []
  readonly #options: RetellCallerOptions
  #config: JsonObject = {}
  #isFirst = true
  #lastId = 0
  #keepalive: unknown
  #watchdog: unknown
  #beginTimer: unknown
  #reconnects = { keepalive: 0, abnormal: 0 }
  #isGreeted = false
  #interruptId: number | undefined
  readonly #pings = new Set<number>()
  #lastPing = 0

  /**
   * Places a call, and resolves once the agent has said its begin message, or the caller may speak first.
   * @throws DialError when the server refuses; NoReplyError when it has no begin message
   */
  static async dial (target: DialTarget, options: RetellCallerOptions = {}): Promise<RetellCaller> {
    const call = new RetellCaller(target, options)
    const greeting = call.begin(0, 'greeting')
    await call.#open()
    await call.hear(greeting)
    return call
  }

  private constructor (target: DialTarget, options: RetellCallerOptions) {
    const { callId = `call_${randomBytes(14).toString('hex').slice(1)}`, path = '/llm-websocket' } = options
    super(target, `${typeof target === 'string' ? '' : path}/${callId}`, RETELL_ADDRESS, options)
    this.callId = callId
    this.#options = options
  }

  /** The caller says nothing until they are reminded. Resolves with what the agent says then. */
  async silence (): Promise<Reply> {
    this.assertLive()
    return await this.hear(this.#ask('reminder_required'))
  }

  /** The connection breaks. Resolves once Retell has dialled again, and what streamed was asked for again. */
  async drop (): Promise<void> {
    this.assertLive()
    this.breakOff()
    await this.#reconnect('abnormal')
  }

  async #open (): Promise<void> {
    this.#isFirst = true
    this.#config = {}
    await this.connect()
    if (this.#isGreeted) return
    this.#beginTimer = this.clock.setTimeout(() => {
      this.found('no-begin-message', `no response with id 0 within ${BEGIN_TIMEOUT_MS} ms: the agent stays mute`)
    }, BEGIN_TIMEOUT_MS)
  }

  protected override request (text: string): Reply {
    const words = wordsOf(text)
    // Recognised word by word; the first half stands for all that comes on the way.
    this.#update([{ role: 'user', content: words.slice(0, Math.ceil(words.length / 2)).join('') }], 'user_turn')
    return this.#ask('response_required')
  }

  #ask (kind: 'response_required' | 'reminder_required'): Reply {
    const id = ++this.#lastId
    this.send({ interaction_type: kind, response_id: id, ...this.#transcripts(this.transcript) })
    this.requested()
    return this.begin(id, kind === 'response_required' ? 'response' : 'reminder')
  }

  protected override talkOver (reply: Reply, heard: string): void {
    this.over(reply, 'interrupted', heard)
    // Discarded in silence.
    reply.action = undefined
  }

  #update (more: Spoken[], turntaking?: 'user_turn' | 'agent_turn'): void {
    // What is being said replaces what was put on record of it ahead of time.
    const before = more.length > 0 ? this.transcript.slice(0, -1) : this.transcript
    this.send({ interaction_type: 'update_only', ...this.#transcripts([...before, ...more]), ...(turntaking !== undefined && { turntaking }) })
  }

  #transcripts (spoken: readonly Spoken[]): JsonObject {
    let said = 0
    const transcript = spoken.map(({ role, content }) => ({
      role,
      content,
      words: wordsOf(content).map(word => {
        const start = said++
        return { word: word.trim(), start: start * MS_PER_WORD / 1000, end: said * MS_PER_WORD / 1000 }
      })
    }))
    if (this.#config['transcript_with_tool_calls'] !== true) return { transcript }
    const tools = this.tools.flatMap(({ id, name, arguments: args, result, successful }) => [
      { role: 'tool_call_invocation', tool_call_id: id, name, arguments: args },
      ...(result === undefined ? [] : [{ role: 'tool_call_result', tool_call_id: id, content: result, ...(successful !== undefined && { successful }) }])
    ])
    const last = transcript.length - (transcript.at(-1)?.role === 'user' ? 1 : 0)
    return { transcript, transcript_with_tool_calls: [...transcript.slice(0, last), ...tools, ...transcript.slice(last)] }
  }

  #ping (): void {
    const timestamp = this.#lastPing = Math.max(Date.now(), this.#lastPing + 1)
    this.#pings.add(timestamp)
    this.send({ interaction_type: 'ping_pong', timestamp })
    this.#watchdog ??= this.clock.setTimeout(() => void this.#reconnect('keepalive'), WATCHDOG_MS) // eslint-disable-line no-void
  }

  #beat (): void {
    this.#keepalive = this.clock.setTimeout(() => {
      this.#ping()
      this.#beat()
    }, KEEPALIVE_MS)
  }

  // What the server says

  protected override receive (frame: unknown, binary: boolean): void {
    const isFirst = this.#isFirst
    this.#isFirst = false
    if (binary) {
      this.found('binary-frame', 'Retell closes with 1007, and the call ends as error_llm_websocket_corrupt_payload')
      this.finish({ by: 'fault', reason: 'error_llm_websocket_corrupt_payload' })
      return this.close(BINARY)
    }
    if (!isObject(frame)) return this.found('not-json', 'Retell drops what is no JSON object', frame)
    const { response_type: type = 'response' } = frame
    if (frame['response_type'] === undefined) this.found('no-response-type', 'taken as a response, as in 2024', frame)
    if (!Object.hasOwn(retellAccepts, String(type))) return this.found('unknown-response-type', 'Retell drops it', frame)
    const error = Value.Errors(retellAccepts[type as keyof typeof retellAccepts], frame).First()
    if (error !== undefined) return this.found('malformed', `${String(type)}${error.path}: ${error.message}; Retell drops the frame`, frame)
    switch (type) {
      case 'config':
        return this.#configured(frame, isFirst)
      case 'ping_pong':
        return this.#ponged(frame['timestamp'] as number)
      case 'response':
        return this.#responded(frame)
      case 'agent_interrupt':
        return this.#interjected(frame)
      case 'tool_call_invocation':
      case 'tool_call_result':
        return this.#recorded(frame)
      case 'metadata':
        this.metadata.push(frame['metadata'])
        if (this.#options.callType !== 'web_call') this.found('metadata-on-phone-call', 'there is no front end that could read it', frame)
    }
  }

  #configured (frame: JsonObject, isFirst: boolean): void {
    if (!isFirst) this.found('late-config', 'config must be the first frame', frame)
    this.#config = frame['config'] as JsonObject
    if (this.#config['call_details'] === true) this.send({ interaction_type: 'call_details', call: this.#details() })
    if (this.#config['auto_reconnect'] === true) this.#beat()
  }

  #details (): object {
    const { callType = 'phone_call', from = '+14155550101', to = '+14155550199', direction = 'inbound', metadata = {}, variables = {} } = this.#options
    return {
      call_type: callType,
      call_id: this.callId,
      agent_id: 'agent_test',
      agent_version: 1,
      ...(this.#isGreeted ? { call_status: 'ongoing', start_timestamp: Date.now() - Math.round(this.now()) - 60_000 } : { call_status: 'registered' }),
      ...(callType === 'phone_call' && { direction, from_number: from, to_number: to }),
      metadata,
      retell_llm_dynamic_variables: variables
    }
  }

  #ponged (timestamp: number): void {
    if (!this.#pings.delete(timestamp)) return this.found('wrong-timestamp', 'no keep-alive had this timestamp', { timestamp })
    this.clock.clearTimeout(this.#watchdog as never)
    this.#watchdog = undefined
  }

  #responded (frame: JsonObject): void {
    const id = frame['response_id'] as number
    const reply = this.replies.findLast(reply => reply.id === id)
    if (id === 0 && this.#isGreeted && !reply!.isLive) {
      // After it dialled again Retell may want one more, but nobody wants to hear it.
      if (frame['content'] !== '') this.found('second-greeting', 'the caller is greeted in mid-call', frame)
      return
    }
    if (reply === undefined) return this.found('unasked-response', 'Retell never asked with this id, and drops it', frame)
    if (reply !== this.reply) {
      if (this.wasRead) this.found('stale-response', 'a newer request was read before: Retell drops it', frame)
      return
    }
    if (!reply.isLive) {
      if (reply.outcome === 'completed') this.found('after-completion', 'this response was completed: Retell drops it', frame)
      return
    }
    reply.add(frame['content'] as string)
    const action = actionOf(frame)
    if (action !== undefined) {
      if (frame['content'] === '' && reply.text !== '' && action.type !== 'press-digits') this.found('bare-action', 'an action on an empty frame behind words is known to get lost', frame)
      reply.action ??= action
    }
    if (frame['content_complete'] === true) this.#completed(reply)
  }

  #completed (reply: Reply): void {
    this.#isGreeted = true
    this.clock.clearTimeout(this.#beginTimer as never)
    this.over(reply, 'completed')
    if (reply.action?.type === 'press-digits') this.digits += reply.action.digits
    if (reply.action !== undefined) return this.carryOut(reply.action)
    if (reply.text.trim() !== '') this.#update([], 'agent_turn')
  }

  // It voids what is being said.
  #interjected (frame: JsonObject): void {
    const id = frame['interrupt_id'] as number
    const live = this.reply
    if (live?.isLive === true) this.over(live, 'interrupted')
    if (id !== this.#interruptId) this.transcript.push({ role: 'agent', content: '' })
    this.#interruptId = id
    const index = this.transcript.findLastIndex(({ role }) => role === 'agent')
    this.transcript[index] = { role: 'agent', content: this.transcript[index]!.content + String(frame['content']) }
    const action = actionOf(frame)
    if (frame['content_complete'] === true && action !== undefined) this.carryOut(action)
  }

  #recorded (frame: JsonObject): void {
    const id = frame['tool_call_id'] as string
    const index = this.tools.findIndex(tool => tool.id === id)
    if (frame['response_type'] === 'tool_call_invocation') {
      if (index !== -1) return this.found('repeated-tool-call', 'ids of tool calls must be unique', frame)
      this.tools.push({ id, name: frame['name'] as string, arguments: frame['arguments'] as string })
      try {
        if (isObject(JSON.parse(frame['arguments'] as string))) return
      } catch {}
      return this.found('tool-arguments', 'arguments must be a JSON object in a string', frame)
    }
    if (index === -1) return this.found('orphaned-tool-result', 'no tool was called with this id', frame)
    this.tools[index] = { ...this.tools[index]!, result: frame['content'] as string, ...(frame['successful'] !== undefined && { successful: frame['successful'] as boolean }) }
  }

  // What becomes of the connection

  protected override closed (code: number): void {
    this.stop()
    if (code === ABNORMAL) return void this.#reconnect('abnormal') // eslint-disable-line no-void
    if (code === NORMAL) return this.finish({ by: 'agent', reason: 'agent_hangup' })
    this.found('closed', `closed with ${code}: the call ends`)
    this.finish({ by: 'fault', reason: code === NO_CODE ? 'error_llm_websocket_open' : 'error_llm_websocket_runtime' })
  }

  // Never rejects.
  async #reconnect (why: keyof typeof MAX_RECONNECTS): Promise<void> {
    this.stop()
    if (why === 'keepalive') this.found('no-keepalive', `no answer to a keep-alive within ${WATCHDOG_MS} ms: Retell dials again`)
    this.breakOff()
    try {
      if (++this.#reconnects[why] > MAX_RECONNECTS[why]) throw new Error('too often')
      await this.#open()
    } catch {
      return this.finish({ by: 'fault', reason: why === 'keepalive' ? 'error_llm_websocket_lost_connection' : 'error_llm_websocket_runtime' })
    }
    const lost = this.reply!
    // Nobody will answer any more what was asked before.
    if (lost.isLive && lost.reason !== 'greeting') this.#ask(lost.reason === 'reminder' ? 'reminder_required' : 'response_required')
  }

  protected override stop (): void {
    for (const timer of [this.#keepalive, this.#watchdog, this.#beginTimer]) this.clock.clearTimeout(timer as never)
    this.#watchdog = undefined
    this.#pings.clear()
  }
}

function actionOf (frame: JsonObject): ReplyAction | undefined {
  if (frame['end_call'] === true) return { type: 'end-call' }
  if (typeof frame['transfer_number'] === 'string') return { type: 'transfer-call', destination: frame['transfer_number'] }
  if (typeof frame['digit_to_press'] === 'string') return { type: 'press-digits', digits: frame['digit_to_press'] }
  return undefined
}
