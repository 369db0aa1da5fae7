/**
 * docs/grafana-dashboard.json can be imported, and shows all there is to show: its metrics and labels are those that `/metrics`
 * serves, and those that an OpenTelemetry collector would.
 */
import { readFileSync } from 'node:fs'
import { context, createNoopMeter, metrics, propagation, trace, type Meter } from '@opentelemetry/api'
import Fastify from 'fastify'
import t from 'tap'
import { startTelemetry } from '../../example-app/telemetry.js'
import type { Call, Turn, TurnReason } from '../../lib/contract/agent.js'
import { Instruments } from '../../lib/telemetry/instruments.js'
import { startModelRequest } from '../../lib/telemetry/model-request.js'
import { noRefusals, type Refusal } from '../../lib/telemetry/refusals.js'
import type { CallRecord, TurnOutcome, TurnReport } from '../../lib/telemetry/report.js'
import { Telemetry } from '../../lib/telemetry/telemetry.js'
import { startToolRun } from '../../lib/telemetry/tool-run.js'

interface Target {
  readonly refId: string
  readonly expr: string
  readonly legendFormat?: string
}

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description?: string
  readonly gridPos: { readonly x: number, readonly y: number, readonly w: number, readonly h: number }
  readonly datasource?: unknown
  readonly fieldConfig: { readonly defaults: { readonly unit?: string } }
  readonly options: { readonly yAxis?: { readonly unit?: string } }
  readonly targets: readonly Target[]
}

interface Variable {
  readonly name: string
  readonly type: string
  readonly query: string | { readonly query: string }
}

/** What one name has: its labels and their values, and the metric that it belongs to. */
interface Served {
  readonly name: string
  readonly metric: string
  readonly labels: Map<string, Set<string>>
}

/** A part of an expression that picks values: `name{label="value"}`. */
interface Selector {
  readonly text: string
  readonly names: RegExp
  readonly matchers: ReadonlyArray<{ readonly label: string, readonly operator: string, readonly value: string }>
}

const dashboard = JSON.parse(readFileSync('docs/grafana-dashboard.json', 'utf8'))
const everything: readonly Panel[] = dashboard.panels
const panels = everything.filter(({ type }) => type !== 'row')
const variables: readonly Variable[] = dashboard.templating.list

const REASONS: Record<TurnReason, true> = { greeting: true, response: true, reminder: true }
const OUTCOMES: Record<TurnOutcome, true> = {
  completed: true, error: true, superseded: true, interrupted: true, interjected: true, ended: true, deadline: true, disconnected: true, 'hang-up': true
}
const keysOf = <T extends string>(record: Record<T, unknown>): T[] => Object.keys(record) as T[]

// Prometheus' own: a label of all that it scrapes, and what its language has.
const TARGET_LABEL = 'job'
const FUNCTIONS = ['sum', 'rate', 'increase', 'histogram_quantile', 'vector', 'or']
const INTERVALS = ['__rate_interval', '__range']

/** Has all happen that is measured. */
function happen (): void {
  const telemetry = new Telemetry()
  for (const reason of keysOf<Refusal>(noRefusals())) telemetry.refused(reason)
  telemetry.clusterFailed('save')
  for (const provider of ['retell', 'millis'] as const) {
    const call = { id: 'call_1', provider } as Call
    const callTelemetry = telemetry.startCall(call, 0, context.active())!
    for (const reason of keysOf(REASONS)) {
      for (const outcome of keysOf(OUTCOMES)) {
        const report = { callId: call.id, provider, reason, outcome, durationMs: 3, firstTokenMs: 1, firstSentenceMs: 2, tools: [], ...(outcome === 'error' && { error: new Error('Oh') }) }
        callTelemetry.startTurn({ call } as Turn, 0).end(report as unknown as TurnReport, '')
      }
    }
    for (const error of [undefined, new Error('Oh')]) {
      const request = startModelRequest(call, { provider: 'openai', model: 'small', address: '127.0.0.1', port: 443 }, [])!
      request.received()
      request.end({ model: 'small-1', finish: 'stop', inputTokens: 2, outputTokens: 1, message: () => ({ role: 'assistant', content: '' }) }, error && { error })
      startToolRun(call, 'look', 'id', '{}')!.end(undefined, error)
    }
    callTelemetry.end({ callId: call.id, provider, durationMs: 9, reconnects: 1, malformedFrames: 1 } as CallRecord)
  }
}

