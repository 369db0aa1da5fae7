/**
 * Plays Millis: one socket a call at `/millis`, `start_call` first, the chat history in every request, partial
 * transcripts while the caller speaks, and a note when the answer was played.
 */
import { Caller, type CallerOptions } from './caller.js'
import { millisUtterance, Transcript } from './transcript.js'

interface MillisFrame {
  readonly type?: string
  readonly data?: { readonly stream_id?: number, readonly content?: string, readonly end_of_stream?: boolean }
}

export class MillisCaller extends Caller {
  readonly #sessionId: string

  constructor (options: CallerOptions) {
    super(`${options.url}/millis`, new Transcript(millisUtterance), options)
    this.#sessionId = `ses-${options.call}`
  }

  protected override opened (): void {
    this.#sendData('start_call', { stream_id: 0, agent_id: 'agt-bench', session_id: this.#sessionId, call_sid: null, metadata: {}, voip: null })
  }

  protected override bargeIn (id: number): void {
    this.send(`{"type":"interrupt","stream_id":${id}}`)
  }

  protected override request (id: number): string {
    this.#sendData('partial_transcript', { session_id: this.#sessionId, transcript: 'Could you tell me where', is_final: false })
    return `{"type":"stream_request","data":{"stream_id":${id},"transcript":${this.transcript}}}`
  }

  protected override receive (text: string): void {
    const frame = JSON.parse(text) as MillisFrame
    const { stream_id: id, content, end_of_stream: complete } = frame.data ?? {}
    if (frame.type !== 'stream_response' || typeof id !== 'number' || typeof content !== 'string' || typeof complete !== 'boolean') {
      return this.fail(`unexpected frame: ${text.slice(0, 200)}`)
    }
    this.heard(id, content, complete)
    if (complete) this.#sendData('playback_finished', { session_id: this.#sessionId, stream_id: id })
  }

  #sendData (type: string, data: Record<string, unknown>): void {
    this.send(JSON.stringify({ type, data }))
  }
}
