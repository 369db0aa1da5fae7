import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import t from 'tap'
import fc from 'fast-check'
import { Stream } from 'openai/core/streaming'
import { EventStream } from '../../../lib/agents/openai/event-stream.js'

/** All events of a stream that comes in these pieces. */
function readAll (...pieces: Buffer[]): string[] {
  const stream = new EventStream()
  return pieces.flatMap(piece => stream.read(piece))
}

function readText (text: string): string[] {
  return readAll(Buffer.from(text))
}

/** Cuts bytes into pieces, some of them empty. */
function cut (bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...places.map(place => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end))
}

function bytewise (bytes: Buffer): Buffer[] {
  return cut(bytes, Array.from(bytes, (_byte, i) => i))
}

const streams: Array<[behaviour: string, text: string, events: string[]]> = [
  ['an event is its data', 'data: a\n\ndata: b\n\n', ['a', 'b']],
  ['lines may end in CRLF', 'data: a\r\n\r\ndata: b\r\n\r\n', ['a', 'b']],
  ['lines may end in LF and CRLF', 'data: a\r\n\ndata: b\n\r\n', ['a', 'b']],
  ['a CR inside a line is data where lines end in something else', 'data: a\n\ndata: b\rc\n\n', ['a', 'b\rc']],
  ['lines may end in CR alone', 'data: a\r\rdata: b\rdata: c\r\r', ['a', 'b\nc']],
  ['one space ahead of the data is none of it, a second one is', 'data:a\n\ndata: b\n\ndata:  c\n\ndata:\td \n\n', ['a', 'b', ' c', '\td ']],
  ['data in several lines has a line feed between them', 'data: a\ndata:b\r\ndata:\ndata: \ndata: c\n\n', ['a\nb\n\n\nc']],
  ['data may be empty', 'data:\n\ndata: \n\ndata:\r\n\r\n', ['', '', '']],
  ['data may hold what looks like a field', 'data: data: a\n\ndata:data:b\n\n', ['data: a', 'data:b']],
  ['comments are passed over, alone and inside an event', ':\n\n: keep-alive\n\ndata: a\n:data: b\ndata: c\n\n', ['a\nc']],
  ['other fields are passed over, before and behind the data', 'id: 1\nevent: x\nretry: 5\ndata: a\nevent: data:\nid\n\n', ['a']],
  ['what has no data is no event', '\n\r\n\n\nevent: ping\n\nid: 1\n\nretry: 5\n\n', []],
  ['fields that only begin like data are passed over', 'dat: a\ndatax: b\nxdata: c\n data: d\nData: e\ndata : f\nda\n\n', []],
  ['an event without its blank line is none', 'data: a\n\ndata: b\n', ['a']],
  ['an event without the end of its line is none', 'data: a\n\ndata: b', ['a']],
  ['an event whose blank line is half there is none', 'data: a\r\n\r', []],
  ['characters of any length stay whole', 'data: Grüß dich, 世界 👋🏽\n\n', ['Grüß dich, 世界 👋🏽']],
  ['lines end where a line ends, and not in other separators', 'data: a\u2028b\u0085c\u000bd\n\n', ['a\u2028b\u0085c\u000bd']],
  ['a byte order mark ahead of the stream is none of it, later ones are', '\uFEFFdata: \uFEFFa\n\n\uFEFFdata: b\n\n', ['\uFEFFa']]
]

for (const [behaviour, text, events] of streams) {
  t.test(behaviour, async t => {
    const bytes = Buffer.from(text)
    t.strictSame(readAll(bytes), events)
    t.strictSame(readAll(...bytewise(bytes)), events, 'byte by byte')
    for (let i = 0; i <= bytes.length; i++) {
      const halves = [bytes.subarray(0, i), bytes.subarray(i)]
      if (JSON.stringify(readAll(...halves)) !== JSON.stringify(events)) t.fail(`in two halves of ${halves.map(half => JSON.stringify(String(half)))}`)
    }
  })
}

/** What the end of the response adds. */
function readToEnd (...pieces: Buffer[]): { events: string[], rest: string[], hasData: boolean } {
  const stream = new EventStream()
  const events = pieces.flatMap(piece => stream.read(piece))
  return { events, rest: stream.end(), hasData: stream.hasData }
}