/** What `/metrics` says once all has happened. */
async function scrape (): Promise<string> {
  process.env['METRICS_TOKEN'] = 'token'
  const telemetry = startTelemetry()
  delete process.env['METRICS_TOKEN']
  const app = Fastify()
  app.register(telemetry.plugin)
  happen()
  const { body } = await app.inject({ url: '/metrics', headers: { authorization: 'Bearer token' } })
  await app.close()
  await telemetry.stop()
  for (const api of [trace, context, metrics, propagation]) api.disable()
  return body
}

/** By metric, as `/metrics` serves it and as a collector does, which appends the unit to the name. */
function read (text: string): { ours: Served[], collected: Served[] } {
  const ours = new Map<string, Served>()
  const collected = new Map<string, Served>()
  let metric = ''
  let unit = ''
  for (const line of text.split('\n')) {
    const [, comment, of, value = ''] = /^# (HELP|UNIT|TYPE) (\w+) (.*)$/.exec(line) ?? []
    if (comment === 'HELP') [metric, unit] = [of!, '']
    // Units in braces are words for people.
    if (comment === 'UNIT' && !value.startsWith('{')) unit = value === 's' ? '_seconds' : `_${value}`
    const [, name, pairs = ''] = /^(\w+)(?:\{(.*)\})? [\d.e+-]+$/.exec(line) ?? []
    if (name === undefined || metric === 'target_info') continue
    for (const [served, as] of [[ours, name], [collected, metric + unit + name.slice(metric.length)]] as const) {
      const { labels } = served.get(as) ?? served.set(as, { name: as, metric, labels: new Map() }).get(as)!
      for (const [, label, is] of pairs.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels.set(label!, (labels.get(label!) ?? new Set()).add(is!))
    }
  }
  return { ours: [...ours.values()], collected: [...collected.values()] }
}

function selectorsOf (expression: string): Selector[] {
  return Array.from(expression.matchAll(/(\w*)\{((?:"(?:[^"\\]|\\.)*"|[^"}])*)\}/g), ([text, name, inner]) => {
    const matchers = Array.from(inner!.matchAll(/(\w+)(=~|!~|!=|=)"((?:[^"\\]|\\.)*)"/g), ([, label, operator, value]) => ({ label: label!, operator: operator!, value: value! }))
    const named = matchers.find(({ label }) => label === '__name__')
    return { text, names: whole(named?.value ?? name!), matchers: matchers.filter(matcher => matcher !== named) }
  })
}

/** The labels by which an expression groups, and all its words that nothing else explains. */
function restOf (expression: string): { groups: string[], words: string[] } {
  const groups: string[] = []
  const rest = selectorsOf(expression).reduce((rest, { text }) => rest.replace(text, ' '), expression)
    .replaceAll(/\b(?:by|on|group_left) \(([\w, ]*)\)/g, (_match, labels: string) => {
      groups.push(...labels.split(', ').filter(label => label !== ''))
      return ' '
    })
  return { groups, words: (rest.match(/\$?\w+/g) ?? []).filter(word => !/^\d/.test(word)) }
}

// As Prometheus takes an expression.
const whole = (pattern: string): RegExp => new RegExp(`^(?:${pattern})$`)

const text = await scrape()
const { ours, collected } = read(text)

t.test('it can be imported, for any Prometheus', async t => {
  t.match(dashboard, { id: null, uid: 'fastify-voice-agent', title: 'Voice agent', schemaVersion: 39, time: { from: 'now-1h', to: 'now' } })
  t.match(variables[0], { name: 'datasource', type: 'datasource', query: 'prometheus' })
  for (const { title, datasource } of panels) t.match(datasource, { type: 'prometheus', uid: /^\$\{datasource\}$/ }, title)
  // None of those that Grafana does without by now.
  t.strictSame([...new Set(everything.map(({ type }) => type))].sort(), ['bargauge', 'heatmap', 'row', 'stat', 'timeseries'])
})

