import t from 'tap'
import fc from 'fast-check'
import { endCall, pause, type Action, type Speech } from '../../lib/contract/agent.js'
import { speakable, SpeechFilter } from '../../lib/speech/speakable.js'
import { scaledRuns } from '../helpers/runs.js'

/** What comes out for each piece, and at the end. */
function pieces (...texts: string[]): string[] {
  const filter = new SpeechFilter()
  return [...texts.map(text => filter.push(text)), filter.end()]
}

/** Cuts a text between any two of its UTF-16 units. */
function cut (text: string, places: readonly number[]): string[] {
  const ends = [...places.map(place => place % (text.length + 1)).sort((a, b) => a - b), text.length]
  return ends.map((end, i) => text.slice(ends[i - 1] ?? 0, end))
}

async function gather (stream: AsyncIterable<Speech>): Promise<Speech[]> {
  const all: Speech[] = []
  for await (const piece of stream) all.push(piece)
  return all
}

// What is said

const SPOKEN: Array<[what: string, written: string, spoken: string]> = [
  ['emphasis', '**a** *b* __c__ _d_ ***e*** ~~f~~', 'a b c d e f'],
  ['emphasis inside another', '**a _b_ `c`** *~~d~~*', 'a b c d'],
  ['emphasis beside punctuation', '"**a**", (*b*). _c_: **d**?', '"a", (b). c: d?'],
  ['emphasis in Chinese, which has no blanks', '这是**重点**和*重点*。', '这是重点和重点。'],
  ['emphasis that is never closed', 'an **important', 'an important'],
  ['emphasis in the middle of a word', '**bo**ld un**believ**able 这*重*点', 'bold unbelievable 这重点'],
  ['emphasis that begins in the middle of a word', 'Sonder**angebot** und 这**重点很长', 'Sonderangebot und 这重点很长'],
  ['emphasis that ends in the middle of a word', '*重*点 *a*(b) ***c** d* **e *f***g', '重点 a(b) c d e fg'],
  ['an asterisk that closes nothing', '*a* b* c\n*a\nb* c', 'a b* c\na\nb* c'],
  ['a key inside emphasis', '*press “*” or (*) now* b*', 'press “*” or (*) now b*'],
  ['emphasis of what is quoted', '*"a"* *“b”* *»c«* (*"d"*) *(e)* *„f“*', '"a" “b” »c« ("d") (e) „f“'],
  ['emphasis of what begins with a number', '*9:30 AM*. *12.50* *3 slots* *30 minutes* *10 a.m.* *1,200* *5*, *100*. *50%* *3-5 days* *2nd*', '9:30 AM. 12.50 3 slots 30 minutes 10 a.m. 1,200 5, 100. 50% 3-5 days 2nd'],
  ['emphasis of what ends with a number', '*Option 2* **Option 3**. *see 3*4*', 'Option 2 Option 3. see 3*4'],
  ['emphasis of a number of many digits', '*12345 b* *5.* *5.*', '12345 b 5. 5.'],
  ['emphasis of a number in Chinese', '在*3点*见', '在3点见'],
  ['emphasis of what begins with a hash', 'the *#1 choice* *#a* **#** **#1**', 'the #1 choice #a # #1'],
  ['bold numbers that are no codes', '**30 minutes** **9:30** **21** **5** a', '30 minutes 9:30 21 5 a'],
  ['keys and codes that are set as code', 'Press `*`, `*67` or `**`.', 'Press *, *67 or **.'],
  ['bold numbers', '**5 PM** or **$7**', '5 PM or $7'],
  ['a heading', '# One\n###### Six\n#\n####### Seven', 'One\nSix\n\n####### Seven'],
  ['a heading in a script without capitals', '# 时间\n# 9 AM\n# **a**', '时间\n9 AM\na'],
  ['a lesser heading without a capital', '## ends the call', 'ends the call'],
  ['a heading that breaks off', '# ', ''],
  ['a heading that is underlined', 'One\n===\nTwo\n---', 'One\n\nTwo\n'],
  ['bullets of all kinds', '- a\n* b\n+ c\n• d\n  ◦ e\n-\nf', 'a\nb\nc\nd\n  e\n\nf'],
  ['bullets with a number', '- 5\n- -5\n-5\n* 5', '5\n-5\n-5\n5'],
  ['a bullet that breaks off', '+ ', ''],
  ['a bullet that is bold', '**- a**', 'a'],
  ['quotes', '> a\n>\n>> b\n> - c', 'a\n\nb\nc'],
  ['a comparison at the start of a line', '>5 is more\n#1', '>5 is more\n#1'],
  ['rules', 'a\n---\n***\n___\n==========\nb', 'a\n\n\n\n\nb'],
  ['a rule at the end', 'a\n---', 'a\n'],
  ['code fences and their language', '```js\na\n```\n~~~c++\nb\n~~~', '\na\n\n\nb\n'],
  ['a fence that is never closed', '```\nall of it', '\nall of it'],
  ['a fence with nothing but a word behind it', '```Yes', 'Yes'],
  ['a fence with a word and a blank behind it', '```Yes ', 'Yes '],
  ['a fence with a language of pictures', '```𝒿𝒿𝒿𝒿𝒿𝒿𝒿𝒿𝒿𝒿𝒿𝒿𝒿𝒿𝒿𝒿𝒿𝒿𝒿𝒿\na', '\na'],
  ['a fence within a line', '```all of it```', 'all of it'],
  ['a fence with a sentence behind it', '```plain words that are no language', 'plain words that are no language'],
  ['backticks', 'run `npm start` and ``b``', 'run npm start and b'],
  ['a table', '| A | B |\n|:---|---:|\n| 1 | -2 |\n| - | # |\na | b', 'A B \n\n1 -2 \n- # \na | b'],
  ['a table without blanks', '|A|B|\n|-|:-:|\n|9:30--10|b-c|', 'A B \n- \n9:30--10 b-c '],
  ['a table that breaks off', '|', ''],
  ['a table that breaks off in its lines', '|a|--', 'a '],
  ['a link', 'See [our site](https://example.com/a_(b)?c#d).', 'See our site.'],
  ['a link with the longest text', `[${'a'.repeat(40)}](https://example.com)`, 'a'.repeat(40)],
  ['a link with a longer text', `[${'a'.repeat(41)}](https://example.com)`, `[${'a'.repeat(41)}](example.com)`],
  ['brackets in a link, and in those', '[a [b]](/c) [a [b [c]]](/d) [[[a](/b)', 'a [b] [a [b [c]]](/d) [[a'],
  ['a link to something near', '[a](/b) [c](#d) [e]() [f](mailto:g@example.com)', 'a c e f'],
  ['a link with a title', '[a](https://example.com "A. title") b', 'a b'],
  ['a link with half a title', '[a](https://example.com "A', 'a "A'],
  ['a link with something else', '[a](https://example.com b', 'a b'],
  ['a link with marks in it', '**[*a* `b`](https://example.com)**', 'a b'],
  ['a link that is its address', '[https://example.com/a](https://example.com/a)', 'example.com'],
  ['a link that is never closed', '[a](https://example.com\nb', 'a\nb'],
  ['an image', '![a map](map.png)! And ![](b.png).', 'a map! And .'],
  ['an image that is a link', '[![a](b.png)](https://example.com)', 'a'],
  ['a link that begins like a line', '[# a](b)', '# a'],
  ['a link behind a shout', 'Yes![a](b)', 'Yes!a'],
  ['brackets', '[laughs] [a][b] [c] (d) [e', '[laughs] [a][b] [c] (d) [e'],
  ['brackets with a remark', '[sic](I think) [sic](so', '[sic](I think) [sic](so'],
  ['brackets that end in another line', '[a\nb](c)', '[a\nb](c)'],
  ['an address', 'Go to https://example.com now', 'Go to example.com now'],
  ['an address with all there is', 'HTTPS://WWW.Example.com:80/a/b?c=d,e&f=%20(g)#h_i~j.', 'Example.com.'],
  ['an address without a scheme', 'www.example.com/a, or WWW.example.org', 'example.com, or example.org'],
  ['addresses at the end of sentences', 'http://a.io/b! http://a.io? http://a.io/... http://a.io/b: c', 'a.io! a.io? a.io... a.io: c'],
  ['addresses in brackets', '(see http://a.io/b.) (http://a.io) <http://a.io/b> <http://a.io>', '(see a.io.) (a.io) a.io a.io'],
  ['brackets in addresses', 'http://a.io/b_(c.(d))_e. f', 'a.io. f'],
  ['brackets that stay open in addresses', 'http://a.io/(b (http://a.io/c) http://a.io/(d [e](https://a.io/f)g http://a.io/(b.) c', 'a.io (a.io) a.io eg a.io c'],
  ['an address in bold', '**http://a.io/b**, _http://a.io/_', 'a.io, a.io'],
  ['an address in Chinese, which has no blanks', '请看https://example.com/a了解。', '请看example.com了解。'],
  ['somebody else\'s name in an address', 'http://ä.io/ö http://me@a.io/b', 'ä.io me'],
  ['what only begins like an address', 'http, https: http:// www. awww.no xhttp://a h w', 'http, https: http:// www. awww.no xhttp://a h w'],
  ['emoji', 'Hi 👋 there 😀! ❤️ ✅ ☎', 'Hi there ! '],
  ['emoji of many parts', '👨‍👩‍👧‍👦a👍🏽b🇩🇪c🏴󠁧󠁢󠁥󠁮󠁧󠁿d🏳️‍🌈', 'a b c d'],
  ['emoji in place of a blank', 'yes👍no 1😀2', 'yes no 1 2'],
  ['emoji in front', '😀 Hi\n🎉 - there', 'Hi\nthere'],
  ['emoji behind a break', 'a 😀\n😀\tb', 'a \nb'],
  ['keycaps', 'Press 1️⃣, #️⃣, *️⃣ or 🔟', 'Press 1, #, * or 10'],
  ['emoji of signs', 'Really❓ No❗️ ❔❕ 2 ➕ 3 ➖ 1 ✖️ 4 ➗ 2', 'Really? No! ?! 2 + 3 - 1 × 4 ÷ 2'],
  ['emoji of arrows', 'Berlin ↔️ Hamburg ➡️ Kiel ⬅ ⬆ ⬇ ↗️', 'Berlin ↔ Hamburg → Kiel ← ↑ ↓ ↗'],
  ['emoji with arrows in them', 'a 🙂‍↔️🏃‍➡️ b', 'a b'],
  ['symbols that are text', '©️ ® ™ ‼️ ℹ a\u200d©', '© ® ™ ‼ ℹ a©'],
  ['breaks', 'a\r\nb\rc\r\n\nd\u2028e\u0085f\vg', 'a\nb\nc\n\nd\ne\nf\ng'],
  ['tabs', 'a\tb', 'a b'],
  ['controls', 'a\0\u0007\u001b[b\u007f\u009fc', 'a[bc'],
  ['what is invisible', '\ufeffa\u200bb\u200ec\u202ed\u2066e\u00adf\u2060g\u{e0041}', 'abcdefg'],
  ['joiners that join nothing', 'a\u200db\u200c 中\u200d \u200d', 'ab 中 '],
  ['joiners beside emoji', '👍क\u094d\u200dष می👨\u200d👩', 'क\u094d\u200dष می'],
  ['lone surrogates', 'a\ud83d b\ude00 \ud83d', 'a b '],
  ['nothing', '', '']
]

