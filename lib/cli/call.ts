/**
 * The terminal caller: a typed call to any server that speaks a provider's protocol.
 */
import { createInterface, type Interface } from 'node:readline'
import type { PlacedCall } from '../testing/caller-provider.js'
import type { Reply } from '../testing/index.js'
import { callerProvider, callerProviders, CALLER_PROVIDER_NAMES } from '../testing/providers.js'
import { DIAL_OPTIONS, readArguments, readHeaders } from './arguments.js'
import { readServer, type Server } from './server.js'
import { painter, type Terminal } from './terminal.js'

const reminding = callerProviders.filter(({ hasReminders }) => hasReminders).map(({ label }) => label).join(', ')

/** The help text. */
export const CALL_USAGE = `fastify-voice-agent call URL [options]

  Places a call to a server, as ws://localhost:3000/llm-websocket. What you type is what the caller says; typing while the
  agent speaks talks over it. The provider is ${callerProviders[0].label} unless told otherwise, or the URL has another one's name in its path.

  --provider ${CALLER_PROVIDER_NAMES.join('|')}
  -H, --header 'Name: value'  a header of the handshake; may be given several times

  /interrupt TEXT  let the agent begin to speak, then talk over it
  /silence         say nothing until the agent is asked to go on (${reminding})
  /drop            break the connection, and dial again
  /frames          show the frames of the protocol, or hide them again
  /hangup          hang up; so do Ctrl-C and the end of input
`

const PROMPT = '> '

/** @returns the exit code: 1 if the server refuses, never speaks, or ends the call by a fault; 2 if the arguments are wrong */
export async function call (args: readonly string[], terminal: Terminal): Promise<number> {
  const paint = painter(terminal)
  const fail = (message: string, code: number): number => {
    terminal.stderr.write(`${paint('error', message)}\n`)
    return code
  }
  let server: ReturnType<typeof read>
  try {
    server = read(args)
  } catch (error) {
    return fail(`${(error as Error).message}\n\n${CALL_USAGE}`, 2)
  }
  try {
    const { provider, url, headers } = server
    const options = { timeoutMs: 120_000, headers }
    const { dial, label } = callerProvider(provider)!
    return await new TypedCall(terminal, await dial(url, options), label).run()
  } catch (error) {
    return fail((error as Error).message, 1)
  }
}

function read (args: readonly string[]): Server & { readonly headers: Record<string, string> } {
  const { values, positionals: [url, ...more] } = readArguments(args, DIAL_OPTIONS)
  if (more.length > 0) throw new Error('one URL is needed, and there are several')
  return { ...readServer(url, values.provider), headers: readHeaders(values.header) }
}

// Omits the timings of words, which the caller invents.
function withoutWords (key: string, value: unknown): unknown {
  return key === 'words' ? undefined : value
}

class TypedCall {
  readonly #terminal: Terminal
  readonly #call: PlacedCall
  readonly #label: string
  readonly #paint: ReturnType<typeof painter>
  #lines!: Interface
  #isInputOver = false
  #shown = 0
  #found = 0
  #showsFrames = false
  #heard: Promise<void> = Promise.resolve()

  constructor (terminal: Terminal, call: PlacedCall, label: string) {
    this.#terminal = terminal
    this.#call = call
    this.#label = label
    this.#paint = painter(terminal)
  }

