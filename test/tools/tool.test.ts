import t from 'tap'
import fc from 'fast-check'
import { FormatRegistry, Type, type TObject } from '@sinclair/typebox'
import { isTool, tool, type Tool, type ToolOptions } from '../../lib/tools/tool.js'

const DESCRIPTION = 'Books a table. Use it once day and size are known.'

const Booking = Type.Object({
  day: Type.String({ description: 'Such as 2026-01-31' }),
  guests: Type.Integer({ minimum: 1 }),
  near: Type.Optional(Type.Object({ window: Type.Boolean(), table: Type.Union([Type.Number(), Type.Null()]) })),
  extras: Type.Optional(Type.Record(Type.String(), Type.Number()))
})

/** A tool that is fine but for what is said. */
function make (options: Record<string, unknown> = {}): Tool {
  return tool({
    name: 'book', description: DESCRIPTION, parameters: Booking, execute: () => 'ok', ...options
  } as unknown as ToolOptions<TObject>)
}

/** A tool with one parameter. */
function takes (value: TObject['properties'][string]): Tool {
  return make({ parameters: Type.Object({ value }) })
}

/** Arguments that were checked at once, without what they are compared by. */
function read (made: Tool, written: unknown) {
  const read = made.read(written)
  if ('error' in read) return read
  return { args: (read as { args: Record<string, unknown> }).args, spoken: read.spoken }
}

/** What is wrong with arguments, or undefined. */
function mismatch (made: Tool, written: unknown): string | undefined {
  const result = read(made, written)
  return 'error' in result ? result.error : undefined
}

function argsOf (made: Tool, written: unknown): unknown {
  const result = read(made, written)
  return 'error' in result ? result : result.args
}

// What it is made of

t.test('by default a tool has side effects, runs on, and runs once a call', async t => {
  const execute = () => 'ok'
  const { read: _, say, filler, ...members } = make({ execute })
  t.strictSame(members, {
    name: 'book',
    description: DESCRIPTION,
    parameters: JSON.parse(JSON.stringify(Booking)),
    strict: false,
    fillerMs: 2_000,
    timeoutMs: 10_000,
    sideEffects: true,
    idempotent: false,
    onSupersede: 'finish',
    reuse: 'call',
    execute
  })
  t.equal(say({ args: {}, spoken: '' }), '')
  t.equal(filler({}), 'One moment, please.')
})

t.test('by default a look-up is cancelled with its turn, and its result is reused no longer', async t => {
  t.match(make({ sideEffects: false }), { sideEffects: false, onSupersede: 'cancel', reuse: 'turn' })
})

t.test('options of a tool override the defaults', async t => {
  const options = { sideEffects: false, onSupersede: 'finish', reuse: 'call', strict: true, fillerMs: 0, timeoutMs: 1 }
  t.match(make({ ...options, parameters: Type.Object({}) }), options)
  t.match(make({ onSupersede: 'cancel', reuse: 'turn' }), { sideEffects: true, onSupersede: 'cancel', reuse: 'turn' })
})

t.test('the parameters for the model are plain JSON', async t => {
  const { parameters } = make()
  t.strictSame(Reflect.ownKeys(parameters).filter(key => typeof key === 'symbol'), [])
  t.strictSame(parameters['required'], ['day', 'guests'])
  t.strictSame(make({ parameters: Type.Object({}, { additionalProperties: false }) }).parameters,
    { type: 'object', additionalProperties: false, properties: {}, required: [] })
})

t.test('a union of texts becomes one enum, any other literal an enum of its own', async t => {
  const [red, white] = [Type.Literal('red'), Type.Literal('white')]
  const { parameters } = make({
    parameters: Type.Object({
      wine: Type.Union([red, white], { description: 'The wine' }),
      wines: Type.Array(Type.Union([red, white], { default: null })),
      nested: Type.Union([Type.Union([red, white]), Type.Literal('rosé')]),
      only: Type.Literal('red', { description: 'All there is' }),
      size: Type.Union([Type.Literal(1), Type.Literal(2)]),
      maybe: Type.Union([red, Type.Null()]),
      described: Type.Union([red, Type.Literal('white', { description: 'dry' })])
    })
  })
  t.strictSame(parameters['properties'], {
    wine: { description: 'The wine', type: 'string', enum: ['red', 'white'] },
    wines: { type: 'array', items: { default: null, type: 'string', enum: ['red', 'white'] } },
    nested: { type: 'string', enum: ['red', 'white', 'rosé'] },
    only: { description: 'All there is', type: 'string', enum: ['red'] },
    size: { anyOf: [{ type: 'number', enum: [1] }, { type: 'number', enum: [2] }] },
    maybe: { anyOf: [{ type: 'string', enum: ['red'] }, { type: 'null' }] },
    described: { anyOf: [{ type: 'string', enum: ['red'] }, { description: 'dry', type: 'string', enum: ['white'] }] }
  })
})