for (const [what, written, spoken] of SPOKEN) {
  t.test(`spoken: ${what}`, async t => {
    t.equal(speakable(written), spoken)
    t.equal(pieces(...written.split('')).join(''), spoken, 'unit by unit')
  })
}

const ALONE = [
  'Plain words, and "others" — with (brackets); isn\'t it? Yes!',
  '3 * 4, 3*4, 2**3, 5 - 3, 1/2, ~5, 50 %, $3.50, 9:30, 12:00-13:00, R&D, C#, #1, A+, a/b',
  '+1 555 0100, *67, *67#, press * or #, press *',
  'Press *.',
  'Press *, then # or */#; now *!',
  'the key "*", the key \'*\', (*), [*], “*”, «*», "press *", "press *".',
  '「*」を押して、按*键。',
  '拨*67隐藏号码，拨*21*555#，按“*”键，按*。',
  'Dial *67 to hide, *72. Or *3; (*82) *1: a *69…',
  'Dial *67\nor *5',
  'Dial *#06#, *#21* or *#',
  'Dial *#',
  'Dial *#06',
  '*#06# and *100*1# and **21*49301234# or **62#',
  '*12 straightforwardnesses* and *30 open slots* are taken for codes',
  '# ends the call',
  '1: no\n# répète',
  '+ 49 30 1234\n+ 1 555',
  'x*(y+1), (x+y)*2, (x+y)*z, 5*x, x*$5, 2**3, x**2',
  'f**k, f*ck, b**ch, a 5* hotel, from $5* a*',
  '10~~12',
  'A♠ K♣ Q♥ J♦, Berlin ↔ Hamburg, ↕ ↖ → ⇒',
  'a_b@example.com, a_@example.com, my_file_name.txt, a__b, f*ck, example.com/a, user@host',
  '1. One\n2) Two\n10. Ten',
  'Wait - - - yes - - no',
  '- - wait',
  '- -',
  '-- a',
  '<break time="1s"/> x < 5 > 3',
  'Ça été là, naïve, e\u0301, Straße, ½, ①, →, …, •, 50°',
  '你好，世界。 こんにちは。 안녕하세요! مرحبا بكم שלום สวัสดี नमस्ते',
  'می\u200cخواهم, क\u094d\u200dष, क\u094d\u200cष',
  '葛\u{e0100}, 𠮷野家, 𝄞',
  'a | b, a ** b, a _ b, a ~~ b'
]