const deviations: Array<[behaviour: string, text: string, events: string[], rest: string[]]> = [
  ['the last event may lack its blank line', 'data: a\n\ndata: b\n', ['a'], ['b']],
  ['the last event may lack the end of its line', 'data: a\n\ndata: b', ['a'], ['b']],
  ['the last line may end in CR', 'data: a\r\n\r\ndata: b\r', ['a'], ['b']],
  ['events of JSON may be one line end apart', 'data: {"a":1}\ndata: {"a":2}\ndata: [DONE]\n', ['{"a":1}', '{"a":2}', '[DONE]'], []],
  ['JSON in several lines stays one event', 'data: {"a":\ndata: {}\ndata: }\n\n', ['{"a":\n{}\n}'], []],
  ['an event that is named error is an error', 'event: error\ndata: {"code":503}\n\nevent: error\ndata: Overloaded\n\n', ['{"error":{"code":503}}', '{"error":"Overloaded"}'], []],
  ['an event that is named error may lack data', 'event: error\n\n', ['{"error":""}'], []],
  ['other names of events are passed over', 'event: message\nid: 1\nretry: 5\ndata\ndata: a\n\n', ['a'], []],
  ['an error may be a field', 'data: a\n\nerror: {"code":500}\n\nerror: Overloaded\n', ['a', '{"error":{"code":500}}', '{"error":"Overloaded"}'], []],
  ['JSON may stand without a field', 'data: a\n\n{"error":{"code":500}}\n', ['a', '{"error":{"code":500}}'], []],
  ['JSON without a field may have several lines', 'data: a\n\n{\n  "error": {}\n}\n', ['a'], ['{\n  "error": {}\n}']],
  ['a body may be JSON', '{"choices":[]}', [], ['{"choices":[]}']],
  ['a body may be JSON in several lines', '\n[\n  1\n]', [], ['[\n  1\n]']],
  ['what looks like JSON within a page is none', '<html>\n{"a":1}\n{\n</html>', [], []],
  ['lines that are no field are passed over behind data', 'data: a\n\nping\n{"b":1}\n', ['a', '{"b":1}'], []]
]

for (const [behaviour, text, events, rest] of deviations) {
  t.test(`${behaviour}, however the bytes are cut`, async t => {
    const bytes = Buffer.from(text)
    const hasData = /^(?:data|error):/m.test(text)
    t.strictSame(readToEnd(bytes), { events, rest, hasData })
    t.strictSame(readToEnd(...bytewise(bytes)), { events, rest, hasData })
    const returns = readToEnd(Buffer.from(text.replaceAll(/\r?\n/g, '\r')))
    t.strictSame([...returns.events, ...returns.rest].map(data => data.replaceAll('\r', '\n')), [...events, ...rest], 'with CR alone')
  })
}

t.test('events are given with the bytes that complete them', async t => {
  const stream = new EventStream()
  t.strictSame(stream.read(Buffer.from('data: a\n')), [])
  t.strictSame(stream.read(Buffer.from('\ndata: b\n\ndata: c')), ['a', 'b'])
  t.strictSame(stream.read(Buffer.alloc(0)), [])
  t.strictSame(stream.read(Buffer.from('\r')), [])
  t.strictSame(stream.read(Buffer.from('\n\r\n')), ['c'])
})

t.test('two streams know nothing of each other', async t => {
  const [one, two] = [new EventStream(), new EventStream()]
  const [head, tail] = cut(Buffer.from('data: 👋\n\n'), [8]) as [Buffer, Buffer]
  t.strictSame(one.read(head), [])
  t.strictSame(two.read(Buffer.from('data: b\n\n')), ['b'])
  t.strictSame(one.read(tail), ['👋'])
})

// Random streams

const terminator = fc.constantFrom('\n', '\r\n')
const noise = fc.string({ unit: 'binary', maxLength: 8 }).map(text => text.replace(/[\r\n]/g, ''))
const line = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(fc.constantFrom('data:', 'data: '), noise).map(parts => parts.join('')) },
  { weight: 2, arbitrary: fc.constant('') },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom(':', 'event: ', 'id:', 'retry: ', 'data', ''), noise).map(parts => parts.join('')) }
)
const places = fc.array(fc.nat(), { maxLength: 30 })

t.test('however the bytes are split, the events are the same', async t => {
  t.doesNotThrow(() => fc.assert(fc.property(fc.array(fc.tuple(line, terminator), { maxLength: 20 }), places, (lines, places) => {
    const bytes = Buffer.from(lines.flat().join(''))
    const whole = JSON.stringify(readAll(bytes))
    return JSON.stringify(readAll(...cut(bytes, places))) === whole && JSON.stringify(readAll(...bytewise(bytes))) === whole
  })))
})

t.test('however bytes that are no UTF-8 are split, the events are the same', async t => {
  // Beginnings, middles and ends of characters, in any order.
  const byte = fc.constantFrom(0x0a, 0x0d, 0x61, 0x80, 0x9f, 0xa0, 0xc3, 0xe2, 0xed, 0xf0, 0xf4, 0xff)
  t.doesNotThrow(() => fc.assert(fc.property(fc.array(byte, { maxLength: 12 }), places, (garbage, places) => {
    const bytes = Buffer.concat([Buffer.from('data:'), Buffer.from(garbage), Buffer.from('\n\ndata: a\n\n')])
    const whole = JSON.stringify(readAll(bytes))
    return JSON.stringify(readAll(...cut(bytes, places))) === whole && JSON.stringify(readAll(...bytewise(bytes))) === whole
  })))
})

