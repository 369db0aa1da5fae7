/**
 * Millis' side of a call, as its documentation and existing servers describe it.
 */
import { randomUUID } from 'node:crypto'
import { checkNames } from '../../contract/option-names.js'
import { isObject, type JsonObject } from '../../contract/json.js'
import { Caller } from '../caller.js'
import { NORMAL } from '../line.js'
import { millisAccepts } from './frames.js'
import { MILLIS_OPTIONS, MILLIS_ROUTE, type MillisCallerOptions } from './options.js'
import { firstHalf, type Reply } from '../reply.js'
import type { DialTarget } from '../target.js'

/** A call as Millis places it. */
export class MillisCaller extends Caller {
  readonly sessionId: string
  get id (): string { return this.sessionId }
  readonly #options: MillisCallerOptions
  #nextId: number
  #isStarted = false
  #redials: number
  /** Ids of greetings after a reconnect, which must be empty. */
  readonly #silentIds = new Set<number>()

  /**
   * Places a call. Resolves when the greeting was spoken, or is empty.
   * @throws DialError when the server refuses; NoReplyError when it does not answer `start_call`
   */
  static async dial (target: DialTarget, options: MillisCallerOptions = {}): Promise<MillisCaller> {
    const call = await MillisCaller.place(target, options)
    if (call.reply !== undefined) await call.hear(call.reply)
    return call
  }

  /**
   * Places a call. Resolves when it is answered; the greeting, if any, is its first reply, which may still stream.
   * @throws DialError when the server refuses
   */
  static async place (target: DialTarget, options: MillisCallerOptions = {}): Promise<MillisCaller> {
    checkNames('MillisCaller', options, MILLIS_OPTIONS)
    const call = new MillisCaller(target, options)
    await call.line.connectFirst(() => call.#open())
    return call
  }

  private constructor (target: DialTarget, options: MillisCallerOptions) {
    const { path = MILLIS_ROUTE.path, sessionId = randomUUID(), firstStreamId = 4, redials = 0 } = options
    super(target, typeof target === 'string' ? '' : path, '127.0.0.1', MILLIS_ROUTE, options)
    this.sessionId = sessionId
    this.#options = options
    this.#nextId = firstStreamId
    this.#redials = redials
  }

  // Millis does not document whether it reconnects.
  protected override async droppedLine (): Promise<void> {
    const { reply: lost } = this
    try {
      await this.#open()
    } catch (error) {
      this.found('unreachable', `the call ends because the reconnect failed: ${(error as Error).message}`)
      return this.finish({ by: 'fault', reason: 'the connection is lost' })
    }
    if (this.line.flush() || lost?.isLive !== true) return
    this.cutOff(lost, 'lost')
    if (lost.reason !== 'greeting') this.#request()
  }

  async #open (): Promise<void> {
    const isRedial = this.#isStarted
    this.#isStarted = false
    await this.line.connect()
    this.#isStarted = true
    if (this.#options.introduces === false || this.end !== undefined) return
    const id = this.#nextId++
    const { metadata = {}, voip = null } = this.#options
    const call = { agent_id: 'agt_test', session_id: this.sessionId, call_sid: voip === null ? null : 'CA0', metadata, voip }
    this.line.send({ type: 'start_call', data: { stream_id: id, ...call } })
    const { reply } = this
    const isUnheard = reply?.reason === 'greeting' && reply.isLive && reply.text === ''
    if (isRedial && !isUnheard) return void this.#silentIds.add(id) // eslint-disable-line no-void
    if (isRedial) this.cutOff(reply!, 'lost')
    this.begin(id, 'greeting')
  }

  protected override request (text: string): Reply {
    for (const [transcript, isFinal] of [[firstHalf(text), false], [text, true]] as const) {
      this.line.send({ type: 'partial_transcript', data: { session_id: this.sessionId, transcript, is_final: isFinal } })
    }
    return this.#request()
  }

  #request (): Reply {
    const id = this.#nextId++
    const transcript = this.transcript.map(({ role, content }) => ({ role: role === 'agent' ? 'assistant' : role, content }))
    this.line.send({ type: 'stream_request', data: { stream_id: id, transcript } })
    this.line.requested()
    return this.begin(id, 'response')
  }

  protected override talkedOver (reply: Reply): void {
    this.line.send({ type: 'interrupt', stream_id: reply.id })
  }

  // Frames of the server

  protected override receive (frame: unknown, binary: boolean): void {
    if (binary) return this.found('binary-frame', 'frames are texts', frame)
    if (!isObject(frame)) return this.found('not-json', 'frames are JSON objects', frame)
    if (!this.#isStarted) return this.found('before-start', 'before start_call there is no stream to speak in', frame)
    const { type } = frame
    if (!this.takes(millisAccepts, type, frame)) return
    const data = frame['data'] as JsonObject
    const { stream_id: streamId } = data
    const isKnown = streamId == null || this.replies.some(({ id }) => id === streamId)
    if (type !== 'stream_response' && !isKnown) this.found('unasked-stream', 'Millis never asked with this id', frame)
    if (type === 'end_call') return this.carryOut({ type: 'end-call' })
    if (type === 'transfer_call') return this.carryOut({ type: 'transfer-call', destination: data['destination'] as string })
    this.#responded(data, frame)
  }

  #responded (data: JsonObject, frame: JsonObject): void {
    const id = data['stream_id'] as string | number
    if (this.#silentIds.has(id as number)) {
      if (data['content'] !== '') this.found('second-greeting', 'the caller is greeted in mid-call', frame)
      return
    }
    const reply = this.replies.findLast(reply => reply.id === id)
    if (reply === undefined) {
      const isOtherType = this.replies.some(reply => String(reply.id) === String(id))
      const message = isOtherType ? 'stream_id must come back with the type it was sent with' : 'Millis never asked with this id'
      return this.found('unasked-stream', message, frame)
    }
    if (this.hears(reply, data['content'] as string, frame) && data['end_of_stream'] === true) this.completed(reply)
  }

  protected override played (reply: Reply): void {
    if (reply.text.trim() !== '') this.line.send({ type: 'playback_finished', data: { session_id: this.sessionId, stream_id: reply.id } })
  }

  protected override closed (code: number): void {
    if (code !== NORMAL && this.#redials > 0) {
      this.#redials--
      this.found('broken-connection', `closed with ${code}: the caller reconnects, as option redials says`)
      return void this.line.redial(() => this.droppedLine()) // eslint-disable-line no-void
    }
    this.found('closed', `closed with ${code}: Millis does not document what happens to the call`)
    this.finish({ by: code === NORMAL ? 'agent' : 'fault', reason: `closed with ${code}` })
  }
}
