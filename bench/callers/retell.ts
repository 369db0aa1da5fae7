/**
 * Plays Retell: one socket a call at `/llm-websocket/<call_id>`, keep-alives every 2 s, the whole transcript with word
 * timings in every request.
 */
import { Caller, type CallerOptions } from './caller.js'
import { retellUtterance, Transcript } from './transcript.js'

interface RetellFrame {
  readonly response_type?: string
  readonly config?: { readonly auto_reconnect?: boolean, readonly call_details?: boolean }
  readonly timestamp?: number
  readonly response_id?: number
  readonly content?: string
  readonly content_complete?: boolean
}

const KEEPALIVE_MS = 2000
/** Retell gives a socket up when it is silent for so long. */
const WATCHDOG_MS = 5000

export class RetellCaller extends Caller {
  readonly #callId: string
  readonly #startedAt = Date.now()
  /** Keep-alives on their way: timestamp to when it was sent. */
  readonly #pings = new Map<number, number>()
  #fence: number | undefined
  #lastTimestamp = 0
  #configured = false
  #keepalive: NodeJS.Timeout | undefined

  constructor (options: CallerOptions) {
    const callId = `call_${String(options.call).padStart(27, '0')}`
    super(`${options.url}/llm-websocket/${callId}`, new Transcript(retellUtterance), options)
    this.#callId = callId
  }

  /**
   * Pings right behind the newest request. Frames are read in order, so the answer proves that the request was read,
   * and whatever an older turn sends after it is stale.
   */
  override fence (): void {
    this.#fence = this.#ping()
  }

  /** Sends one `update_only` frame. */
  update (frame: Buffer): void {
    this.send(frame, false)
  }

  /** Sends `update_only` frames; resolves when the server has read them all. */
  async updateAll (frames: readonly Buffer[]): Promise<void> {
    for (const frame of frames) this.update(frame)
    await this.#settled()
    this.options.tally.counts.updates += frames.length
  }

  protected override opened (): void {
    this.#configured = false
  }

  protected override closed (): void {
    clearInterval(this.#keepalive)
    this.#pings.clear()
  }

  protected override request (id: number): string {
    return `{"interaction_type":"response_required","response_id":${id},"transcript":${this.transcript}}`
  }

  protected override receive (text: string): void {
    const frame = JSON.parse(text) as RetellFrame
    if (frame.response_type === 'response') {
      if (typeof frame.response_id !== 'number' || typeof frame.content !== 'string' || typeof frame.content_complete !== 'boolean') {
        return this.fail(`a frame Retell would drop: ${text.slice(0, 200)}`)
      }
      this.heard(frame.response_id, frame.content, frame.content_complete)
    } else if (frame.response_type === 'ping_pong') {
      this.#ponged(frame.timestamp)
    } else if (frame.response_type === 'config') {
      this.#configure(frame)
    } else {
      this.fail(`unexpected frame: ${text.slice(0, 200)}`)
    }
  }

  #configure (frame: RetellFrame): void {
    if (this.#configured) return this.fail('a second config')
    this.#configured = true
    if (frame.config?.call_details === true) {
      const status = this.isRedialled ? { call_status: 'ongoing', start_timestamp: this.#startedAt } : { call_status: 'registered' }
      this.send(JSON.stringify({
        interaction_type: 'call_details',
        call: { call_type: 'phone_call', call_id: this.#callId, agent_id: 'agent_bench', agent_version: 1, ...status, direction: 'inbound', from_number: '+14155550101', to_number: '+14155550199', metadata: {}, retell_llm_dynamic_variables: {} }
      }))
    }
    if (frame.config?.auto_reconnect === true) this.#keepalive = setInterval(() => this.#ping(), KEEPALIVE_MS)
  }

  /** Frames are read in order: the answer to a keep-alive proves that all before it was read. */
  async #settled (): Promise<void> {
    const timestamp = this.#ping()
    while (this.#pings.has(timestamp)) {
      await Promise.race([new Promise(resolve => this.socket.once('message', resolve)), this.broken])
    }
  }

  #ping (): number {
    const oldest = this.#pings.values().next().value
    if (oldest !== undefined && performance.now() - oldest > WATCHDOG_MS) this.fail(`a keep-alive unanswered for ${WATCHDOG_MS} ms`)
    const timestamp = this.#lastTimestamp = Math.max(Date.now(), this.#lastTimestamp + 1)
    this.#pings.set(timestamp, performance.now())
    this.send(`{"interaction_type":"ping_pong","timestamp":${timestamp}}`)
    return timestamp
  }

  #ponged (timestamp = NaN): void {
    const sentAt = this.#pings.get(timestamp)
    if (sentAt === undefined) return this.fail(`keep-alive with timestamp ${timestamp}, which was never sent`)
    this.#pings.delete(timestamp)
    this.options.tally.counts.keepalives++
    this.options.tally.counts.keepaliveMs.push(performance.now() - sentAt)
    if (timestamp === this.#fence) this.newestWasRead()
  }
}
