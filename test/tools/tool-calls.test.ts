import t from 'tap'
import fc from 'fast-check'
import { ToolCalls, undecorated, type ToolCallDelta } from '../../lib/tools/tool-calls.js'

const A = { id: 'a', name: 'look_up', arguments: '{"day":"Sunday"}', extra: {} }
const B = { id: 'b', name: 'book', arguments: '{"day":"Monday"}', extra: {} }

/** The calls of one answer, whose deltas came one after the other. */
function assemble (deltas: unknown[], isCutOff = false) {
  const calls = new ToolCalls()
  for (const delta of deltas) calls.add([delta as ToolCallDelta])
  return calls.complete(isCutOff)
}

/** A delta as OpenAI writes it. */
function delta (index: unknown, id: string | undefined, name: string | undefined, args: unknown): object {
  return {
    ...(index !== undefined && { index }),
    ...(id !== undefined && { id, type: 'function' }),
    function: { ...(name !== undefined && { name }), ...(args !== undefined && { arguments: args }) }
  }
}

const ways: Array<[behaviour: string, deltas: object[]]> = [
  ['in pieces, each call after the other', [
    delta(0, 'a', 'look_up', ''), delta(0, undefined, undefined, '{"day":'), delta(0, undefined, undefined, '"Sunday"}'),
    delta(1, 'b', 'book', ''), delta(1, undefined, undefined, '{"day":"Monday"}')
  ]],
  ['all of a call at once', [delta(0, 'a', 'look_up', A.arguments), delta(1, 'b', 'book', B.arguments)]],
  ['in turns', [
    delta(0, 'a', 'look_up', '{"day":'), delta(1, 'b', 'book', '{"day"'), delta(0, undefined, undefined, '"Sun'),
    delta(1, undefined, undefined, ':"Monday"}'), delta(0, undefined, undefined, 'day"}')
  ]],
  ['numbered from 1, with a gap', [delta(1, 'a', 'look_up', A.arguments), delta(3, 'b', 'book', B.arguments)]],
  ['without a number, with ids at the first piece alone', [
    delta(undefined, 'a', 'look_up', '{"day":'), delta(undefined, undefined, undefined, '"Sunday"}'),
    delta(undefined, 'b', 'book', '{"day":'), delta(undefined, undefined, undefined, '"Monday"}')
  ]],
  ['without a number, all of a call at once', [delta(undefined, 'a', 'look_up', A.arguments), delta(undefined, 'b', 'book', B.arguments)]],
  ['with one number for all', [
    delta(0, 'a', 'look_up', '{"day":'), delta(0, undefined, undefined, '"Sunday"}'),
    delta(0, 'b', 'book', '{"day":'), delta(0, undefined, undefined, '"Monday"}')
  ]],
  ['with one number for all, and null for the number', [delta(null, 'a', 'look_up', A.arguments), delta(null, 'b', 'book', B.arguments)]],
  ['with ids and names in each piece', [
    delta(0, 'a', 'look_up', '{"day":'), delta(0, 'a', 'look_up', '"Sunday"}'), delta(1, 'b', 'book', '{"day":'), delta(1, 'b', 'book', '"Monday"}')
  ]],
  ['with ids in each piece and no number', [
    delta(undefined, 'a', 'look_up', '{"day":'), delta(undefined, 'a', undefined, '"Sunday"}'),
    delta(undefined, 'b', 'book', '{"day":'), delta(undefined, 'b', undefined, '"Monday"}')
  ]],
  ['with another id in each piece, and the name in the first', [
    delta(0, 'a', 'look_up', undefined), delta(0, 'a2', undefined, '{"day":'), delta(0, 'a3', '', '"Sunday"}'),
    delta(1, 'b', 'book', '{"day":'), delta(1, 'b2', undefined, '"Monday"}')
  ]],
  ['with another id in each piece, and one number for all', [
    delta(0, 'a', 'look_up', ''), delta(0, 'a2', undefined, A.arguments), delta(0, 'b', 'book', ''), delta(0, 'b2', undefined, B.arguments)
  ]],
  ['with ids that are empty behind the first piece', [
    delta(0, 'a', 'look_up', '{"day":'), delta(0, '', '', '"Sunday"}'), delta(1, 'b', 'book', '{"day":'), delta(1, '', '', '"Monday"}')
  ]],
  ['with ids and names that come late', [
    delta(0, undefined, undefined, '{"day":'), delta(0, 'a', undefined, '"Sunday"'), delta(0, undefined, 'look_up', '}'),
    delta(1, '', '', B.arguments), delta(1, 'b', 'book', undefined)
  ]],
  ['with arguments as an object', [delta(0, 'a', 'look_up', { day: 'Sunday' }), delta(1, 'b', 'book', { day: 'Monday' })]],
  ['with nothing behind the end', [
    delta(0, 'a', 'look_up', A.arguments), delta(1, 'b', 'book', B.arguments), delta(0, undefined, undefined, ''), delta(1, undefined, undefined, null)
  ]]
]

