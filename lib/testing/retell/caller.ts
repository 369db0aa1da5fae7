/**
 * Retell's side of a call, as docs.retellai.com describes it: the frames that it sends, those that it drops silently, and when
 * it hangs up.
 */
import { randomBytes } from 'node:crypto'
import { checkNames } from '../../contract/option-names.js'
import { isObject, type JsonObject } from '../../contract/json.js'
import { Caller } from '../caller.js'
import type { Spoken } from '../caller-events.js'
import { NORMAL } from '../line.js'
import { firstHalf, type Reply } from '../reply.js'
import { actionsOf, preferred } from './actions.js'
import { callDetails } from './call-details.js'
import { retellAccepts } from './frames.js'
import { Keepalive, WATCHDOG_MS } from './keepalive.js'
import { RETELL_OPTIONS, RETELL_ROUTE, type RetellCallerOptions } from './options.js'
import { recordTool } from './tool-frames.js'
import { ToolEntries, toUtterances } from './transcript.js'
import type { DialTarget } from '../target.js'

/** The address that Retell calls from. */
const RETELL_ADDRESS = '100.20.5.228'

/** Without a begin message the agent stays mute for the whole call. */
const BEGIN_TIMEOUT_MS = 7_000

const MAX_RECONNECTS = { keepalive: 2, abnormal: 4 } as const

// Close codes.
const NO_CODE = 1005
const ABNORMAL = 1006
const BINARY = 1007

/** A call as Retell places it. */
export class RetellCaller extends Caller {
  readonly callId: string
  get id (): string { return this.callId }
  /** Digits that the agent pressed. */
  digits = ''
  /** Metadata that the server sent for the front end of a web call. */
  readonly metadata: unknown[] = []
  /** Settings of the agent that the server changed for this call. */
  agentConfig: JsonObject = {}
  readonly #options: RetellCallerOptions
  #config: JsonObject = {}
  #isFirst = true
  #lastId = 0
  readonly #keepalive: Keepalive
  #beginTimer: unknown
  #reconnects = { keepalive: 0, abnormal: 0 }
  #isGreeted = false
  #reminders = 0
  readonly #toolEntries = new ToolEntries()

  /**
   * Places a call. Resolves when the begin message was spoken, or is empty so that the caller speaks first.
   * @throws DialError when the server refuses; NoReplyError when it sends no begin message
   */
  static async dial (target: DialTarget, options: RetellCallerOptions = {}): Promise<RetellCaller> {
    const call = await RetellCaller.place(target, options)
    await call.hear(call.reply!)
    return call
  }