for (const text of ALONE) {
  t.test(`left alone: ${JSON.stringify(text)}`, async t => {
    t.equal(speakable(text), text)
    t.equal(pieces(...text.split('')).join(''), text, 'unit by unit')
  })
}

// What is held back

const HELD: Array<[what: string, tokens: string[], said: string[]]> = [
  ['plain words never', ['Hello', ' there', ', how', ' are', ' you', '?', ' Wh', 'ich', ' hotel', '!', ' 你好', '。'], ['Hello', ' there', ', how', ' are', ' you', '?', ' Wh', 'ich', ' hotel', '!', ' 你好', '。', '']],
  ['marks, until what is behind them', ['a **', 'b', '**', '.'], ['a ', 'b', '', '.', '']],
  ['asterisks ahead of digits, until they are a code or none', ['a *', '6', '7', ' t', 'o', ' b *', '3', ' c', '*'], ['a ', '', '', '', '', '*67 to b ', '', '3 c', '', '']],
  ['two asterisks ahead of digits, until the next character', ['**', '21', ' a**', ' **21', '*', '5'], ['', '', '21 a', ' ', '', '**21*5', '']],
  ['asterisks inside a word, until its end', ['f**', 'k', ' it', '按*', '键', '，'], ['f', '', '**k it', '按', '', '*键，', '']],
  ['none inside a Chinese word that are two', ['这**', '重', '点'], ['这', '重', '点', '']],
  ['an asterisk ahead of a quote, until the next character', ['*', '"', 'a'], ['', '', '"a', '']],
  ['a hash, until there is a capital or none', ['#', ' ', 'A\n', '# ', 'a'], ['', '', 'A\n', '', '# a', '']],
  ['a plus, until there is a digit or none', ['+', ' ', 'a\n', '+ ', '4'], ['', '', 'a\n', '', '+ 4', '']],
  ['the first letters of an address', ['a h', 'i ht', 'm http', 's:', ' w', 'ww', '.', ' b'], ['a ', 'hi ', 'htm ', '', 'https: ', '', '', 'www. b', '']],
  ['no letters inside a word', ['wit', 'h', ' a'], ['wit', 'h', ' a', '']],
  ['an address never: it is left out as it comes', ['http', '://', 'exam', 'ple.', 'com', '/a', 'b c'], ['', '', 'exam', 'ple.', 'com', '', ' c', '']],
  ['the punctuation behind an address', ['www.a.io/b.', 'c', '?!', ' d'], ['a.io', '', '', '?! d', '']],
  ['a link, until it is one', ['a [b', ' c]', '(https', '://', 'a.io', ') d'], ['a ', '', '', 'b c', '', ' d', '']],
  ['a bracket, until it is none', ['[a', ']', ' b'], ['', '', '[a] b', '']],
  ['the sign of an image, and no other', ['Yes', '!', ' ', '!', '[a](b)'], ['Yes', '!', ' ', '', 'a', '']],
  ['what stands at the start of a line, and nowhere else', ['-', ' ', 'a', ' -', ' b\n', '#', '1'], ['', '', 'a', ' -', ' b\n', '', '#1', '']],
  ['half a surrogate pair', ['a\ud83d', '\ude00 b'], ['a', ' b', '']],
  ['not what an emoji may begin with', ['1', '\ufe0f\u20e3'], ['1', '', '']],
  ['a column of a table', ['|a|', '-', '5|', ' b'], ['a', ' ', '-5', ' b', '']]
]