t.test('a strict tool\'s objects are closed, at every depth', async t => {
  const parameters = Type.Object({
    day: Type.Union([Type.Object({ date: Type.String() }), Type.Null()]),
    guests: Type.Array(Type.Object({ name: Type.String() }, { additionalProperties: false }))
  })
  const closed = (name: string) => ({
    type: 'object', additionalProperties: false, required: [name], properties: { [name]: { type: 'string' } }
  })
  t.strictSame(make({ parameters, strict: true, say: { parameter: 'message', description: 'Said.' } }).parameters, {
    type: 'object',
    additionalProperties: false,
    properties: {
      message: { type: 'string', description: 'Said.' },
      day: { anyOf: [closed('date'), { type: 'null' }] },
      guests: { type: 'array', items: closed('name') }
    },
    required: ['message', 'day', 'guests']
  })
  t.equal(make({ parameters }).parameters['additionalProperties'], undefined, 'no other server is told so')
})

t.test('a tool cannot be changed', async t => {
  t.throws(() => { (make() as { timeoutMs: number }).timeoutMs = 1 }, TypeError)
})

t.test('only a value that tool() made is a tool', async t => {
  const made = make()
  t.equal(isTool(made), true)
  for (const other of [{ ...made }, null, undefined, 'book', made.execute, {}]) t.equal(isTool(other), false)
})

// Options that are none

t.test('invalid options are refused at once, and the error names the option', async t => {
  const never = () => ''
  const wrong: Array<[options: Record<string, unknown>, message: string]> = [
    ...[
      undefined, 5, '', 'a b', 'a\n', 'naïve', 'a'.repeat(65)
    ].map(name => [{ name }, 'tool: name must be'] as [Record<string, unknown>, string]),
    [{ description: undefined }, 'tool book: description must be'],
    [{ description: ' \n' }, 'tool book: description must be'],
    [{ description: 5 }, 'tool book: description must be'],
    [{ parameters: undefined }, 'tool book: parameters must be'],
    [{ parameters: null }, 'tool book: parameters must be'],
    [{ parameters: 'object' }, 'tool book: parameters must be'],
    [{ parameters: Type.String() }, 'tool book: parameters must be'],
    [{ parameters: Type.Record(Type.String(), Type.String()) }, 'tool book: parameters must be'],
    [{ execute: undefined }, 'tool book: execute must be'],
    [{ execute: 'ls' }, 'tool book: execute must be'],
    [{ say: 5 }, 'tool book: say must be'],
    [{ say: null }, 'tool book: say must be'],
    [{ say: {} }, 'tool book: say must be'],
    [{ say: { parameter: '' } }, 'tool book: say must be'],
    [{ say: { parameter: never } }, 'tool book: say must be'],
    [{ say: { parameter: 'day' } }, 'tool book: say names a parameter that the tool has'],
    [{ filler: { parameter: 'message' } }, 'tool book: filler must be'],
    [{ filler: null }, 'tool book: filler must be'],
    ...[-1, NaN, Infinity, 2 ** 31, '5', null].map(fillerMs => [
      { fillerMs }, 'tool book: fillerMs must be'
    ] as [Record<string, unknown>, string]),
    ...[
      0, 0.5, -1, NaN, Infinity, 2 ** 31, '5', null
    ].map(timeoutMs => [{ timeoutMs }, 'tool book: timeoutMs must be'] as [Record<string, unknown>, string]),
    [{ sideEffects: 'no' }, 'tool book: sideEffects must be'],
    [{ onSupersede: 'stop' }, 'tool book: onSupersede must be'],
    [{ reuse: 'never' }, 'tool book: reuse must be'],
    [{ reuse: null }, 'tool book: reuse must be'],
    [{ strict: 1 }, 'tool book: strict must be']
  ]
  for (const [options, message] of wrong) {
    t.throws(() => make(options), { code: 'VOICE_AGENT_ERR_CONFIG', message: new RegExp(`^${message}`) }, JSON.stringify(options))
  }
})

