import { EventEmitter, once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import pino from 'pino'
import type { FastifyBaseLogger } from 'fastify'
import type { Test } from 'tap'
import type { Provider, Reply, Turn } from '../../lib/contract/agent.js'
import { answer } from '../../lib/call/answer.js'
import type { LiveCall } from '../../lib/call/call.js'
import { Connection } from '../../lib/call/connection.js'
import type { DeadlineSettings } from '../../lib/call/deadlines.js'
import { createFallback, createFiller, type Fallback, type Filler } from '../../lib/call/stand-in.js'
import { HookRunner, type CallHooks } from '../../lib/call/hooks.js'
import type { Claim, Cluster } from '../../lib/cluster/cluster.js'
import { createGoodbye, type CallLimits } from '../../lib/call/limits.js'
import { CallRegistry } from '../../lib/call/registry.js'
import type { Codec } from '../../lib/providers/codec.js'
import { millisControlFrames } from '../../lib/providers/millis/frames.js'
import { MillisCodec } from '../../lib/providers/millis/codec.js'
import { RetellCodec, retellBegin } from '../../lib/providers/retell/codec.js'
import type { Refusal } from '../../lib/telemetry/refusals.js'
import { Telemetry } from '../../lib/telemetry/telemetry.js'
import type { LogLine } from './app.js'
import type { Frame } from './caller.js'

export const GREETING = 'Hello?'
export const APOLOGY = 'Sorry?'

/** What {@link openCall} may be told. */
export interface CallOptions {
  id?: string
  calls?: CallRegistry<LiveCall>
  hooks?: CallHooks
  fallback?: Fallback
  filler?: Filler
  /** None, unless told otherwise. */
  deadlines?: Partial<DeadlineSettings>
  /** How long Retell's begin message waits for the call's details; a minute, unless told otherwise. */
  waitMs?: number
  codec?: Codec
  /** None, unless told otherwise. */
  reconnectGraceMs?: number
  isClosing?: () => boolean
  telemetry?: Telemetry
  /** None, unless told otherwise. */
  limits?: Partial<CallLimits>
  /** None, unless told otherwise. */
  cluster?: Pick<Cluster, 'claim' | 'calls'>
  /** What the cluster said of the call before its upgrade. */
  claim?: Claim
  /** Everything, unless told otherwise. */
  expects?: (id: string) => boolean
}

const NO_LIMITS: CallLimits = {
  maxFramesPerSecond: Infinity,
  maxBytesPerCall: Infinity,
  maxTurnsPerCall: Infinity,
  maxCallDurationMs: Infinity,
  maxTokensPerCall: Infinity,
  goodbye: createGoodbye()
}

/** A call without a server, its provider's side driven by hand. Every frame is kept in `frames`, from the first on. */
export class Line {
  readonly connection: Connection
  readonly calls: CallRegistry<LiveCall>
  readonly hooks: HookRunner
  readonly frames: Frame[] = []
  readonly logs: LogLine[] = []
  /** What the server did to the socket, other than writing to it. */
  readonly closes: unknown[] = []
  /** What the provider has not taken yet, in bytes. */
  bufferedAmount = 0
  #written: Array<() => void> = []
  readonly #events = new EventEmitter().setMaxListeners(0)

  constructor (provider: Provider, agent: (turn: Turn) => Reply, options: CallOptions) {
    const { id = 'call_1', waitMs = 60_000, codec = newCodec(provider, waitMs) } = options
    this.calls = options.calls ?? new CallRegistry()
    this.hooks = new HookRunner(options.hooks ?? {})
    const host = {
      calls: this.calls,
      cluster: options.cluster,
      hooks: this.hooks,
      leadingAssistant: false,
      afterTool: '',
      deadlines: { firstTokenMs: 0, tokenGapMs: 0, turnMs: 0, fillerMs: 0, ...options.deadlines },
      ask: agent,
      fallback: createFallback(options.fallback, GREETING, APOLOGY),
      filler: createFiller(options.filler ?? ''),
      reconnectGraceMs: options.reconnectGraceMs ?? 0,
      limits: { ...NO_LIMITS, ...options.limits },
      expects: options.expects ?? (() => true),
      over: () => {},
      bindLog: (log: FastifyBaseLogger, bindings: object) => log.child(bindings),
      isClosing: options.isClosing ?? (() => false),
      telemetry: options.telemetry ?? new Telemetry(),
      refused: (reason: Refusal) => { this.calls.refusals[reason]++ }
    }
    const line = this
    const socket = {
      get bufferedAmount () { return line.bufferedAmount },
      send: (frame: string, written?: () => void) => {
        this.frames.push(JSON.parse(frame))
        this.#events.emit('frame')
        if (written !== undefined) this.#written.push(written)
      },
      ping: () => { this.closes.push('ping') },
      pause: () => { this.closes.push('pause') },
      close: (code: number, reason: string) => { this.closes.push({ code, reason }) },
      terminate: () => { this.closes.push('terminate') }
    }
    const log = pino({ level: 'trace' }, { write: line => { this.logs.push(JSON.parse(line)) } })
    this.connection = new Connection(socket, codec)
    answer(host, id, this.connection, log as FastifyBaseLogger, options.claim)
  }

  /** The call that this is a connection of. */
  get call (): LiveCall {
    return this.connection.owner as LiveCall
  }

  /** The provider hangs up, or breaks off. */
  hangUp (code = 1006): void {
    this.connection.closed(code)
  }

  /** The provider takes all that was sent. */
  take (): void {
    this.bufferedAmount = 0
    this.#written.splice(0).forEach(written => written())
  }

  /** Has the call read objects as JSON, strings as they are, bytes as binary frames. */
  receive (...frames: Array<object | string | Buffer>): void {
    for (const frame of frames) {
      if (Buffer.isBuffer(frame)) this.connection.receive(frame, true)
      else this.connection.receive(Buffer.from(typeof frame === 'string' ? frame : JSON.stringify(frame)), false)
    }
  }

  /** Resolves once a frame that fits was written. */
  async wrote (fits: (frame: Frame) => boolean): Promise<void> {
    while (!this.frames.some(fits)) await once(this.#events, 'frame')
  }

  /** Resolves once the turn with this id was completed. */
  completed (id: unknown): Promise<void> {
    return this.wrote(frame => (frame['response_id'] === id && frame['content_complete'] === true) ||
      (frame['data']?.stream_id === id && frame['data'].end_of_stream === true))
  }

  /** What was logged at `warn` and above. */
  get complaints (): LogLine[] {
    return this.logs.filter(({ level }) => level >= 40)
  }
}

/** Opens a call that is hung up when the test ends. */
export function openCall (t: Test, provider: Provider, agent: (turn: Turn) => Reply, options: CallOptions = {}): Line {
  const line = new Line(provider, agent, options)
  t.teardown(() => line.hangUp(1000))
  return line
}

/** A codec as the plugin makes it. */
export function newCodec (provider: Provider, waitMs = 60_000): Codec {
  return provider === 'retell' ? new RetellCodec(retellBegin(waitMs)) : new MillisCodec(millisControlFrames)
}

/** Lets the event loop turn: everything that is ready has run when this resolves. */
export const tick = (): Promise<void> => setImmediate()

/** Our frames to Retell, as Retell wants them. */
export const toRetell = {
  config: { response_type: 'config', config: { auto_reconnect: true, call_details: true, transcript_with_tool_calls: true } },
  speech: (id: number, content: string, more: object = {}): Frame => ({ response_type: 'response', response_id: id, content, content_complete: false, ...more }),
  complete: (id: number, content = '', more: object = {}): Frame => ({ response_type: 'response', response_id: id, content, content_complete: true, ...more }),
  interrupt: (n: number, content: string, more: object = {}): Frame => ({ response_type: 'agent_interrupt', interrupt_id: n, content, content_complete: true, ...more })
}

/** Our frames to Millis, as Millis wants them. */
export const toMillis = {
  speech: (id: unknown, content: string, more: object = {}): Frame => ({ type: 'stream_response', data: { stream_id: id, content, end_of_stream: false, ...more } }),
  complete: (id: unknown, content = ''): Frame => ({ type: 'stream_response', data: { stream_id: id, content, ...(content !== '' && { flush: true }), end_of_stream: true } }),
  endCall: (id: unknown): Frame => ({ type: 'end_call', data: { stream_id: id } }),
  transferCall: (id: unknown, destination: string): Frame => ({ type: 'transfer_call', data: { stream_id: id, destination } })
}