for (const [behaviour, deltas] of ways) {
  t.test(`calls come ${behaviour}`, async t => {
    t.strictSame(assemble(deltas), [A, B])
    const atOnce = new ToolCalls()
    atOnce.add(deltas as ToolCallDelta[])
    t.strictSame(atOnce.complete(false), [A, B], 'in one chunk, too')
  })
}

t.test('calls without an id get an empty id', async t => {
  t.strictSame(assemble([delta(0, undefined, 'look_up', A.arguments), delta(1, '', 'book', B.arguments)]), [{ ...A, id: '' }, { ...B, id: '' }])
})

const whole = (text: string): string => JSON.stringify(JSON.parse(text))
const LONDON = '{"city":"London"}'
const KIEL = '{"city":"Kiel"}'

for (const [behaviour, pieces, meant] of [
  ['behind an empty text', ['', KIEL], [KIEL]],
  ['behind null', ['null', KIEL], [KIEL]],
  ['behind null, in pieces', ['null', '{"city":', '"Kiel"}'], [KIEL]],
  ['behind an empty object', ['{}', KIEL], [KIEL]],
  ['behind an empty object, in pieces', ['{}', '{"city":', '"Kiel"}'], [KIEL]],
  ['once more at the end', ['{"city":', '"Kiel"}', KIEL], [KIEL]],
  ['once more at the end, with blanks', ['{"city":', '"Kiel"}', '\n', ' { "city": "Kiel" } '], [KIEL]],
  ['with all so far in each piece', ['{"ci', '{"city":"K', KIEL], [KIEL]],
  ['with all so far in each piece, behind an empty object', ['{}', '{"ci', '{"city":"K', KIEL], [KIEL]],
  ['with all so far in each piece, and objects within', ['{"a":{"b', '{"a":{"b":1}', '{"a":{"b":1}}'], ['{"a":{"b":1}}']],
  ['with all so far in each piece, and the last twice', ['{"ci', KIEL, KIEL], [KIEL]],
  ['as objects that grow', ['{"city":"Kiel"}', '{"city":"Kiel","day":"Sunday"}'], ['{"city":"Kiel","day":"Sunday"}']],
  ['as JSON in JSON', [JSON.stringify(KIEL)], [KIEL]],
  ['as JSON in JSON, in pieces', [...JSON.stringify(KIEL)], [KIEL]],
  ['as JSON in JSON in JSON', [JSON.stringify(JSON.stringify(KIEL))], [KIEL]],
  ['for two calls in one', [KIEL, LONDON], [KIEL, LONDON]],
  ['for two calls in one text', [KIEL + LONDON], [KIEL, LONDON]],
  ['for two calls with brackets in their texts', ['{"city":"}{\\""}', LONDON], ['{"city":"}{\\""}', LONDON]]
] as const) {
  t.test(`arguments may come ${behaviour}`, async t => {
    for (const ids of ['first', 'each']) {
      const calls = assemble(pieces.map((piece, index) => delta(0, index === 0 || ids === 'each' ? 'a' : undefined, index === 0 ? 'find' : undefined, piece)))
      t.strictSame(calls, meant.map((text, index) => ({ id: index === 0 ? 'a' : '', name: 'find', arguments: whole(text), extra: {} })), `with an id in ${ids}`)
    }
  })
}