t.test('parameters that cannot be checked, or that no JSON fits, are refused at once', async t => {
  const wrong: Array<[parameters: object, message: RegExp]> = [
    [Type.Object({ day: Type.Unsafe({ type: 'string' }) }), /^tool book: parameters cannot be checked: /],
    [Type.Object({ day: Type.String({ enum: ['Sunday'] }) }), /^tool book: parameters has an enum, which is not checked: /],
    [
      Type.Object({ days: Type.Array(Type.Object({ day: Type.Optional(Type.Unsafe({ type: 'string', enum: ['Sunday'] })) })) }),
      /^tool book: parameters has an enum/
    ],
    [
      Type.Object({ mail: Type.String({ format: 'no-such-format' }) }),
      /^tool book: parameters has the format no-such-format, which is not known: /
    ],
    [
      Type.Object({ mail: Type.Union([Type.Null(), Type.String({ format: 'no-such-format' })]) }),
      /^tool book: parameters has the format no-such-format/
    ]
  ]
  const odd = {
    Date: Type.Date(),
    BigInt: Type.BigInt(),
    Uint8Array: Type.Uint8Array(),
    Undefined: Type.Undefined(),
    Symbol: Type.Symbol(),
    Function: Type.Function([], Type.Any())
  }
  for (const [kind, schema] of Object.entries(odd)) {
    const message = new RegExp(`^tool book: parameters has a ${kind}, which no model can write: `)
    wrong.push([Type.Object({ odd: schema }), message], [Type.Object({ odd: Type.Array(Type.Union([Type.String(), schema])) }), message])
  }
  // It would be typed as what it is decoded to, and be given as it was written.
  const at = Type.Transform(Type.String()).Decode(text => new Date(text)).Encode(date => date.toISOString())
  for (const parameters of [Type.Object({ at }), Type.Object({ at: Type.Optional(Type.Array(at)) })]) {
    wrong.push([parameters, /^tool book: parameters has a Transform, which no model can write: /])
  }
  for (const [parameters, message] of wrong) t.throws(() => make({ parameters }), { code: 'VOICE_AGENT_ERR_CONFIG', message })
})

t.test('a strict tool cannot have optional members, at any depth', async t => {
  const nested = Type.Object({ near: Type.Array(Type.Object({ table: Type.Optional(Type.Number()) })) })
  for (const [parameters, place] of [[Booking, '/: near, extras'], [nested, '/properties/near/items: table']] as const) {
    const message = `${place} must not be optional: make each required, and let it be null`
    t.throws(() => make({ parameters, strict: true }), { code: 'VOICE_AGENT_ERR_CONFIG', message: new RegExp(message) })
    make({ parameters })
  }
})

t.test('a format that the app registers is checked', async t => {
  FormatRegistry.Set('even', text => text.length % 2 === 0)
  t.teardown(() => { FormatRegistry.Delete('even') })
  const made = takes(Type.String({ format: 'even' }))
  t.strictSame(argsOf(made, { value: 'ab' }), { value: 'ab' })
  t.match(mismatch(made, { value: 'abc' }), '/value: ')
})

t.test('parameters may have the names of keywords', async t => {
  const made = make({ parameters: Type.Object({ enum: Type.String(), format: Type.String(), anyOf: Type.Array(Type.String()) }) })
  const written = { enum: 'a', format: 'b', anyOf: ['c'] }
  t.strictSame(argsOf(made, written), written)
  t.strictSame((made.parameters as { required: string[] }).required, ['enum', 'format', 'anyOf'])
})

t.test('the longest and the shortest accepted values are accepted', async () => {
  for (const options of [
    { name: 'a' }, { name: 'A-z_9'.repeat(12) }, { fillerMs: 2 ** 31 - 1 }, { timeoutMs: 2 ** 31 - 1 }, { say: '' }, { filler: '' }
  ]) make(options)
})

