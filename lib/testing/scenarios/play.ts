/**
 * Plays a scenario: places its call, performs its steps, and compares the agent with the expectations.
 */
import { ConfigError } from '../../contract/errors.js'
import { checkNames, namesOf } from '../../contract/option-names.js'
import type { Spoken } from '../caller-events.js'
import type { InterruptOptions } from '../caller-options.js'
import type { Finding } from '../finding.js'
import type { CallerProvider, PlacedCall } from '../caller-provider.js'
import { callerProvider, callerProviders, ONE_OF_THEM, type CallerProviderName } from '../providers.js'
import type { Reply } from '../reply.js'
import type { DialTarget } from '../target.js'
import { failuresOfCall, failuresOfReply } from './expectation.js'
import { cutsIn, type Scenario, type ScenarioStep } from './format.js'

/** A failed expectation. */
export interface ScenarioFailure {
  /** The place, such as `step 2 (say "Tuesday")`. */
  readonly at: string
  readonly message: string
}

/** The result of a scenario. */
export interface ScenarioResult {
  readonly name: string
  readonly provider: CallerProviderName
  /** Empty if the scenario passed. */
  readonly failures: readonly ScenarioFailure[]
  /** The server's protocol mistakes, including those that the scenario allows. */
  readonly findings: readonly Finding[]
  /** The conversation, as the caller heard it. */
  readonly transcript: readonly Spoken[]
  /** Of the slowest reply, in ms, greetings and reminders included; undefined if no reply had a word. */
  readonly firstTokenMs: number | undefined
  /** Likewise. */
  readonly firstSentenceMs: number | undefined
  /** The duration of the call, in ms. */
  readonly durationMs: number
}

/** Options of {@link playScenario}. */
export interface PlayOptions {
  /** For scenarios that name none. Default the first of the list. */
  provider?: CallerProviderName
  /** Headers of the handshake; those of the scenario win. Default none. */
  headers?: Readonly<Record<string, string>>
}

const PLAY_OPTIONS = namesOf<PlayOptions>({ provider: true, headers: true })

/**
 * Plays a scenario. Every problem of the call is a failure of the result.
 * @throws VOICE_AGENT_ERR_CONFIG, as a rejection, when an option is unknown; nothing else
 */
export async function playScenario (target: DialTarget, scenario: Scenario, options: PlayOptions = {}): Promise<ScenarioResult> {
  checkNames('playScenario', options, PLAY_OPTIONS)
  const { provider = callerProviders[0].name, headers = {} } = options
  const name = scenario.provider ?? provider
  const known = callerProvider(name)
  if (known === undefined) throw new ConfigError(`playScenario: provider must be ${ONE_OF_THEM}`)
  return await new Play(scenario, known, headers).run(target)
}

type Expected = Parameters<typeof failuresOfReply>[0]

class Play {
  readonly #scenario: Scenario
  readonly #provider: CallerProvider
  readonly #headers: Readonly<Record<string, string>>
  readonly #failures: ScenarioFailure[] = []
  #call: PlacedCall | undefined
  #at = 'the call'
  /** Findings that a step has already reported or accepted. */
  readonly #judged = new Set<Finding>()

  constructor (scenario: Scenario, provider: CallerProvider, headers: Readonly<Record<string, string>>) {
    this.#scenario = scenario
    this.#provider = provider
    this.#headers = headers
  }