  async run (): Promise<number> {
    const { stdin, stdout } = this.#terminal
    const terminal = stdin.isTTY === true && stdout.isTTY === true
    const lines = this.#lines = createInterface({ input: stdin, output: stdout, terminal, prompt: PROMPT })
    lines.once('close', () => { this.#isInputOver = true })
    // Buffer all input, including its end, from here on.
    const typed = lines[Symbol.asyncIterator]()
    lines.on('SIGINT', () => lines.close())
    const ended = this.#call.ended.then(() => lines.close())
    this.#call.events.on('reply', reply => {
      if (reply.reason === 'interjection') void this.#hear(reply) // eslint-disable-line no-void
    })
    if (this.#call.reply !== undefined) await this.#hear(this.#call.reply)
    this.#prompt()
    for await (const line of typed) {
      if (this.#call.end !== undefined || line.trim() === '/hangup') break
      const reply = this.#do(line.trim())
      // At a terminal the next line may talk over the reply; piped lines wait for its end.
      if (stdin.isTTY !== true) await reply
      this.#prompt()
    }
    lines.close()
    // Wait for an action after the agent's last words.
    await this.#call.settled()
    if (this.#call.end === undefined) await this.#call.hangUp()
    await ended
    await this.#heard
    this.#findings()
    const { by, reason, destination } = this.#call.end!
    const ending = by === 'caller' ? 'you hung up' : `ended by ${by === 'agent' ? 'the agent' : 'a fault'}: ${reason}`
    this.#note(`${ending}${destination === undefined ? '' : ` to ${destination}`}`)
    return by === 'fault' ? 1 : 0
  }

  // Never rejects.
  async #do (line: string): Promise<void> {
    try {
      const [, command, text = ''] = /^\/(\w+)\s*(.*)$/.exec(line) ?? []
      switch (command) {
        case undefined:
          return line === '' ? undefined : await this.#hear(this.#call.ask(line))
        case 'interrupt': {
          await this.#call.reply?.words(1)
          return await this.#hear(this.#call.ask(text))
        }
        case 'silence':
          if (this.#call.remind === undefined) return this.#note(`${this.#label} has no reminders`)
          return await this.#hear(this.#call.remind())
        case 'drop':
          this.#note('dropped, dialling again')
          return await this.#call.drop()
        case 'frames':
          this.#showsFrames = !this.#showsFrames
          return this.#note(`frames are ${this.#showsFrames ? 'shown' : 'hidden'}`)
        default:
          return this.#note(`there is no /${command}; there are /interrupt, /silence, /drop, /frames and /hangup`)
      }
    } catch (error) {
      this.#note((error as Error).message)
    }
  }

  // Print replies one after the other: an interjection may arrive together with the reply that it cuts off.
  async #hear (reply: Reply): Promise<void> {
    await (this.#heard = this.#heard.then(() => this.#print(reply)))
  }

  async #print (reply: Reply): Promise<void> {
    const { stdout } = this.#terminal
    // Leave the line of the prompt first.
    if (reply.reason === 'interjection') this.#note('\nthe agent speaks unasked:')
    for await (const piece of reply) stdout.write(this.#paint('agent', piece))
    const { outcome, firstTokenMs, firstSentenceMs, durationMs } = reply
    const times = [['first token', firstTokenMs], ['first sentence', firstSentenceMs], [outcome, durationMs]] as const
    stdout.write('\n')
    this.#note(times.filter(([, ms]) => ms !== undefined).map(([what, ms]) => `${what} ${Math.round(ms!)} ms`).join(', '))
    this.#findings()
    this.#prompt()
  }

  // Buffered lines are still answered after the input's end, and a closed interface throws since Node 24.
  #prompt (): void {
    if (this.#isInputOver) this.#terminal.stdout.write(PROMPT)
    else this.#lines.prompt()
  }

  #findings (): void {
    if (this.#showsFrames) {
      for (const { from, frame } of this.#call.frames.slice(this.#shown)) {
        this.#note(`${from === 'server' ? '<' : '>'} ${JSON.stringify(frame, withoutWords)}`)
      }
    }
    this.#shown = this.#call.frames.length
    for (const { code, message } of this.#call.findings.slice(this.#found)) {
      this.#terminal.stdout.write(`${this.#paint('finding', `${code}: ${message}`)}\n`)
    }
    this.#found = this.#call.findings.length
  }

  #note (text: string): void {
    this.#terminal.stdout.write(`${this.#paint('note', text)}\n`)
  }
}
