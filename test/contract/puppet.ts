/**
 * What agents may do: scripts of commands, and the puppets that follow them.
 */
import fc from 'fast-check'
import {
  endCall, filler, flush, pause, pressDigits, toolCall, toolResult, transferCall, uninterruptible
} from '../../lib/contract/agent.js'
import type { Action, Provider, Turn } from '../../lib/contract/agent.js'
import type { TurnOutcome } from '../../lib/telemetry/report.js'

/** Where calls are transferred to. */
export const DESK = '+15550100009'

/** What an agent does next. */
export type Command =
  | { do: 'say', text: string }
  | { do: 'act', action: Action }
  /** Yields what is skipped. */
  | { do: 'nothing', piece: null | undefined | '' }
  /** Yields what cannot be spoken. */
  | { do: 'wrong', piece: unknown }
  | { do: 'throw' }
  | { do: 'finish' }

type Kind =
  | 'string' | 'silence' | 'array' | 'generator' | 'throw'
  | 'async generator' | 'stream' | 'stubborn iterator'
  | 'promise of a string' | 'promise of silence' | 'promise of a generator' | 'promise of an error'

export interface Script {
  kind: Kind
  /** What it does without being told. */
  first: Command[]
  /** What it does when its turn is aborted, if it listens at all. */
  onAbort: 'ignore' | 'say' | 'throw' | 'never look'
}

/** Is told of each piece that a generator has handed over. */
export interface Listener {
  spoke (turn: Turn, command: Command): void
}

/** One agent's reply to one turn: it does what it is told to, in order. */
export class Puppet {
  readonly script: Script
  readonly told: Command[] = []
  #waiting: Command[] = []
  #wake = (): void => {}
  #closed = false

  constructor (script: Script) {
    this.script = script
    this.tell(...script.first)
    const { kind } = script
    if (kind === 'array' || kind === 'generator') this.tell({ do: 'finish' })
    if (kind === 'throw' || kind === 'promise of an error') this.#only({ do: 'throw' })
    if (kind === 'silence' || kind === 'promise of silence') this.#only({ do: 'finish' })
    if (kind === 'string' || kind === 'promise of a string') this.#only({ do: 'say', text: 'All at once.' }, { do: 'finish' })
  }

