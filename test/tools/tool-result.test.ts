/**
 * What the model is told of what a tool returned.
 */
import pino from 'pino'
import t from 'tap'
import fc from 'fast-check'
import type { FastifyBaseLogger } from 'fastify'
import { ToolError } from '../../lib/contract/errors.js'
import { outcomeOf } from '../../lib/tools/tool-result.js'
import type { LogLine } from '../helpers/app.js'
import { scaledRuns } from '../helpers/runs.js'

const SECRET = 'my card number is 4111'
const CANNOT_HOLD = 'a tool returned a value that JSON cannot hold: return text, or plain objects and lists'

/** What comes of a returned value, and what is logged at info and above. */
function tell (returned: unknown) {
  const logs: LogLine[] = []
  const log = pino({ level: 'info', base: null, timestamp: false }, { write: line => { logs.push(JSON.parse(line)) } })
  return { outcome: outcomeOf(returned, log as unknown as FastifyBaseLogger), logs }
}

const unshown = (what: string) => `The tool ran. It returned ${what}, which cannot be shown.`

class Booking { #table = 4; get table () { return this.#table } }
class Seat { row = 7 }
const methods = { book () {}, cancel () {} }
const unknownTag = Object.assign(Object.create({ constructor: undefined }), { [Symbol.toStringTag]: 'Object' })

for (const [what, returned, content, types] of [
  ['a response of fetch', new Response(SECRET, { status: 404 }), unshown('a Response with status 404'), ['Response']],
  ['headers', new Headers({ secret: SECRET }), unshown('a Headers'), ['Headers']],
  ['a generator', (function * () { yield SECRET })(), unshown('a Generator'), ['Generator']],
  ['an async generator', (async function * () { yield SECRET })(), unshown('an AsyncGenerator'), ['AsyncGenerator']],
  ['a function', () => SECRET, unshown('a function'), ['function']],
  ['a symbol', Symbol(SECRET), unshown('a symbol'), ['symbol']],
  ['a pattern', /4111/, unshown('a RegExp'), ['RegExp']],
  ['an object of a class without members', new Booking(), unshown('a Booking'), ['Booking']],
  ['an object without a class', unknownTag, unshown('an Object'), ['Object']],
  ['a map', new Map<string, unknown>([['table', 4], ['at', new Date(0)]]), '{"table":4,"at":"1970-01-01T00:00:00.000Z"}', ['Map']],
  ['a map whose keys are no texts', new Map([[1, 'one']]), '[[1,"one"]]', ['Map']],
  ['a set', new Set([1, 2]), '[1,2]', ['Set']],
  ['a map and a set in an object', { tables: new Map([['a', new Set([1])]]) }, '{"tables":{"a":[1]}}', ['Map', 'Set']],
  ['an error in an object', { table: 4, error: new TypeError(SECRET) }, '{"table":4,"error":"an Error"}', ['Error']],
  ['a promise in a list', [Promise.resolve(SECRET), 1], '["a Promise",1]', ['Promise']],
  ['a function in a list', [() => {}], '["a function"]', ['function']],
  ['members without a value', { table: undefined, guests: undefined }, '{"table":null,"guests":null}', ['undefined']],
  ['methods alone', methods, '{"book":null,"cancel":null}', ['undefined']]
] as Array<[what: string, returned: unknown, content: string, types: string[]]>) {
  t.test(`the model gets a true statement about ${what}, and the log only the type`, async t => {
    const { outcome, logs } = tell(returned)
    t.strictSame(outcome, { content, successful: true })
    t.strictSame(logs, [{ level: 40, types, msg: CANNOT_HOLD }])
  })
}

for (const [what, returned, content] of [
  ['an empty object', {}, '{}'],
  ['an empty object without a class', Object.create(null), '{}'],
  ['an empty list', [], '[]'],
  ['an object with some members without a value', { table: 4, note: undefined, book () {} }, '{"table":4}'],
  ['an object of a class with members', new Seat(), '{"row":7}'],
  ['an object that writes itself as text', new URL('https://example.com'), '"https://example.com/"'],
  ['an object that writes itself as nothing', { a: { toJSON: () => undefined } }, '{}'],
  ['a boxed number', Object(5), '5'],
  ['bytes', Buffer.from('a'), '{"type":"Buffer","data":[97]}']
] as Array<[what: string, returned: unknown, content: string]>) {
  t.test(`the model gets ${what} as JSON, and nothing is logged`, async t => {
    t.strictSame(tell(returned), { outcome: { content, successful: true }, logs: [] })
  })
}

t.test('a returned error counts as thrown', async t => {
  const { outcome, logs } = tell(new TypeError(SECRET))
  t.strictSame(outcome, { content: '{"error":"the tool failed"}', successful: false })
  t.match(logs, [{ level: 50, msg: 'a tool returned an error' }])
  t.equal(logs.length, 1)
  t.strictSame(tell(new ToolError('full')), { outcome: { content: '{"error":"full"}', successful: false, refused: true }, logs: [] })
})

const text = (text: string) => ({ type: 'text', text })
const done = (content: string) => ({ content, successful: true })
const failure = (error: string) => ({ content: JSON.stringify({ error }), successful: false })

for (const [what, returned, outcome] of [
  ['texts', { content: [text('Table 4'), text('at noon')] }, done('Table 4\nat noon')],
  ['a resource that is text', { content: [{ type: 'resource', resource: text('Table 4') }], isError: false }, done('Table 4')],
  ['structure beside a text', { content: [text('Table 4')], structuredContent: { table: 4 }, _meta: {} }, done('Table 4')],
  ['structure alone', { content: [], structuredContent: { table: 4 } }, done('{"table":4}')],
  ['nothing', { content: [] }, done('Done.')],
  ['an error', { content: [text('The "diary" is closed.')], isError: true }, failure('The "diary" is closed.')],
  ['an error without a text', { content: [], isError: true }, failure('the tool failed')],
  ['what only resembles it', { content: [text('a')], title: 'b' }, done('{"content":[{"type":"text","text":"a"}],"title":"b"}')],
  ['a list of other things', { content: ['a'] }, done('{"content":["a"]}')],
  ['a text that is not a list', { content: 'a' }, done('{"content":"a"}')]
] as const) {
  t.test(`an MCP result with ${what} is read by the rules of MCP`, async t => {
    t.strictSame(tell(returned), { outcome, logs: [] })
  })
}

t.test('the log names MCP content that is not text, and so does the model\'s result if there is no text', async t => {
  const image = { type: 'image', data: 'AAAA', mimeType: 'image/png' }
  const msg = 'a tool returned MCP content that is not text: the model gets only the text'
  t.strictSame(tell({ content: [image, { type: 'text', text: 'A map.' }] }),
    { outcome: { content: 'A map.', successful: true }, logs: [{ level: 40, types: ['image'], msg }] })
  t.strictSame(tell({ content: [image, image, { type: 'resource', resource: { uri: 'a:b', blob: 'AAAA' } }] }),
    { outcome: done(unshown('image, resource')), logs: [{ level: 40, types: ['image', 'resource'], msg }] })
})

t.test('for any result the model gets some text, and JSON unchanged', async () => {
  const anything = fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true, withNullPrototype: true })
  fc.assert(fc.property(anything, returned => tell(returned).outcome.content.trim() !== ''), { numRuns: scaledRuns(1_000) })
  fc.assert(fc.property(fc.jsonValue().filter(value => typeof value !== 'string'), value => {
    const { outcome, logs } = tell(value)
    return outcome.content === JSON.stringify(value) && logs.length === 0
  }), { numRuns: scaledRuns(1_000) })
})
