import fc from 'fast-check'
import t from 'tap'
import { ChunkPattern } from '../../../lib/agents/openai/chunk-pattern.js'
import { scaledRuns } from '../../helpers/runs.js'

interface Chunk {
  choices?: Array<{ delta?: { content?: unknown } }>
}

const HEAD = '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1760000000,"model":"m","choices":[{"index":0,"delta":'
const TAIL = ',"logprobs":null,"finish_reason":null}]}'

function wordsOf (chunk: unknown): string {
  const content = (chunk as Chunk).choices?.[0]?.delta?.content
  return typeof content === 'string' ? content : ''
}

/** One that was told of this chunk. */
function taught (data: string): ChunkPattern {
  const pattern = new ChunkPattern(wordsOf)
  pattern.learn(data, wordsOf(JSON.parse(data)))
  return pattern
}

t.test('chunks like the first one are read without being parsed', async t => {
  const pattern = new ChunkPattern(wordsOf)
  t.equal(pattern.read(`${HEAD}{"content":"One"}${TAIL}`), undefined, 'there is none before')
  pattern.learn(`${HEAD}{"content":"One"}${TAIL}`, 'One')
  for (const words of ['One', ' two', 'ü 👋', '第三', ',']) t.equal(pattern.read(`${HEAD}{"content":"${words}"}${TAIL}`), words)
})

t.test('what is anything else is left to the parser', async t => {
  const pattern = taught(`${HEAD}{"content":"One"}${TAIL}`)
  for (const data of [
    '',
    '[DONE]',
    '{}',
    `${HEAD}{}${TAIL}`,
    `${HEAD}{"content":"One"}${TAIL} `,
    `${HEAD}{"content":"One`,
    `${HEAD}{"content":"a \\"quote\\""}${TAIL}`,
    `${HEAD}{"content":"a line\\n"}${TAIL}`,
    `${HEAD}{"content":"\\u00fc"}${TAIL}`,
    `${HEAD}{"content":"a\ttab"}${TAIL}`,
    `${HEAD}{"content":""}${TAIL}`,
    `${HEAD}{"content":null}${TAIL}`,
    `${HEAD}{"content":"One","tool_calls":[]}${TAIL}`,
    `${HEAD}{"content":"One"},"logprobs":null,"finish_reason":"stop"}]}`,
    '{"error":{"message":"x"}}'
  ]) t.equal(pattern.read(data), undefined, data)
})

t.test('the padding of OpenAI\'s chunks may differ, too', async t => {
  const end = (padding: string) => `,"finish_reason":null}],"usage":null,"obfuscation":"${padding}"}`
  const pattern = taught(`${HEAD}{"content":"One"}${end('ZGF')}`)
  t.equal(pattern.read(`${HEAD}{"content":" two"}${end('lRK2aBv')}`), ' two')
  t.equal(pattern.read(`${HEAD}{"content":" two"}${end('')}`), ' two')
  t.equal(pattern.read(`${HEAD}{"content":" two"}${end('a\\"b')}`), undefined)
  t.equal(pattern.read(`${HEAD}{"content":" two"}${end('abc')}}`), undefined)
  t.equal(pattern.read(`${HEAD}{"content":" two"},"finish_reason":null}],"usage":{},"obfuscation":"abc"}`), undefined)
})

t.test('nothing is learnt from what cannot be found again', async t => {
  for (const data of [
    `${HEAD}{"content":"a\\nb"}${TAIL}`,
    `${HEAD}{"content":"a\\"b"}${TAIL}`,
    `${HEAD}{"content":"\\u0041"}${TAIL}`,
    `${HEAD}{"content": "spaced"}${TAIL}`,
    '{"note":{"content":"One"},"choices":[{"delta":{"content":"One"}}]}',
    '{"choices":[{"message":{"content":"A"},"delta":{"content":"\\u0041"}}]}'
  ]) t.equal(taught(data).read(data), undefined, data)
})

t.test('a server whose chunks are never alike is not studied for long', async t => {
  const pattern = new ChunkPattern(wordsOf)
  const chunk = (id: number) => `{"id":"${id}","choices":[{"delta":{"content":"One"}}]}`
  for (let id = 1; id <= 5; id++) {
    pattern.learn(chunk(id), 'One')
    t.equal(pattern.read(chunk(id)), 'One')
  }
  pattern.learn(chunk(6), 'One')
  t.equal(pattern.read(chunk(6)), undefined)
  t.equal(pattern.read(chunk(5)), 'One')
})

t.test('whatever it was taught, it reads what the parser reads, or nothing', async () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string(), fc.constantFrom('', 'content', '"content":"', ':', ',"content":"x', 'obfuscation', '\\', '"'))
  const value: fc.Arbitrary<unknown> = fc.letrec(tie => ({
    value: fc.oneof({ maxDepth: 3 }, text, fc.integer(), fc.constant(null), fc.dictionary(fc.oneof(text, fc.constantFrom('content', 'delta', 'choices', 'obfuscation')), tie('value'), { maxKeys: 3 }), fc.array(tie('value'), { maxLength: 2 }))
  }))['value']!
  const members = fc.dictionary(fc.constantFrom('id', 'content', 'obfuscation', 'note', 'a"b'), value, { maxKeys: 4 })
  const chunk = fc.record({ before: members, inside: members, after: members, content: text, other: text }).map(({ before, inside, after, content, other }) => {
    const write = (content: string): string => JSON.stringify({ ...before, choices: [{ ...inside, delta: { content, ...(typeof inside['content'] === 'string' && { note: inside }) } }], ...after })
    return { lesson: write(content), others: [write(other), write(content), JSON.stringify(after)] }
  })
  fc.assert(fc.property(chunk, ({ lesson, others }) => {
    const pattern = taught(lesson)
    return [lesson, ...others].every(data => {
      const read = pattern.read(data)
      return read === undefined || read === wordsOf(JSON.parse(data))
    })
  }), { numRuns: scaledRuns(2_000) })
})
