/**
 * Retell's side of a call, as docs.retellai.com describes it: what it sends, what it drops without a word, and when it
 * hangs up.
 */
import { randomBytes } from 'node:crypto'
import { checkNames } from '../../contract/option-names.js'
import { isObject, type JsonObject } from '../../contract/json.js'
import { Caller, NORMAL, type Spoken, type ToolRecord } from '../caller.js'
import { firstHalf, wordsOf, type Reply, type ReplyAction } from '../reply.js'
import { retellAccepts } from './frames.js'
import { RETELL_OPTIONS, RETELL_ROUTE, type RetellCallerOptions } from './options.js'
import type { DialTarget } from '../target.js'

/** The address that Retell calls from. */
const RETELL_ADDRESS = '100.20.5.228'

const KEEPALIVE_MS = 2_000
const WATCHDOG_MS = 5_000

/** Without a begin message an agent says nothing, for as long as the call lasts. */
const BEGIN_TIMEOUT_MS = 7_000

const MAX_RECONNECTS = { keepalive: 2, abnormal: 4 } as const

// Close codes.
const NO_CODE = 1005
const ABNORMAL = 1006
const BINARY = 1007

const MS_PER_WORD = 300

/** A call that Retell would place. */
export class RetellCaller extends Caller {
  readonly callId: string
  get id (): string { return this.callId }
  /** Digits that the agent pressed. */
  digits = ''
  /** What the server sent for the front end of a web call. */
  readonly metadata: unknown[] = []
  /** What the server made different for this call. */
  agentConfig: JsonObject = {}
  readonly #options: RetellCallerOptions
  #config: JsonObject = {}
  #isFirst = true
  #lastId = 0
  #keepalive: unknown
  #watchdog: unknown
  #beginTimer: unknown
  #reconnects = { keepalive: 0, abnormal: 0 }
  #isGreeted = false
  #reminders = 0
  /** Tool calls and results, where they belong in the transcript: behind so many utterances, and behind that of a reply. */
  readonly #records: Array<{ readonly entry: object, readonly place: number, readonly reply: Reply | undefined }> = []
  readonly #pings = new Set<number>()
  #lastPing = 0

  /**
   * Places a call, and resolves once the agent has said its begin message, or the caller may speak first.
   * @throws DialError when the server refuses; NoReplyError when it has no begin message
   */
  static async dial (target: DialTarget, options: RetellCallerOptions = {}): Promise<RetellCaller> {
    const call = await RetellCaller.place(target, options)
    await call.hear(call.reply!)
    return call
  }

  /**
   * Places a call, and resolves once it is answered: the greeting is its first reply, and grows.
   * @throws DialError when the server refuses
   */
  static async place (target: DialTarget, options: RetellCallerOptions = {}): Promise<RetellCaller> {
    checkNames('RetellCaller', options, RETELL_OPTIONS)
    const call = new RetellCaller(target, options)
    call.begin(0, 'greeting')
    await call.connectFirst(() => call.#open())
    return call
  }

  private constructor (target: DialTarget, options: RetellCallerOptions) {
    const { callId = `call_${randomBytes(14).toString('hex').slice(1)}`, path = RETELL_ROUTE.path } = options
    super(target, `${typeof target === 'string' ? '' : path}/${callId}`, RETELL_ADDRESS, RETELL_ROUTE, options)
    this.callId = callId
    this.#options = options
  }

  /** The caller says nothing until they are reminded. Resolves with what the agent says then. */
  async silence (): Promise<Reply> {
    return await this.hear(this.remind())
  }

  /**
   * The same, without waiting for the reply, which grows.
   * @throws Error where Retell would not: while the agent speaks, and after as many reminders as the agent wants
   */
  remind (): Reply {
    this.assertLive()
    if (this.reply?.isOver === false) throw new Error('the agent is not silent')
    const { reminder_max_count: max } = this.agentConfig
    if (typeof max === 'number' && this.#reminders >= max) throw new Error(`the agent wants no more than ${max} reminders`)
    this.#reminders++
    return this.#ask('reminder_required')
  }

  async #open (): Promise<void> {
    this.#isFirst = true
    this.#config = {}
    await this.connect()
    if (this.#isGreeted || this.end !== undefined) return
    this.#beginTimer = this.clock.setTimeout(() => {
      this.found('no-begin-message', `no response with id 0 within ${BEGIN_TIMEOUT_MS} ms: the agent stays mute`)
    }, BEGIN_TIMEOUT_MS)
  }