for (const [what, tokens, said] of HELD) {
  t.test(`held back: ${what}`, async t => t.strictSame(pieces(...tokens), said))
}

t.test('an unclosed bracket is released when it holds more than a link\'s text', async t => {
  const remark = 'Note: this is a rather long remark, you see'
  t.strictSame(pieces('[', remark.slice(0, 40), remark.slice(40)), ['', '', `[${remark}`, ''])
  t.strictSame(pieces(`[${'a'.repeat(40)}`, ']', ' b'), ['', '', `[${'a'.repeat(40)}] b`, ''])
})

t.test('text after the end continues the same line', async t => {
  const filter = new SpeechFilter()
  t.equal(filter.push('5 *') + filter.end(), '5 *')
  t.equal(filter.push(' 3\n- 4') + filter.end(), ' 3\n4')
  t.equal(filter.push(' - 5\ud834') + filter.end(), ' - 5')
  t.equal(filter.push('\udd1e') + filter.end(), '')
})

// Whatever is written

const WORDS = ['a', 'Hello', ' ', ' ', 'h', 'w', '5', '.', ',', '!', 'é', 'e\u0301', '中文', 'か', 'می', '\u200c', 'ष', '_', '-', '']
const MARKS = ['*', '**', '*5', '*67', '**21', '#06', '`*`', '_', '__', '~', '~~', '`', '```', '#', '# ', '- ', ' - - ', '+', '>', '> ', '|', '| ', '---', ':-', '=', '• ', '\n', '\r', '\t']
const LINKS = ['[', ']', '(', ')', '](', '![', 'http', 'https://', '://', 'www.', 'ttp', 'a.io', '/', '?', '"', '<', '[a](b)', '[a](https://a.io "c")']
const PICTURES = ['😀', '\ud83d', '\ude00', '\u200d', '\ufe0f', '\u20e3', '👍🏽', '🔟', '❓', '↔', '➡', '♠', '🇩', '🇪', '❤', '©', '\u200b', '\u0000', '\ufeff', '\u{e0067}']

