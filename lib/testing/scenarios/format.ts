/**
 * The format of scenarios: a call in YAML, or an object of the same shape.
 */
import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { LineCounter, isNode, parseDocument, type Document } from 'yaml'
import { FINDING_CODES } from '../finding.js'
import { CALLER_PROVIDER_NAMES, ONE_OF_THEM } from '../providers.js'
import { suggestion } from '../../contract/suggestion.js'
import { toPattern } from './pattern.js'

const description = (text: string): { description: string } => ({ description: text })

const Text = Type.String({ pattern: '\\S', ...description('a text') })
const Milliseconds = Type.Number({ minimum: 0, maximum: 3_600_000, ...description('a number of milliseconds, up to an hour') })
const Texts = Type.Union([Text, Type.Array(Text, { minItems: 1 })], description('a text or a list of texts'))
const Times = Type.Integer({ minimum: 0, ...description('how often the tool is called') })
const Tools = Type.Record(Type.String(), Times, description('tools, each with how often it is called'))

const closed = { additionalProperties: false }

const Heard = {
  /** A part of the agent's words, ignoring case, or `/a pattern/i`. */
  said: Type.Optional(Texts),
  'not-said': Type.Optional(Texts),
  /** By name, for providers that the server reports tool calls to. */
  tools: Type.Optional(Tools)
}

/** The expectations of one reply. */
export const ReplyExpectation = Type.Object({
  ...Heard,
  /** Likewise; false if the agent must say nothing. */
  said: Type.Optional(Type.Union(
    [Type.Literal(false), Texts],
    description('a text, a list of texts, or false where nothing is to be said')
  )),
  /** The maximum time to the first word. */
  'first-token-ms': Type.Optional(Milliseconds),
  /** The maximum time to the end of the first sentence. */
  'first-sentence-ms': Type.Optional(Milliseconds)
}, { ...closed, ...description('what is expected of a reply') })

/** The expectations of a whole call. */
export const CallExpectation = Type.Object({
  ...Heard,
  /** Default: not by a fault. */
  'ended-by': Type.Optional(Type.Union(
    [Type.Literal('caller'), Type.Literal('agent'), Type.Literal('fault')],
    description('caller, agent or fault')
  )),
  'transferred-to': Type.Optional(Text),
  digits: Type.Optional(Text)
}, { ...closed, ...description('what is expected of the call') })

const Direction = Type.Optional(Type.Union([Type.Literal('inbound'), Type.Literal('outbound')], description('inbound or outbound')))

/** Options of all providers' callers. */
const Call = Type.Object({
  callId: Type.Optional(Text),
  callType: Type.Optional(Type.Union([Type.Literal('phone_call'), Type.Literal('web_call')], description('phone_call or web_call'))),
  direction: Direction,
  from: Type.Optional(Text),
  to: Type.Optional(Text),
  headers: Type.Optional(Type.Record(Type.String(), Type.String(), description('headers, each with a text'))),
  metadata: Type.Optional(Type.Record(Type.String(), Type.Unknown(), description('an object'))),
  variables: Type.Optional(Type.Record(Type.String(), Type.String(), description('variables, each with a text'))),
  sessionId: Type.Optional(Text),
  voip: Type.Optional(Type.Object({
    from: Text,
    to: Text,
    direction: Direction
  }, { ...closed, ...description('an object with from and to') }))
}, { ...closed, ...description('options of the caller') })

const After = Type.Optional(Type.String({
  pattern: '^\\d+ (words?|ms)$', ...description('a number of words or ms, as "3 words" or "500 ms"')
}))
const expect = Type.Optional(ReplyExpectation)
const yes = Type.Literal(true, description('true'))

/** The kinds of step, by the word that names them. */
export const steps = {
  /** Says something, and hears the reply to its end, unless the next step interrupts it. */
  say: Type.Object({ say: Text, expect }, closed),
  /** Talks over the reply of the step before. */
  interrupt: Type.Object({
    interrupt: Text,
    after: After,
    expect
  }, closed),
  /** Says nothing until the agent is asked to go on, where the provider has it do so. */
  silence: Type.Object({ silence: yes, expect }, closed),
  /** Lets so many ms pass. */
  wait: Type.Object({ wait: Milliseconds }, closed),
  /** Breaks the connection, and dials again; in the middle of a reply, where it says after how much of it. That is asked for again. */
  drop: Type.Object({ drop: yes, after: After, expect }, closed),
  'hang-up': Type.Object({ 'hang-up': yes }, closed)
}

/** One step. Which one it is, is told by the member that it has. */
export type ScenarioStep = { [Kind in keyof typeof steps]: Static<typeof steps[Kind]> }[keyof typeof steps]