t.test('each panel says what it shows, and in which unit', async t => {
  for (const { title, description = '', fieldConfig, options, targets } of panels) {
    t.match(description, /^[A-Z].{20,}\.$/, title)
    t.ok(fieldConfig.defaults.unit, title)
    t.ok(targets.length > 0, title)
    t.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title)
    // The heatmap's values are turns, on an axis of seconds.
    const { unit } = options.yAxis ?? fieldConfig.defaults
    for (const { expr } of targets) {
      if (/^histogram_quantile|^sum by \(le\)/.test(expr)) t.equal(unit, 's', title)
      if (expr.startsWith('60 * ')) t.equal(unit, 'suffix: /min', title)
    }
  }
  for (const member of ['id', 'title'] as const) t.equal(new Set(everything.map(panel => panel[member])).size, everything.length, member)
})

t.test('no panel covers another', async t => {
  const taken = new Set<string>()
  let cells = 0
  for (const { title, gridPos: { x, y, w, h } } of everything) {
    t.ok(x >= 0 && x + w <= 24, title)
    for (let column = x; column < x + w; column++) {
      for (let line = y; line < y + h; line++) taken.add(`${column} ${line}`)
    }
    t.equal(taken.size, (cells += w * h), title)
  }
})

t.test('it asks for metrics and labels that there are, whoever serves them', async t => {
  for (const { title, targets } of panels) {
    for (const { refId, expr, legendFormat = '' } of targets) {
      const selectors = selectorsOf(expr)
      t.ok(selectors.length > 0, `${title} ${refId}`)
      const { groups, words } = restOf(expr)
      t.strictSame(words.filter(word => !FUNCTIONS.includes(word) && !INTERVALS.includes(word.slice(1))), [], `${title} ${refId}: nothing else is asked for`)
      for (const { text, names, matchers } of selectors) {
        for (const all of [ours, collected]) {
          const found = all.filter(({ name }) => names.test(name))
          t.equal(found.length, 1, `${title}: ${text}`)
          const labels = found[0]?.labels ?? new Map<string, Set<string>>()
          for (const label of groups) t.ok(labels.has(label), `${title}: ${text} has ${label}`)
          for (const { label, operator, value } of matchers) {
            if (label === TARGET_LABEL) continue
            t.ok(labels.has(label), `${title}: ${text} has ${label}`)
            if (operator.startsWith('!') || value.startsWith('$')) continue
            for (const one of value.split('|')) t.ok([...labels.get(label) ?? []].some(is => whole(one).test(is)), `${title}: ${label} may be ${one}`)
          }
        }
      }
      t.strictSame(Array.from(legendFormat.matchAll(/\{\{(\w+)\}\}/g), ([, label]) => label).filter(label => !groups.includes(label!)), [], `${title} ${refId}: the legend`)
    }
  }
})

t.test('every metric that there is stands in a panel', async t => {
  const created: string[] = []
  const noop = createNoopMeter()
  const meter = new Proxy(noop, {
    get: (_target, method: 'createCounter') => (...[name, options]: Parameters<Meter['createCounter']>) => {
      created.push(name.replaceAll('.', '_') + (method === 'createCounter' ? '_total' : ''))
      return noop[method](name, options)
    }
  })
  t.ok(new Instruments(meter))
  const served = [...new Set(ours.map(({ metric }) => metric))].sort()
  t.strictSame(served, created.sort(), 'all that is measured has happened')
  const selectors = panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => selectorsOf(expr)))
  t.strictSame(served.filter(metric => !ours.some(({ name, metric: of }) => of === metric && selectors.some(({ names }) => names.test(name)))), [])
})

t.test('its variables are filled, and used', async t => {
  const used = panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => Array.from(expr.matchAll(/\$(\w+)/g), ([, name]) => name!)))
  t.strictSame([...new Set(['datasource', ...used])].filter(name => !INTERVALS.includes(name)).sort(), variables.map(({ name }) => name).sort())
  for (const { name, type, query } of variables.slice(1)) {
    if (typeof query === 'string') {
      t.strictSame([name, type, query.split(',').sort()], ['reason', 'custom', keysOf(REASONS).sort()])
      continue
    }
    const [, metric = '', label = ''] = /^label_values\((\w+)(?:\{.*\})?,(\w+)\)$/.exec(query.query) ?? []
    for (const all of [ours, collected]) {
      const served = all.find(({ name }) => name === metric)
      t.ok(served, query.query)
      t.ok(label === TARGET_LABEL || served?.labels.has(label), query.query)
    }
  }
})