t.test('the openai client reads the same', async t => {
  // It reads JSON alone, throws where it is an error, and at events without data.
  const json = fc.tuple(fc.json(), fc.constantFrom(0, 2)).map(([text, indent]) => JSON.stringify({ value: JSON.parse(text) }, null, indent))
  const comment = noise.map(text => `:${text}`)
  const field = fc.tuple(fc.constantFrom('event: ', 'id: ', 'retry:'), fc.constantFrom('1', 'message', 'x y')).map(parts => parts.join(''))
  const event = fc.tuple(fc.array(fc.oneof(comment, field), { maxLength: 3 }), fc.constantFrom('data:', 'data: '), json)
    .map(([others, name, text]) => [...others, ...text.split('\n').map(line => name + line), ''])
  const keepAlive = comment.map(text => [text, ''])
  const stream = fc.array(fc.oneof({ weight: 3, arbitrary: event }, { weight: 1, arbitrary: keepAlive }, { weight: 1, arbitrary: fc.constant(['']) }), { maxLength: 8 })
    .chain(blocks => fc.tuple(...blocks.flat().map(line => terminator.map(end => line + end))))
    .map(lines => lines.join(''))
  const cutOff = fc.constantFrom('', 'data: {"value":1}', 'data: {"value":1}\n', 'data: {"val', ': bye\n')
  await t.resolves(fc.assert(fc.asyncProperty(stream, cutOff, places, async (text, end, places) => {
    const bytes = Buffer.from(text + end)
    const theirs: unknown[] = []
    for await (const value of Stream.fromSSEResponse(new Response(bytes), new AbortController())) theirs.push(value)
    t.strictSame(readAll(...cut(bytes, places)).map(data => JSON.parse(data)), theirs)
  }), { numRuns: 50 }))
})

t.test('what an answer is made of reads the same', async t => {
  const chunk = (content: string) => JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason: null }] })
  await t.resolves(fc.assert(fc.asyncProperty(fc.array(fc.string({ unit: 'grapheme' })), places, async (words, places) => {
    const bytes = Buffer.from([...words.map(chunk), '[DONE]'].map(data => `data: ${data}\n\n`).join(''))
    const events = readAll(...cut(bytes, places))
    t.strictSame(events, [...words.map(chunk), '[DONE]'])
    const theirs: unknown[] = []
    for await (const value of Stream.fromSSEResponse(new Response(bytes), new AbortController())) theirs.push(value)
    t.strictSame(events.slice(0, -1).map(data => JSON.parse(data)), theirs)
  }), { numRuns: 30 }))
})

// Time

/** Reads these pieces, and gives up once that took longer than any machine needs. Returns what was read. */
async function readInTime (pieces: Iterable<Buffer>, limitMs: number): Promise<string[] | 'too slow'> {
  const stream = new EventStream()
  const events: string[] = []
  const began = process.cpuUsage()
  let read = 0
  for (const piece of pieces) {
    events.push(...stream.read(piece))
    if (++read % 50 !== 0) continue
    const { user, system } = process.cpuUsage(began)
    if (user + system > limitMs * 1_000) return 'too slow'
    await nextLoopTurn()
  }
  return events
}

t.test('a long event in many pieces takes a time that grows no faster than it does', async t => {
  const piece = Buffer.from('x'.repeat(64))
  const count = 100_000
  function * pieces () {
    yield Buffer.from('data: ')
    for (let i = 0; i < count; i++) yield piece
    yield Buffer.from('\n\n')
  }
  const events = await readInTime(pieces(), 4_000)
  t.not(events, 'too slow')
  t.equal(events.length, 1)
  t.equal(events[0]?.length, count * piece.length)
})

t.test('an event of many lines takes a time that grows no faster than it does', async t => {
  const count = 100_000
  function * pieces () {
    for (let i = 0; i < count; i++) yield Buffer.from('data: 0123456789abcdef\n')
    yield Buffer.from('\n')
  }
  const events = await readInTime(pieces(), 4_000)
  t.equal(events.length, 1)
  t.equal(events[0]?.length, count * 17 - 1)
})

t.test('many events in one piece take a time that grows no faster than they do', async t => {
  const count = 100_000
  const events = readText('data: 0123456789abcdef\n\n'.repeat(count))
  t.equal(events.length, count)
  t.ok(events.every(data => data === '0123456789abcdef'))
})