  /** Replies that come all at once know from the start what they are. */
  #only (...commands: Command[]): void {
    this.told.splice(0, Infinity, ...commands)
    this.#waiting = [...commands]
    this.#closed = true
  }

  tell (...commands: Command[]): void {
    for (const command of commands) {
      if (!this.#closed) {
        this.told.push(command)
        this.#waiting.push(command)
        this.#closed = command.do === 'finish'
      }
    }
    this.#wake()
  }

  reply (turn: Turn, listener: Listener): unknown {
    const { kind, onAbort } = this.script
    if (onAbort !== 'never look') {
      turn.signal.addEventListener('abort', () => {
        if (onAbort === 'say') this.tell({ do: 'say', text: 'too late' })
        if (onAbort === 'throw') this.tell({ do: 'throw' })
      })
    }
    switch (kind) {
      case 'string': return 'All at once.'
      case 'silence': return undefined
      case 'throw': throw new Error('told to')
      case 'promise of a string': return this.#woken().then(() => 'All at once.')
      case 'promise of silence': return this.#woken()
      case 'promise of an error': return this.#woken().then(() => { throw new Error('told to') })
      case 'promise of a generator': return this.#woken().then(() => this.#speak(turn, listener))
      case 'array': return isSpeakable(this.#waiting) ? this.#waiting.filter(({ do: what }) => what !== 'finish').map(pieceOf) : this.#speakNow(turn, listener)
      case 'generator': return this.#speakNow(turn, listener)
      case 'async generator': return this.#speak(turn, listener)
      case 'stubborn iterator': return { [Symbol.asyncIterator]: () => ({ next: () => this.#next() }) }
      case 'stream': return new ReadableStream({
        pull: async controller => {
          const { done, value } = await this.#next()
          if (done) controller.close()
          else controller.enqueue(value)
        }
      }, { highWaterMark: 0 })
    }
  }

  * #speakNow (turn: Turn, listener: Listener): Generator<unknown> {
    for (let command = this.#waiting.shift()!; command.do !== 'finish'; command = this.#waiting.shift()!) {
      yield * speakOn(pieceOf(command))
      listener.spoke(turn, command)
    }
  }

  async * #speak (turn: Turn, listener: Listener): AsyncGenerator<unknown> {
    for (let command = await this.#command(); command.do !== 'finish'; command = await this.#command()) {
      yield * speakOn(pieceOf(command))
      listener.spoke(turn, command)
    }
  }

  async #next (): Promise<{ done: boolean, value: unknown }> {
    const command = await this.#command()
    return command.do === 'finish' ? { done: true, value: undefined } : { done: false, value: pieceOf(command) }
  }

  async #command (): Promise<Command> {
    while (this.#waiting.length === 0) await this.#woken()
    return this.#waiting.shift()!
  }

  #woken (): Promise<void> {
    return new Promise(resolve => { this.#wake = resolve })
  }
}

// Where it is closed behind the piece it does not stop talking.
function * speakOn (piece: unknown): Generator<unknown> {
  let isClosed = true
  try {
    yield piece
    isClosed = false
  } finally {
    if (isClosed) yield 'closed, and talking on'
  }
}

function pieceOf (command: Command): unknown {
  switch (command.do) {
    case 'say': return command.text
    case 'act': return command.action
    case 'nothing':
    case 'wrong': return command.piece
    case 'throw': throw new Error('told to')
    case 'finish': return undefined
  }
}

const isSpeakable = (commands: Command[]): boolean => commands.every(command => command.do !== 'throw')

/** What a turn comes to when it is left in peace. */
export function expectationOf (told: Command[], provider: Provider): { text: string, last: string, outcome: TurnOutcome | undefined } {
  let text = ''
  // Would a word run into the one before? A filler is set apart.
  let open = false
  // And is it a part of its own?
  let parted = false
  const lead = (words: string): string => {
    if (!parted || words === '') return ''
    parted = false
    return open && /^\S/.test(words) ? ' ' : ''
  }
  for (const command of told) {
    if (command.do === 'say') {
      text += lead(command.text) + command.text
      if (command.text !== '') open = /\S$/.test(command.text)
    }
    if (command.do === 'finish') return { text, last: '', outcome: 'completed' }
    if (command.do === 'throw' || command.do === 'wrong') return { text, last: '', outcome: 'error' }
    if (command.do !== 'act') continue
    const { action } = command
    switch (action.action) {
      case 'filler': {
        const before = open && /^\S/.test(action.text) ? ' ' : ''
        const trail = /\s$/.test(action.text) ? '' : ' '
        text += before + action.text + trail
        open = parted = false
        break
      }
      case 'tool-call':
        parted = true
        break
      case 'uninterruptible':
        text += lead(action.text) + action.text
        open = /\S$/.test(action.text)
        break
      case 'pause':
        if (provider === 'retell') text += ' - '
        break
      case 'press-digits':
        if (provider === 'retell') return { text, last: '', outcome: 'completed' }
        break
      case 'end-call':
      case 'transfer-call':
        return { text, last: action.say, outcome: 'completed' }
    }
  }
  return { text, last: '', outcome: undefined }
}

const word = fc.constantFrom('One', ' two', ' three.', 'Four ', '5', ' ', 'six, ', '\n', 'sé\ud83d', '\ude00v')
const action = fc.constantFrom<Action>(
  endCall(), endCall({ say: 'Bye.' }), transferCall(DESK), transferCall(DESK, { say: 'Hold on.', showCaller: true }), pressDigits('1#'),
  pause(500), flush(), filler('Hm, '), filler('Well...'), uninterruptible('Recorded. '), toolCall('tc_1', 'look', {}), toolResult('tc_1', 'found')
)
export const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant('say' as const), text: word }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('act' as const), action }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('nothing' as const), piece: fc.constantFrom(null, undefined, '' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wrong' as const), piece: fc.constantFrom<unknown>(42, {}, ['a'], Buffer.from('a'), true) }) },
  { weight: 1, arbitrary: fc.constant<Command>({ do: 'throw' }) },
  { weight: 4, arbitrary: fc.constant<Command>({ do: 'finish' }) }
)
export const script: fc.Arbitrary<Script> = fc.record({
  kind: fc.oneof(
    { weight: 4, arbitrary: fc.constant<Kind>('async generator') },
    {
      weight: 6,
      arbitrary: fc.constantFrom<Kind>('string', 'silence', 'array', 'generator', 'throw', 'stream', 'stubborn iterator',
        'promise of a string', 'promise of silence', 'promise of a generator', 'promise of an error')
    }
  ),
  first: fc.array(command, { maxLength: 4 }),
  onAbort: fc.constantFrom('ignore', 'say', 'throw', 'never look')
})