const interesting = fc.array(fc.constantFrom(...WORDS, ...MARKS, ...LINKS, ...PICTURES), { maxLength: 60 }).map(parts => parts.join(''))
const units = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 40 }).map(codes => String.fromCharCode(...codes))
const anything = fc.oneof(interesting, interesting, units, fc.string({ unit: 'binary' }))
const long = fc.tuple(anything, fc.integer({ min: 90, max: 110 }), anything, anything).map(([a, count, b, c]) => a + (b || '[').repeat(count).slice(0, 400) + c)
const places = fc.array(fc.nat(), { maxLength: 12 })
const RUNS = { numRuns: scaledRuns(3_000) }

t.test('the split of a text makes no difference', async t => {
  fc.assert(fc.property(fc.oneof({ weight: 5, arbitrary: anything }, long), places, (text, places) => {
    const whole = speakable(text)
    return pieces(...cut(text, places)).join('') === whole && pieces(...text.split('')).join('') === whole
  }), RUNS)
  t.pass()
})

t.test('the held text is bounded', async t => {
  fc.assert(fc.property(long, text => {
    const filter = new SpeechFilter()
    for (const unit of text) {
      filter.push(unit)
      const rest = filter.end()
      if (rest.length > 100) return false
    }
    filter.push(text)
    return filter.end().length <= 100
  }), { numRuns: scaledRuns(300) })
  t.pass()
})

t.test('no character is left that a voice cannot speak', async t => {
  fc.assert(fc.property(anything, text => {
    return !/[\p{Cs}\p{Emoji_Presentation}\ufe0f\p{Regional_Indicator}\u200b\ufeff]|(?!\n)\p{Cc}/u.test(speakable(text))
  }), RUNS)
  t.pass()
})