// What a model wrote

t.test('valid arguments stay unchanged', async t => {
  const written = { day: 'Sunday', guests: 2, near: { window: true, table: null }, extras: { cake: 1 } }
  t.strictSame(read(make(), JSON.stringify(written)), { args: written, spoken: '' })
  t.strictSame(read(make(), written), { args: written, spoken: '' })
})

t.test('parsed arguments are copied', async t => {
  const written = { day: 'Sunday', guests: 2, near: { window: true, table: 1, view: 'sea' }, mood: 'good' }
  const args = argsOf(make(), written) as typeof written
  args.near.table = 2
  t.strictSame(written, { day: 'Sunday', guests: 2, near: { window: true, table: 1, view: 'sea' }, mood: 'good' })
})

t.test('a tool without parameters may be called without arguments', async t => {
  const made = make({ parameters: Type.Object({}) })
  for (const written of [
    '', ' \n', '{}', {}, 'null', ' null ', null, undefined
  ]) t.strictSame(read(made, written), { args: {}, spoken: '' })
  for (const written of ['', 'null', null]) {
    t.equal(
      mismatch(takes(Type.String()), written), 'the arguments do not fit: /value: Expected required property'
    )
  }
})

t.test('the error for arguments that are not a JSON object does not quote them', async t => {
  const broken = ['{"day":"4111', '{"day":}', '[]', '[{"day":"4111"}]', '4111', '"4111"', 'true', '{} {}', "{'day':4111}"]
  for (const written of [...broken, 4111, true, [], [{}], () => {}, Symbol('4111')]) {
    t.strictSame(make().read(written), { error: 'the arguments are not a JSON object' })
  }
})

t.test('a mismatch names the place and the expected value, and never quotes the arguments', async t => {
  const secret = 'my card number is 4111'
  const mismatches: Array<[written: object, where: string[]]> = [
    [{}, ['/day', '/guests']],
    [{ day: 4111, guests: 1 }, ['/day']],
    [{ day: 'Sunday', guests: secret }, ['/guests']],
    [{ day: 'Sunday', guests: 4111.5 }, ['/guests']],
    [{ day: 'Sunday', guests: -4111 }, ['/guests']],
    [{ day: 'Sunday', guests: 1, near: { window: secret, table: 1 } }, ['/near/window']],
    [{ day: 'Sunday', guests: 1, near: { window: true, table: secret } }, ['/near/table']],
    [{ day: 'Sunday', guests: 1, near: null }, ['/near']],
    [{ day: 'Sunday', guests: 1, extras: { cake: secret } }, ['/extras/cake']],
    [{ day: [secret], guests: { secret } }, ['/day', '/guests']]
  ]
  for (const [written, where] of mismatches) {
    const error = mismatch(make(), written)!
    t.match(error, /^the arguments do not fit: /)
    t.strictSame([...new Set(error.match(/\/[\w/]*/g))], where)
    t.notMatch(error, /4111|card/)
  }
})

t.test('a mismatch of the whole value names the root', async t => {
  t.equal(
    mismatch(make({ parameters: Type.Object({}, { maxProperties: -1 }) }), '{}'),
    'the arguments do not fit: /: Expected object to have no more than -1 properties'
  )
})

t.test('an error names at most five mismatches', async t => {
  const error = mismatch(takes(Type.Array(Type.Number())), { value: Array(1_000).fill('x') })!
  t.equal(error.split('; ').length, 5)
})

t.test('unions, literals, lists and recursive types are checked', async t => {
  const choice = takes(Type.Union([Type.Literal('red'), Type.Literal('white'), Type.Object({ other: Type.String() })]))
  t.strictSame(argsOf(choice, { value: 'red' }), { value: 'red' })
  t.strictSame(argsOf(choice, { value: { other: 'rosé', more: 1 } }), { value: { other: 'rosé' } })
  t.equal(mismatch(choice, { value: '4111' }), 'the arguments do not fit: /value: Expected union value')

  const list = takes(Type.Array(Type.Object({ size: Type.Number() })))
  t.strictSame(argsOf(list, { value: [{ size: 1, more: 2 }, { size: 2 }] }), { value: [{ size: 1 }, { size: 2 }] })
  t.equal(mismatch(list, { value: [{ size: 1 }, { size: '4111' }] }), 'the arguments do not fit: /value/1/size: Expected number')

  const tree = takes(Type.Recursive(This => Type.Object({ size: Type.Number(), parts: Type.Array(This) })))
  const written = { value: { size: 1, parts: [{ size: 2, parts: [] }] } }
  t.strictSame(argsOf(tree, { ...written, more: 1 }), written)

  const both = takes(Type.Intersect([Type.Object({ a: Type.Number() }), Type.Object({ b: Type.Number() })]))
  t.strictSame(argsOf(both, { value: { a: 1, b: 2, c: 3 } }), { value: { a: 1, b: 2 } })
})