for (const text of ['{"city":"Kiel"', '{"a":{"b":1}', '{"a":1} and more', '[1]', '5', '"text"', '"\\"', '}', '{}'.repeat(129), 'null', '{"a":1},{"b":2}', '']) {
  t.test(`arguments that are not an object stay unchanged: ${text.slice(0, 20)}`, async t => {
    t.match(assemble([delta(0, 'a', 'find', text)]), [{ arguments: text }])
    t.match(assemble([...text].map((piece, index) => delta(0, 'a', index === 0 ? 'find' : '', piece)).concat(delta(0, 'a', 'find', ''))), [{ arguments: text }])
  })
}

t.test('arguments that are repeated as an object belong to the same call', async t => {
  t.strictSame(assemble([delta(0, 'a', 'look_up', {}), delta(0, 'a', 'look_up', { day: 'Sunday' }), delta(0, 'a', undefined, { day: 'Sunday' })]), [A])
})

t.test('an empty object ahead of the arguments is no call of its own, even if name and index are repeated', async t => {
  t.strictSame(assemble([delta(0, undefined, 'look_up', '{}'), delta(0, undefined, 'look_up', A.arguments)]), [{ ...A, id: '' }])
})

t.test('a piece may come without a list', async t => {
  const calls = new ToolCalls()
  for (const one of ways[0]![1]) calls.add(one as ToolCallDelta)
  t.strictSame(calls.complete(false), [A, B])
})

t.test('a call that never gets a name is dropped', async t => {
  t.strictSame(assemble([delta(0, 'a', undefined, '{}'), delta(1, 'b', '', ''), delta(2, 'b', 'book', B.arguments)]), [B])
})

t.test('only a piece of a call with a name counts as a call', async t => {
  const calls = new ToolCalls()
  for (const none of [[], null, undefined, [{}], [null], [delta(0, 'a', undefined, '{')]]) t.equal(calls.add(none as ToolCallDelta[]), false)
  t.equal(calls.add([delta(0, 'a', 'look_up', undefined) as ToolCallDelta]), true)
  t.equal(calls.add([delta(0, undefined, undefined, '}') as ToolCallDelta]), true)
})

t.test('the decoration of a name is removed', async t => {
  for (const name of ['find', ' find\n', 'functions.find', 'functions.find:0', 'find:12', 'find<|channel|>commentary', 'functions.find<|constrain|>json', 'default_api:find', 'to functions.find']) {
    t.equal(undecorated(name), 'find', name)
  }
  for (const name of ['', '<|call|>', 'finden', 'fi nd!']) t.equal(undecorated(name), name)
})

t.test('unknown members are kept for the model that wrote them', async t => {
  const signature = { google: { thought_signature: 'x' } }
  const [call] = assemble([
    { ...delta(0, 'a', 'look_up', '{"day":'), extra_content: signature, seen: 1 },
    { ...delta(0, undefined, undefined, '"Sunday"}'), seen: 2 }
  ])
  t.strictSame(call, { ...A, extra: { extra_content: signature, seen: 2 } })
})

t.test('two calls of one tool with one index are distinguished by their ids', async t => {
  const sunday = { ...A, id: 'b' }
  t.strictSame(assemble([delta(0, 'a', 'look_up', A.arguments), delta(0, 'b', 'look_up', A.arguments)]), [A, sunday])
  t.strictSame(assemble([delta(0, 'a', 'look_up', ''), delta(0, 'b', 'look_up', '')]), [{ ...A, arguments: '' }, { ...sunday, arguments: '' }])
})

t.test('two tools without parameters, indices and ids are two calls', async t => {
  t.match(assemble([{ function: { name: 'a' } }, { function: { name: 'b' } }]), [{ name: 'a', arguments: '' }, { name: 'b', arguments: '' }])
})