const Scenario = Type.Object({
  name: Type.Optional(Text),
  provider: Type.Optional(Type.Union(CALLER_PROVIDER_NAMES.map(name => Type.Literal(name)), description(ONE_OF_THEM))),
  /** Options of the provider's caller, as `from`, `variables` and `metadata`. */
  call: Type.Optional(Call),
  /** The pace at which the agent's words are spoken. Default as fast as they arrive. */
  'words-per-minute': Type.Optional(Type.Number({ exclusiveMinimum: 0, ...description('a number of words') })),
  /** How long a reply may take. Default 10,000. */
  'timeout-ms': Type.Optional(Milliseconds),
  /** false if the caller speaks first. */
  greeting: Type.Optional(Type.Union([ReplyExpectation, Type.Literal(false)], description('what is expected of the greeting, or false'))),
  steps: Type.Array(Type.Unknown(), { minItems: 1, ...description('a list of steps') }),
  expect: Type.Optional(CallExpectation),
  /** Codes of findings that do not fail the scenario. */
  allow: Type.Optional(Type.Array(
    Type.Union(FINDING_CODES.map(code => Type.Literal(code)), description('the code of a finding')),
    description('a list of codes of findings')
  ))
}, { ...closed, ...description('a scenario') })

/** A call to place: the caller's steps, and the expectations of the agent. */
export type Scenario = Omit<Static<typeof Scenario>, 'steps'> & { steps: ScenarioStep[] }

/** A scenario is malformed. The message names the place and the expected value. */
export class ScenarioError extends Error {
  override readonly name = 'ScenarioError'
}

/**
 * Reads a scenario.
 * @param file the file's name, for errors
 * @throws ScenarioError
 */
export function readScenario (yaml: string, file = 'scenario'): Scenario {
  const lines = new LineCounter()
  const document = parseDocument(yaml, { lineCounter: lines })
  const [broken] = document.errors
  if (broken !== undefined) throw new ScenarioError(`${file}: ${broken.message}`)
  const at = (path: string): string => `${file}:${lineOf(document, lines, path)}`
  let scenario: unknown
  try {
    scenario = document.toJS()
  } catch (error) {
    throw new ScenarioError(`${file}: ${(error as Error).message}`)
  }
  check(Scenario, scenario, '', at)
  const read = scenario as Static<typeof Scenario>
  const whole = {
    ...read,
    steps: read.steps.map((step, index) => {
      const path = `/steps/${index}`
      // A step without members may be a bare word.
      const full = typeof step === 'string' ? { [step]: true } : step
      const kind = Object.keys(steps).find(kind => typeof full === 'object' && full !== null && kind in full)
      if (kind === undefined) throw new ScenarioError(`${at(path)}: ${path} must be one of ${Object.keys(steps).join(', ')}`)
      check(steps[kind as keyof typeof steps], full, path, at)
      return full as ScenarioStep
    })
  }
  checkPatterns({ ...whole, call: undefined }, '', at)
  for (const [index, step] of whole.steps.entries()) {
    const before = index === 0 ? { expect: whole.greeting || undefined } : whole.steps[index - 1]!
    if (cutsIn(step) && 'expect' in before && before.expect !== undefined) {
      throw new ScenarioError(`${at(`/steps/${index}`)}: /steps/${index} cuts in on a reply of which something is expected`)
    }
  }
  return whole
}

/** True if the step cuts off the reply before it. */
export function cutsIn (step: ScenarioStep | undefined): boolean {
  return step !== undefined && ('interrupt' in step || ('drop' in step && step.after !== undefined))
}

function check (schema: TSchema, value: unknown, path: string, at: (path: string) => string): void {
  const error = Value.Errors(schema, value).First()
  if (error === undefined) return
  const where = path + error.path
  const isUnknown = error.message === 'Unexpected property'
  const meant = isUnknown ? suggestion(error.path.slice(error.path.lastIndexOf('/') + 1), Object.keys(error.schema['properties'])) : ''
  const { description } = error.schema
  const what = description === undefined || isUnknown ? `is not known here: ${error.message}${meant}` : `must be ${description}`
  throw new ScenarioError(`${at(where)}: ${where === '' ? 'it' : where} ${what}`)
}

function checkPatterns (value: unknown, path: string, at: (path: string) => string): void {
  if (typeof value !== 'object' || value === null) return
  for (const [key, member] of Object.entries(value)) {
    if (key === 'said' || key === 'not-said') {
      for (const text of [member].flat() as string[]) {
        try {
          toPattern(text)
        } catch {
          throw new ScenarioError(`${at(`${path}/${key}`)}: ${path}/${key} is no pattern: ${text}`)
        }
      }
    } else {
      checkPatterns(member, `${path}/${key}`, at)
    }
  }
}

function lineOf (document: Document, lines: LineCounter, path: string): number {
  const keys = path.split('/').slice(1).map(key => /^\d+$/.test(key) ? Number(key) : key)
  // A missing member has no line, so use its parent's.
  for (let length = keys.length; length >= 0; length--) {
    const node = length === 0 ? document.contents : document.getIn(keys.slice(0, length), true)
    if (isNode(node) && node.range != null) return lines.linePos(node.range[0]).line
  }
  return 1
}