t.test('unknown members are dropped, at every depth', async t => {
  const written = { mood: 'good', day: 'Sunday', guests: 2, near: { window: true, table: 1, view: 'sea' } }
  const clean = { day: 'Sunday', guests: 2, near: { window: true, table: 1 } }
  t.strictSame(argsOf(make(), written), clean)
  const closed = make({ parameters: Type.Object({ day: Type.String() }, { additionalProperties: false }) })
  t.strictSame(argsOf(closed, written), { day: 'Sunday' })
})

t.test('any text of a model is either read or answered with an error', async () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }), fc.json(), fc.anything().map(value => { try { return JSON.stringify(value) } catch { return '' } })
  )
  fc.assert(fc.property(fc.oneof(text, fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true })), written => {
    const result = read(make(), written)
    if ('error' in result) return result.error.startsWith('the arguments ')
    return typeof result.args['day'] === 'string' && Number.isInteger(result.args['guests'])
  }))
})

// What is said

t.test('a line of a tool is a text, or a function of its arguments', async t => {
  const args = { day: 'Sunday' }
  const lines = make({ say: 'Let me see.', filler: '' })
  t.equal(lines.say({ args, spoken: '' }), 'Let me see.')
  t.equal(lines.filler(args), '')
  const functions = make({ say: ({ day }: { day: string }) => `${day}?`, filler: ({ day }: { day: string }) => `${day}...` })
  t.equal(functions.say({ args, spoken: '' }), 'Sunday?')
  t.equal(functions.filler(args), 'Sunday...')
  t.throws(() => make({ say: () => { throw new Error('no line') } }).say({ args, spoken: '' }), { message: 'no line' })
})

t.test('a spoken parameter comes first, is required, and is not an argument', async t => {
  const made = make({ say: { parameter: 'message' } })
  const { properties, required } = made.parameters as { properties: Record<string, unknown>, required: string[] }
  t.strictSame(Object.keys(properties), ['message', 'day', 'guests', 'near', 'extras'])
  t.strictSame(required, ['message', 'day', 'guests'])
  t.match(properties['message'], { type: 'string', description: /^Spoken to the caller/ })

  const result = read(made, { message: 'One moment.', day: 'Sunday', guests: 2 })
  t.strictSame(result, { args: { day: 'Sunday', guests: 2 }, spoken: 'One moment.' })
  t.equal(made.say(result as { args: Record<string, unknown>, spoken: string }), 'One moment.')
  t.match(Booking.properties, { message: undefined })

  const open = make({ parameters: Type.Object({}, { additionalProperties: Type.String() }), say: { parameter: 'message' } })
  t.strictSame(read(open, { message: 'One moment.', day: 'Sunday' }), { args: { day: 'Sunday' }, spoken: 'One moment.' })
})

t.test('a spoken parameter may have the app\'s description', async t => {
  const { parameters } = make({
    parameters: Type.Object({ day: Type.Optional(Type.String()) }), say: { parameter: 'message', description: 'Three words.' }
  })
  t.match(parameters, { properties: { message: { type: 'string', description: 'Three words.' } }, required: ['message'] })
})

t.test('a tool runs even if the spoken words are missing or not text', async t => {
  const made = make({ say: { parameter: 'message' } })
  for (const message of [undefined, null, 7, { text: 'Hi' }]) {
    t.strictSame(read(made, JSON.stringify({ message, day: 'Sunday', guests: 2 })), { args: { day: 'Sunday', guests: 2 }, spoken: '' })
  }
})