  /**
   * Places a call. Resolves when it is answered; the greeting is its first reply, which may still stream.
   * @throws DialError when the server refuses
   */
  static async place (target: DialTarget, options: RetellCallerOptions = {}): Promise<RetellCaller> {
    checkNames('RetellCaller', options, RETELL_OPTIONS)
    const call = new RetellCaller(target, options)
    call.begin(0, 'greeting')
    await call.line.connectFirst(() => call.#open())
    return call
  }

  private constructor (target: DialTarget, options: RetellCallerOptions) {
    const { callId = `call_${randomBytes(14).toString('hex').slice(1)}`, path = RETELL_ROUTE.path } = options
    super(target, `${typeof target === 'string' ? '' : path}/${callId}`, RETELL_ADDRESS, RETELL_ROUTE, options)
    this.callId = callId
    this.#options = options
    this.#keepalive = new Keepalive(
      this.clock,
      timestamp => this.line.send({ interaction_type: 'ping_pong', timestamp }),
      () => void this.line.redial(() => this.#reconnect('keepalive')) // eslint-disable-line no-void
    )
  }

  /** Stays silent until the agent sends a reminder. Resolves with the reminder. */
  async silence (): Promise<Reply> {
    return await this.hear(this.remind())
  }

  /**
   * As {@link RetellCaller.silence}, but returns the reply at once, while it streams.
   * @throws Error when Retell would not remind: while the agent speaks, and after the agent's maximum of reminders
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
    await this.line.connect()
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
    this.line.send({ interaction_type: kind, response_id: id, ...this.#transcripts(this.transcript) })
    this.line.requested()
    return this.begin(id, kind === 'response_required' ? 'response' : 'reminder')
  }

  // Retell sends no frame for this; the next transcript shows it.
  protected override talkedOver (): void {}

  #update (more: Spoken[], turntaking?: 'user_turn' | 'agent_turn'): void {
    // The partial utterance replaces the whole one, which is in the transcript ahead of time.
    const before = more.length > 0 ? this.transcript.slice(0, -1) : this.transcript
    const transcripts = this.#transcripts([...before, ...more])
    this.line.send({ interaction_type: 'update_only', ...transcripts, ...(turntaking !== undefined && { turntaking }) })
  }

  #transcripts (spoken: readonly Spoken[]): JsonObject {
    const transcript = toUtterances(spoken)
    if (this.#config['transcript_with_tool_calls'] !== true) return { transcript }
    return { transcript, transcript_with_tool_calls: this.#toolEntries.insertInto(transcript) }
  }

  // Frames of the server

  protected override receive (frame: unknown, binary: boolean): void {
    const isFirst = this.#isFirst
    this.#isFirst = false
    if (binary) {
      this.found('binary-frame', 'Retell closes with 1007, and the call ends as error_llm_websocket_corrupt_payload')
      this.finish({ by: 'fault', reason: 'error_llm_websocket_corrupt_payload' })
      return this.line.close(BINARY)
    }
    if (!isObject(frame)) return this.found('not-json', 'Retell drops frames that are not JSON objects', frame)
    const { response_type: type = 'response' } = frame
    if (frame['response_type'] === undefined) this.found('no-response-type', 'taken as a response, as in 2024', frame)
    if (!this.takes(retellAccepts, type, frame)) return
    switch (type) {
      case 'config':
        return this.#configured(frame, isFirst)
      case 'ping_pong':
        if (this.#keepalive.answered(frame['timestamp'] as number)) return
        return this.found('wrong-timestamp', 'Retell computes the round trip from its own timestamp, which this is not', frame)
      case 'response':
        return this.#responded(frame)
      case 'agent_interrupt':
        return this.#interjected(frame)
      case 'tool_call_invocation':
      case 'tool_call_result':
        return this.#recorded(frame)
      case 'metadata':
        this.metadata.push(frame['metadata'])
        if (this.#options.callType === 'web_call') return
        return this.found('metadata-on-phone-call', 'a phone call has no front end that could read it', frame)
      case 'update_agent':
        this.agentConfig = { ...this.agentConfig, ...(frame['agent_config'] as JsonObject) }
    }
  }

  #configured (frame: JsonObject, isFirst: boolean): void {
    if (!isFirst) this.found('late-config', 'config must be the first frame', frame)
    this.#config = frame['config'] as JsonObject
    if (this.#config['call_details'] === true) {
      const call = callDetails(this.callId, this.#options, this.#isGreeted ? this.elapsedMs : undefined)
      this.line.send({ interaction_type: 'call_details', call })
    }
    if (this.#config['auto_reconnect'] === true) this.#keepalive.start()
  }

  #responded (frame: JsonObject): void {
    const id = frame['response_id'] as number
    const reply = this.replies.findLast(reply => reply.id === id && reply.reason !== 'interjection')
    if (id === 0) this.clock.clearTimeout(this.#beginTimer as never)
    if (id === 0 && this.#isGreeted && !reply!.isLive) {
      // After a reconnect the server may send another begin message, which must be empty.
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
      this.found('several-actions', 'a reply has one action: an end of the call wins, then a transfer', frame)
    }
    if (action?.type === 'transfer-call' && reply.action === undefined && words !== '' && frame['content'] === '') {
      this.found('bare-action', 'Retell is known to lose a transfer in an empty frame after words', frame)
    }
    reply.action = preferred([...actions, ...reply.action === undefined ? [] : [reply.action]])
    if (frame['content_complete'] !== true) return
    if (reply.id === 0) this.#isGreeted = true
    this.completed(reply)
  }

  protected override played (reply: Reply): void {
    if (reply.action?.type === 'press-digits') this.digits += reply.action.digits
    if (reply.action !== undefined) return this.carryOut(reply.action)
    if (reply.text.trim() !== '') this.#update([], 'agent_turn')
  }

  // An interjection cuts off the current reply.
  #interjected (frame: JsonObject): void {
    const id = frame['interrupt_id'] as number
    const known = this.replies.findLast(reply => reply.id === id && reply.reason === 'interjection')
    if (known !== undefined) return this.#spoke(known, frame)
    const { reply } = this
    if (reply?.isOver === false) this.cutOff(reply, 'interrupted')
    this.#spoke(this.begin(id, 'interjection'), frame)
  }

  #recorded (frame: JsonObject): void {
    const { entry, flaw } = recordTool(frame, this.tools)
    if (entry !== undefined) this.#toolEntries.add(entry, this.transcript.length, this.reply)
    if (flaw !== undefined) this.found(flaw.code, flaw.message, frame)
  }

  // The connection

  protected override closed (code: number): void {
    this.stop()
    if (code === ABNORMAL) {
      this.found('broken-connection', 'the connection broke: Retell reconnects, four times at most')
      return void this.line.redial(() => this.#reconnect('abnormal')) // eslint-disable-line no-void
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
    if (why === 'keepalive') this.found('no-keepalive', `no answer to a keep-alive within ${WATCHDOG_MS} ms: Retell reconnects`)
    if (++this.#reconnects[why] > MAX_RECONNECTS[why]) {
      const reason = why === 'keepalive' ? 'error_llm_websocket_lost_connection' : 'error_llm_websocket_runtime'
      return this.finish({ by: 'fault', reason })
    }
    const { reply: lost } = this
    if (lost?.reason === 'greeting' && lost.isLive) {
      this.cutOff(lost, 'lost')
      this.begin(0, 'greeting')
    }
    try {
      await this.#open()
    } catch (error) {
      this.found('unreachable', `the call ends because the reconnect failed: ${(error as Error).message}`)
      return this.finish({ by: 'fault', reason: 'error_llm_websocket_lost_connection' })
    }
    // The server's config, and the frames that it asks for, come first.
    if (!await this.line.isAnswered()) return
    // The server does not answer requests of the lost connection.
    if (this.line.flush() || lost === undefined || !lost.isLive || lost.reason === 'greeting') return
    this.cutOff(lost, 'lost')
    if (lost.reason !== 'interjection') this.#ask(lost.reason === 'reminder' ? 'reminder_required' : 'response_required')
  }

  protected override stop (): void {
    this.#keepalive.stop()
    this.clock.clearTimeout(this.#beginTimer as never)
  }
}