t.test('no letter is lost but those of addresses and the numbers of sources', async t => {
  const letters = (text: string): string => text.replace(/[^\p{L}\p{N}\p{M}]/gu, '')
  const parts = fc.constantFrom(...WORDS, ...MARKS.filter(mark => !/`{3}|~/.test(mark)), '[a ', ']', '!', 'Yes', '(')
  fc.assert(fc.property(fc.array(parts, { maxLength: 60 }), parts => {
    const text = parts.join('').replaceAll('](', '] (').replaceAll('```', '`')
    return letters(speakable(text)) === letters(text)
  }), RUNS)
  t.pass()
})

t.test('usual text of models is not held', async t => {
  const word = fc.constantFrom('Hello', 'we', 'have', '5', 'rolls,', 'C#', '中文', 'what?', 'a_b@example.com', '3 * 4', '+1 555')
  const words = fc.array(word, { minLength: 1, maxLength: 4 }).map(words => words.join(' '))
  const span = fc.tuple(fc.constantFrom(['', ''], ['**', '**'], ['_', '_'], ['`', '`'], ['~~', '~~'], ['[', '](https://a.io/b)'], ['https://a.io/', ''], ['😀 ', ' 👍🏽'] as const), words)
    .map(([[before, after], words]) => before + words.replace(/^\W|\W$/g, '') + after)
  const line = fc.tuple(fc.constantFrom('', '', '# ', '- ', '1. ', '> ', '  * ', '```\n'), fc.array(span, { maxLength: 4 })).map(([block, spans]) => block + spans.join(' '))
  fc.assert(fc.property(fc.array(line, { maxLength: 5 }).map(lines => lines.join('\n')), text => {
    const once = speakable(text)
    return speakable(once) === once
  }), RUNS)
  t.pass()
})

t.test('plain text passes token by token, unchanged', async t => {
  const token = fc.array(fc.constantFrom('a', 'B', 'é', 'n', 'o', '5', ' ', ',', '.', '?', '\'', '"', '(', ')', '-', '%', '中', 'か', '안', 'ש', 'م', 'ก', 'न', '𠮷'), { minLength: 1, maxLength: 6 }).map(parts => parts.join(''))
  fc.assert(fc.property(fc.array(token), tokens => {
    const filter = new SpeechFilter()
    filter.push('So')
    return tokens.every(token => filter.push(token) === token) && filter.end() === ''
  }), RUNS)
  t.pass()
})

// Streams

t.test('a stream is filtered like its tokens', async t => {
  t.strictSame(await gather(speakable(['**Hi**', ' there 👋', '!', '', null, undefined, ' h'])), ['Hi', ' there ', '! ', 'h'])
})

t.test('actions keep their places between the words', async t => {
  const bye: Action = endCall({ say: '**Bye**' })
  t.strictSame(await gather(speakable(['a *', pause(10), '*b*', pause(20), bye])), ['a ', '*', pause(10), 'b', pause(20), bye])
})

t.test('a value that is not speech passes unchanged', async t => {
  t.strictSame(await gather(speakable(['a', 5 as unknown as string])), ['a', 5])
})

t.test('an agent may delegate to it, and it is closed with the agent', async t => {
  let closed = 0
  async function * model () {
    try {
      yield 'One '
      yield '*two*'
    } finally {
      closed++
    }
  }
  async function * agent () {
    yield 'Well, '
    yield * speakable(model())
  }
  t.strictSame(await gather(agent()), ['Well, ', 'One ', 'two'])
  t.equal(closed, 1)
  const left = agent()
  await left.next()
  await left.next()
  await left.return()
  t.equal(closed, 2)
  const thrown = agent()
  await thrown.next()
  await thrown.next()
  await t.rejects(thrown.throw(new Error('mine')), { message: 'mine' })
  t.equal(closed, 3)
})

t.test('an error is thrown ahead of the held text', async t => {
  const said: Speech[] = []
  async function * model () {
    yield 'One ['
    throw new Error('broken')
  }
  await t.rejects(async () => {
    for await (const piece of speakable(model())) said.push(piece)
  }, { message: 'broken' })
  t.strictSame(said, ['One '])
})