  async run (target: DialTarget): Promise<ScenarioResult> {
    const startedAt = performance.now()
    try {
      await this.#play(target)
    } catch (error) {
      this.#fail((error as Error).message)
    }
    const call = this.#call
    if (call?.end === undefined) await call?.hangUp()
    const { name = 'unnamed', allow = [] } = this.#scenario
    this.#at = 'the protocol'
    for (const finding of call?.findings ?? []) {
      if (!allow.includes(finding.code) && !this.#judged.has(finding)) this.#fail(`${finding.code}: ${finding.message}`)
    }
    return {
      name,
      provider: this.#provider.name,
      failures: this.#failures,
      findings: call?.findings ?? [],
      transcript: call?.transcript ?? [],
      firstTokenMs: slowest(call, 'firstTokenMs'),
      firstSentenceMs: slowest(call, 'firstSentenceMs'),
      durationMs: performance.now() - startedAt
    }
  }

  async #play (target: DialTarget): Promise<void> {
    const { call: options = {}, 'words-per-minute': wordsPerMinute, 'timeout-ms': timeoutMs, greeting, steps, expect = {} } = this.#scenario
    // A scenario for several providers has options for each.
    const { options: known, place, label, reportsTools } = this.#provider
    const own = Object.fromEntries(Object.entries(options).filter(([name]) => known.includes(name)))
    const headers = { ...this.#headers, ...options.headers }
    const all = { ...own, headers, ...(wordsPerMinute !== undefined && { wordsPerMinute }), ...(timeoutMs !== undefined && { timeoutMs }) }
    const call = this.#call = await place(target, all)
    const expected = [greeting, expect, ...steps.map(step => 'expect' in step ? step.expect : undefined)]
    if (!reportsTools && expected.some(one => one !== false && one?.tools !== undefined)) {
      this.#fail(`tools cannot be expected: servers do not report them to ${label}`)
    }
    this.#at = 'the greeting'
    if (call.reply !== undefined && greeting !== false && !cutsIn(steps[0])) await this.#hear(call, call.reply, greeting, 0)
    for (const [index, step] of steps.entries()) {
      this.#at = `step ${index + 1} (${describe(step)})`
      if (call.end !== undefined) return this.#fail(`the call was over: ended by the ${call.end.by}, ${call.end.reason}`)
      await this.#do(call, step, cutsIn(steps[index + 1]))
    }
    this.#at = 'the call'
    // Wait for an action after the agent's last words.
    await call.settled()
    const by = expect['ended-by']
    if (by === 'agent' || by === 'fault' || expect['transferred-to'] !== undefined) await this.#ended(call, timeoutMs)
    if (call.end === undefined) await call.hangUp()
    const said = call.replies.map(reply => reply.text).join('\n')
    for (const message of failuresOfCall(expect, said, call.tools, call.digits ?? '', call.end!)) this.#fail(message)
  }

  async #ended (call: PlacedCall, timeoutMs = 10_000): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    await Promise.race([call.ended, new Promise(resolve => { timer = setTimeout(resolve, timeoutMs) })])
    clearTimeout(timer)
  }

  async #do (call: PlacedCall, step: ScenarioStep, isCut: boolean): Promise<void> {
    const tools = call.tools.length
    const hear = async (reply: Reply | undefined, expected?: Expected): Promise<void> => {
      if (reply !== undefined && !isCut) await this.#hear(call, reply, expected, tools)
    }
    if ('say' in step) return await hear(call.ask(step.say), step.expect)
    if ('interrupt' in step) {
      const before = call.reply
      const reply = await call.askOver(step.interrupt, amountOf(step.after))
      if (before?.outcome !== 'interrupted') {
        this.#fail('there was nothing to interrupt: the reply was over. Set words-per-minute to make it last')
      }
      return await hear(reply, step.expect)
    }
    if ('silence' in step) {
      if (call.remind === undefined) return this.#fail(`${this.#provider.label} has no reminders`)
      return await hear(call.remind(), step.expect)
    }
    if ('wait' in step) {
      await new Promise(resolve => setTimeout(resolve, step.wait))
    } else if ('drop' in step) {
      const before = call.reply
      if (before !== undefined && step.after !== undefined) await call.spoken(before, amountOf(step.after))
      await call.drop()
      if (call.reply !== before || step.expect !== undefined) await hear(call.reply, step.expect)
    } else {
      await call.hangUp()
    }
  }

  async #hear (call: PlacedCall, reply: Reply, expected: Expected = {}, toolsBefore: number): Promise<void> {
    const heard = await call.hear(reply)
    if (heard.outcome !== 'completed') this.#fail(`the reply was ${heard.outcome}`)
    for (const message of failuresOfReply(expected, heard, call.tools.slice(toolsBefore))) this.#fail(message)
    for (const finding of call.findings.filter(({ code }) => code === 'silent-reply')) {
      // An expected text is reported as missing already.
      if (expected.said === undefined && !this.#scenario.allow?.includes(finding.code) && !this.#judged.has(finding)) {
        this.#fail('the agent said nothing; where silence is right, write expect: { said: false }')
      }
      this.#judged.add(finding)
    }
  }

  #fail (message: string): void {
    this.#failures.push({ at: this.#at, message })
  }
}

function amountOf (after = '1 word'): InterruptOptions {
  const [amount, unit] = after.split(' ')
  return unit === 'ms' ? { afterMs: Number(amount) } : { afterWords: Number(amount) }
}

function describe (step: ScenarioStep): string {
  const [kind, value] = Object.entries(step)[0]!
  return value === true ? kind : `${kind} ${JSON.stringify(value)}`
}

function slowest (call: PlacedCall | undefined, figure: 'firstTokenMs' | 'firstSentenceMs'): number | undefined {
  const figures = call?.replies.flatMap(reply => reply[figure] ?? []) ?? []
  return figures.length === 0 ? undefined : Math.max(...figures)
}