  protected override request (text: string): Reply {
    this.#reminders = 0
    this.#update([{ role: 'user', content: firstHalf(text) }], 'user_turn')
    return this.#ask('response_required')
  }

  #ask (kind: 'response_required' | 'reminder_required'): Reply {
    const id = ++this.#lastId
    this.send({ interaction_type: kind, response_id: id, ...this.#transcripts(this.transcript) })
    this.requested()
    return this.begin(id, kind === 'response_required' ? 'response' : 'reminder')
  }

  // Nobody is told: the next transcript shows it.
  protected override talkedOver (): void {}

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
    // Between the words that were said before and those that were said after.
    const woven: object[] = [...transcript]
    for (const { entry, place, reply } of this.#records.toReversed()) {
      const isBehindWords = reply?.heard?.trim()
      woven.splice(place + (isBehindWords ? 1 : 0), 0, entry)
    }
    return { transcript, transcript_with_tool_calls: woven }
  }

  #weave (entry: object): void {
    const { reply } = this
    const isSpeaking = reply?.isOver === false && reply.text.trim() !== ''
    this.#records.push({ entry, place: this.transcript.length, reply: isSpeaking ? reply : undefined })
  }

  #ping (): void {
    const timestamp = this.#lastPing = Math.max(Date.now(), this.#lastPing + 1)
    this.#pings.add(timestamp)
    this.send({ interaction_type: 'ping_pong', timestamp })
    this.#watchdog ??= this.clock.setTimeout(() => void this.redial(() => this.#reconnect('keepalive')), WATCHDOG_MS) // eslint-disable-line no-void
  }

  #beat (): void {
    this.clock.clearTimeout(this.#keepalive as never)
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
    if (!this.takes(retellAccepts, type, frame)) return
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
        return
      case 'update_agent':
        this.agentConfig = { ...this.agentConfig, ...(frame['agent_config'] as JsonObject) }
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
      ...(this.#isGreeted ? { call_status: 'ongoing', start_timestamp: Date.now() - Math.round(this.elapsedMs) - 60_000 } : { call_status: 'registered' }),
      ...(callType === 'phone_call' && { direction, from_number: from, to_number: to }),
      metadata,
      retell_llm_dynamic_variables: variables
    }
  }

  #ponged (timestamp: number): void {
    if (!this.#pings.delete(timestamp)) this.found('wrong-timestamp', 'Retell tells the round trip from its own timestamp, which this is not', { timestamp })
    this.clock.clearTimeout(this.#watchdog as never)
    this.#watchdog = undefined
  }

  #responded (frame: JsonObject): void {
    const id = frame['response_id'] as number
    const reply = this.replies.findLast(reply => reply.id === id && reply.reason !== 'interjection')
    if (id === 0) this.clock.clearTimeout(this.#beginTimer as never)
    if (id === 0 && this.#isGreeted && !reply!.isLive) {
      // After it dialled again Retell may want one more, but nobody wants to hear it.
      if (frame['content'] !== '') this.found('second-greeting', 'the caller is greeted in mid-call', frame)
      return
    }
    if (reply === undefined) return this.found('unasked-response', 'Retell never asked with this id, and drops it', frame)
    this.#spoke(reply, frame)
  }

  #spoke (reply: Reply, frame: JsonObject): void {
    const words = reply.text
    if (!this.hears(reply, frame['content'] as string, frame)) return
    reply.isUninterruptible = frame['no_interruption_allowed'] === true
    const actions = actionsOf(frame)
    const [action] = actions
    if (actions.length > 1 || (action !== undefined && reply.action !== undefined && action.type !== reply.action.type)) {
      this.found('several-actions', 'a reply has one action: of several the end of the call wins, then the transfer', frame)
    }
    if (action?.type === 'transfer-call' && reply.action === undefined && words !== '' && frame['content'] === '') {
      this.found('bare-action', 'a transfer that comes on an empty frame behind words is known to get lost', frame)
    }
    reply.action = [...actions, ...reply.action === undefined ? [] : [reply.action]].toSorted((a, b) => ACTIONS.indexOf(a.type) - ACTIONS.indexOf(b.type))[0]
    if (frame['content_complete'] !== true) return
    if (reply.id === 0) this.#isGreeted = true
    this.completed(reply)
  }

  protected override played (reply: Reply): void {
    if (reply.action?.type === 'press-digits') this.digits += reply.action.digits
    if (reply.action !== undefined) return this.carryOut(reply.action)
    if (reply.text.trim() !== '') this.#update([], 'agent_turn')
  }

  // It voids what is being said.
  #interjected (frame: JsonObject): void {
    const id = frame['interrupt_id'] as number
    const known = this.replies.findLast(reply => reply.id === id && reply.reason === 'interjection')
    if (known !== undefined) return this.#spoke(known, frame)
    const { reply } = this
    if (reply?.isOver === false) this.cutOff(reply, 'interrupted')
    this.#spoke(this.begin(id, 'interjection'), frame)
  }

  #recorded (frame: JsonObject): void {
    const id = frame['tool_call_id'] as string
    const index = this.tools.findIndex(tool => tool.id === id)
    if (frame['response_type'] === 'tool_call_invocation') {
      if (index !== -1) return this.found('repeated-tool-call', 'ids of tool calls must be unique', frame)
      const { name, arguments: args } = frame as unknown as ToolRecord
      this.tools.push({ id, name, arguments: args })
      this.#weave({ role: 'tool_call_invocation', tool_call_id: id, name, arguments: args })
      try {
        if (isObject(JSON.parse(args))) return
      } catch {}
      return this.found('tool-arguments', 'arguments must be a JSON object in a string', frame)
    }
    if (index === -1) return this.found('orphaned-tool-result', 'no tool was called with this id', frame)
    if (this.tools[index]!.result !== undefined) return this.found('repeated-tool-result', 'a tool call has one result', frame)
    const content = frame['content'] as string
    const outcome = typeof frame['successful'] === 'boolean' && { successful: frame['successful'] }
    this.tools[index] = { ...this.tools[index]!, result: content, ...outcome }
    this.#weave({ role: 'tool_call_result', tool_call_id: id, content, ...outcome })
  }

  // What becomes of the connection

  protected override closed (code: number): void {
    this.stop()
    if (code === ABNORMAL) {
      this.found('broken-connection', 'the connection broke: Retell dials again, four times at most')
      return void this.redial(() => this.#reconnect('abnormal')) // eslint-disable-line no-void
    }
    if (code === NORMAL) return this.finish({ by: 'agent', reason: 'agent_hangup' })
    this.found('closed', `closed with ${code}: the call ends`)
    this.finish({ by: 'fault', reason: code === NO_CODE ? 'error_llm_websocket_open' : 'error_llm_websocket_runtime' })
  }

  protected override async droppedLine (): Promise<void> {
    await this.#reconnect('abnormal')
  }

  // Never rejects.
  async #reconnect (why: keyof typeof MAX_RECONNECTS): Promise<void> {
    this.stop()
    if (why === 'keepalive') this.found('no-keepalive', `no answer to a keep-alive within ${WATCHDOG_MS} ms: Retell dials again`)
    if (++this.#reconnects[why] > MAX_RECONNECTS[why]) {
      return this.finish({ by: 'fault', reason: why === 'keepalive' ? 'error_llm_websocket_lost_connection' : 'error_llm_websocket_runtime' })
    }
    const { reply: lost } = this
    if (lost?.reason === 'greeting' && lost.isLive) {
      this.cutOff(lost, 'lost')
      this.begin(0, 'greeting')
    }
    try {
      await this.#open()
    } catch (error) {
      this.found('unreachable', `the call ends, as it cannot be dialled again: ${(error as Error).message}`)
      return this.finish({ by: 'fault', reason: 'error_llm_websocket_lost_connection' })
    }
    // What it wants to be told comes first.
    if (!await this.isAnswered()) return
    // Nobody will answer any more what was asked before.
    if (this.flush() || lost === undefined || !lost.isLive || lost.reason === 'greeting') return
    this.cutOff(lost, 'lost')
    if (lost.reason !== 'interjection') this.#ask(lost.reason === 'reminder' ? 'reminder_required' : 'response_required')
  }

  protected override stop (): void {
    for (const timer of [this.#keepalive, this.#watchdog, this.#beginTimer]) this.clock.clearTimeout(timer as never)
    this.#watchdog = undefined
    this.#pings.clear()
  }
}

// Of several the first wins.
const ACTIONS: ReadonlyArray<ReplyAction['type']> = ['end-call', 'transfer-call', 'press-digits']

function actionsOf ({ end_call: end, transfer_number: destination, digit_to_press: digits }: JsonObject): ReplyAction[] {
  return [
    ...end === true ? [{ type: 'end-call' } as const] : [],
    ...typeof destination === 'string' && destination !== '' ? [{ type: 'transfer-call', destination } as const] : [],
    ...typeof digits === 'string' && digits !== '' ? [{ type: 'press-digits', digits } as const] : []
  ]
}