t.test('values that are not pieces of a call are skipped', async t => {
  for (const junk of [null, undefined, 5, 'call', true]) t.strictSame(assemble([junk]), [])
  const calls = new ToolCalls()
  for (const junk of [null, undefined, {}, 5, 'call', true]) calls.add(junk as unknown as ToolCallDelta[])
  t.strictSame(calls.complete(false), [])
})

t.test('an invalid member of a piece does not affect the rest of the call', async t => {
  const junk = [
    { index: 0, function: null }, { index: 0, function: 'look_up' }, { index: 0, function: 5 }, { index: 0, id: 7 }, { index: 0, id: null },
    { index: 0, function: { name: 7, arguments: null } }, { index: 0, function: { name: {} } }, { index: 0 }
  ]
  t.strictSame(assemble([...junk, delta(0, 'a', 'look_up', '{"day":'), ...junk, delta(0, undefined, undefined, '"Sunday"}'), ...junk]), [A])
})

t.test('members of a delta cannot change Object.prototype', async t => {
  const [call] = assemble([JSON.parse('{"index":0,"id":"a","__proto__":{"polluted":1},"function":{"name":"x","arguments":"{}","__proto__":{"polluted":1}}}')])
  t.equal(({} as { polluted?: number }).polluted, undefined)
  t.match(call, { id: 'a', name: 'x', arguments: '{}' })
})

t.test('in a truncated answer, empty arguments are incomplete', async t => {
  const deltas = [delta(0, 'a', 'look_up', A.arguments), delta(1, 'b', 'book', ' ')]
  t.strictSame(assemble(deltas, true), [A, { ...B, arguments: '{' }])
  t.strictSame(assemble(deltas), [A, { ...B, arguments: ' ' }])
})

t.test('any split of the arguments and any interleaving of calls make the same calls', async t => {
  const call = fc.record({ name: fc.string({ minLength: 1 }), args: fc.dictionary(fc.string(), fc.jsonValue()), cuts: fc.array(fc.nat(200), { maxLength: 6 }) })
  fc.assert(fc.property(fc.array(call, { maxLength: 4 }), fc.constantFrom('first', 'each'), fc.infiniteStream(fc.nat(3)), (calls, ids, order) => {
    const written = calls.map(({ name, args }, index) => ({ id: `id ${index}`, name, arguments: JSON.stringify(args), extra: {} }))
    // The first piece of each has its number, so that they stand in this order.
    const queues = calls.map(({ cuts }, index) => {
      const { id, name, arguments: args } = written[index]!
      const at = [0, 0, ...cuts.map(cut => cut % (args.length + 1)), args.length].sort((a, b) => a - b)
      return at.slice(1).map((to, piece) => delta(index, piece === 0 || ids === 'each' ? id : undefined, piece === 0 ? name : undefined, args.slice(at[piece], to)))
    })
    const deltas = queues.map(queue => queue.shift()!)
    while (queues.some(queue => queue.length > 0)) {
      const next = queues[order.next().value % queues.length]!.shift()
      if (next !== undefined) deltas.push(next)
    }
    t.strictSame(assemble(deltas), written)
  }))
})

t.test('anything that a server sends becomes calls whose members are text', async () => {
  const junk = fc.oneof(
    fc.anything(),
    fc.record({ index: fc.constantFrom(0, 1, null, '0', undefined), id: fc.oneof(fc.constantFrom('a', 'b', ''), fc.jsonValue()), function: fc.oneof(fc.jsonValue(), fc.record({ name: fc.jsonValue(), arguments: fc.jsonValue() })) }, { requiredKeys: [] })
  )
  fc.assert(fc.property(fc.array(junk), fc.boolean(), (deltas, isCutOff) => assemble(deltas, isCutOff).every(call =>
    typeof call.id === 'string' && typeof call.name === 'string' && typeof call.arguments === 'string' && typeof call.extra === 'object')))
})

t.test('a name that is repeated in each piece without ids is one call', async t => {
  const calls = new ToolCalls()
  for (const args of ['{"day"', ':"tue"', '}', '']) calls.add([{ function: { name: 'book', arguments: args } }])
  t.match(calls.complete(false), [{ name: 'book', arguments: '{"day":"tue"}' }])
  t.equal(calls.complete(false).length, 1)
})
