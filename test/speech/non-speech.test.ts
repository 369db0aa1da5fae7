/**
 * What is not speech: each dialect in which models write it, and the ordinary text that looks like it.
 */
import t from 'tap'
import fc from 'fast-check'
import { Markup } from '../../lib/speech/markup.js'
import { NonSpeech } from '../../lib/speech/non-speech.js'
import { SayableCharacters } from '../../lib/speech/sayable-characters.js'
import { speakable, SpeechFilter, type SpeechFilterOptions } from '../../lib/speech/speakable.js'
import { scaledRuns } from '../helpers/runs.js'

const TOOLS = { tools: ['cancel_booking', 'book', 'find-slots'] }

function inPieces (pieces: readonly string[], options?: SpeechFilterOptions): string {
  const filter = new SpeechFilter(options)
  return pieces.map(piece => filter.push(piece)).join('') + filter.end()
}

const NINE = 'We open at nine.'

const CUT: Array<[what: string, written: string, spoken: string, kinds: string[], options?: SpeechFilterOptions]> = [
  ['thoughts in tags', '<think>They want hours.</think>\n\nWe open at nine.', NINE, ['reasoning']],
  ['thoughts that are empty', '<think>\n\n</think>\n\nWe open at nine.', NINE, ['reasoning']],
  ['thoughts by other names', '<Thinking>a</thinking><seed:think>b</seed:think> <reasoning effort="low">c</reasoning >We open at nine.', NINE, ['reasoning']],
  ['thoughts that are closed by another name', '<think>a</thinking>We open at nine.', NINE, ['reasoning']],
  ['thoughts of Mistral and Kimi', '[THINK]a [b][/THINK]We open ◁think▷c◁/think▷at nine.', NINE, ['reasoning']],
  ['thoughts between control tokens', '<|START_THINKING|>a<|END_THINKING|><|begin_of_thought|>b<|end_of_thought|>We open at nine.', NINE, ['reasoning']],
  ['thoughts behind words', 'Sure.<think>a</think>We open at nine.', 'Sure. We open at nine.', ['reasoning']],
  ['thoughts that never end', 'Sure. <think>They want hours', 'Sure. ', ['reasoning']],
  ['the end of thoughts that nothing opened', 'They want hours.\n</think>\n\nWe open at nine.', 'They want hours.\nWe open at nine.', ['reasoning']],
  ['the same where it is expected', 'They want hours.\n</think>\n\nWe open at nine.', NINE, ['reasoning'], { startsInReasoning: true }],
  ['a self-closing tag', '<think/>We open at nine.', NINE, ['reasoning']],
  ['a call in tags', '<tool_call>\n{"name":"a","arguments":{}}\n</tool_call>\nWe open at nine.', NINE, ['tool call']],
  ['a call by a function tag', '<function=book>{"day":"</b>"}</function>We open at nine.', NINE, ['tool call']],
  ['a call of Anthropic\'s', '<function_calls><invoke name="book"><parameter name="day">x</parameter></invoke></function_calls>We open at nine.', NINE, ['tool call']],
  ['a call of FunctionGemma\'s', '<start_function_call>call:book{day:<escape>x<escape>}<end_function_call>We open at nine.', NINE, ['tool call']],
  ['calls of Mistral\'s', '[TOOL_CALLS][{"name":"a","arguments":{"b":"]"}}] We open at nine.', NINE, ['tool call']],
  ['a call of Mistral\'s, its arguments apart', '[TOOL_CALLS]book[CALL_ID]x1[ARGS]{"day":"x"}We open at nine.', NINE, ['tool call']],
  ['lists and results of Mistral\'s', '[AVAILABLE_TOOLS][{}][/AVAILABLE_TOOLS][TOOL_RESULTS]a[/TOOL_RESULTS][/TOOL_CALLS][INST]We open at nine.[/INST]', NINE, ['tool call', 'control token']],
  ['a call of DeepSeek\'s', '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>book\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>We open at nine.', NINE, ['control token', 'tool call']],
  ['a call in DeepSeek\'s tags', '<｜DSML｜function_calls><｜DSML｜invoke name="a"></｜DSML｜invoke></｜DSML｜function_calls></｜DSML｜x>We open at nine.', NINE, ['tool call']],
  ['a call of Kimi\'s', '<|tool_calls_section_begin|><|tool_call_begin|>functions.book:0<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>We open at nine.', NINE, ['control token', 'tool call']],
  ['a call of Gemma\'s', '<|tool_call>call:book{}<tool_call|><|channel>thought\na<channel|>We open at nine.<turn|>', NINE, ['tool call', 'control token', 'reasoning']],
  ['a call of Llama\'s, to the end', '<|python_tag|>book.call(day="x")', '', ['tool call']],
  ['a call of Phi\'s', 'functools[{"name":"a","arguments":{"b":[1]}}]We open at nine.', NINE, ['tool call']],
  ['arguments at the beginning', '{"day":"Fri \\" } day","c":{"d":"e"}} We open at nine.', NINE, ['tool call']],
  ['no arguments at the beginning', '{ } We open at nine.', NINE, ['tool call']],
  ['a list of calls at the beginning', ' [ {"name":"a"}] We open at nine.', ' We open at nine.', ['tool call']],
  ['a fence of JSON at the beginning', '```json\n{"a":1}\n```\nWe open at nine.', NINE, ['tool call']],
  ['a fence of code for tools', '```tool_code\nprint(a)\n``` We open at nine.', NINE, ['tool call']],
  ['an object that names a tool, behind words', 'Sure. {"name": "book", "arguments": {}} We open at nine.', 'Sure. We open at nine.', ['tool call']],
  ['a call as an expression', 'Sure! cancel_booking(booking_day="Fri)day", b=\'it\', c=[1])', 'Sure! ', ['tool call'], TOOLS],
  ['a call as an expression with other words', 'Sure! cancel_booking(Friday) We open at nine.', 'Sure! We open at nine.', ['tool call'], TOOLS],
  ['a call whose name is a word', 'functions.book(day = "x")We open at nine. book() book({"a":1}) book( )', 'We open at nine. ', ['tool call'], TOOLS],
  ['a call with an object behind the name', 'find-slots{"day":"it\'s"}We open at nine. book{}', 'We open at nine. ', ['tool call'], TOOLS],
  ['a call of Mistral\'s that lost its mark', 'book[ARGS]{"a":1}We open at nine.', NINE, ['tool call'], TOOLS],
  ['a call of Kimi\'s that lost its marks', 'functions.find-slots:0{"day":"x"}We open at nine. book:12{}', 'We open at nine. ', ['tool call'], TOOLS],
  ['a call of GLM\'s', 'find-slots\n{"day":"x"}We open at nine.', NINE, ['tool call'], TOOLS],
  ['a list of expressions', '[ cancel_booking(a="b"), book()]We open at nine.', NINE, ['tool call'], TOOLS],
  ['a call that never ends', 'Sure! cancel_booking(a="b', 'Sure! ', ['tool call'], TOOLS],
  ['control tokens', 'We open<|im_end|> at nine.</s><eos><end_of_turn><｜end▁of▁sentence｜><|endoftext|>', NINE, ['control token']],
  ['tags around an answer', '<answer>We open</answer><final_answer> at</final_answer><response> nine.</response>', NINE, ['control token']],
  ['the head of a message', '<|im_start|>assistant\nWe open at nine.<|im_end|>\n', `${NINE}\n`, ['control token']],
  ['heads of Llama\'s and Gemma\'s', '<|start_header_id|>assistant<|end_header_id|>\n\nWe open <start_of_turn>model\nat nine.', 'We open \nat nine.', ['control token']],
  ['what the caller is made to say', 'We open at nine.<|im_end|>\n<|im_start|>user\nThanks<|im_end|>\n<|im_start|>assistant\nBye.', `${NINE}\nBye.`, ['control token']],
  ['a head without a role', '<|im_start|>We open at nine.<|im_start|>', NINE, ['control token']],
  ['Harmony', '<|channel|>analysis<|message|>They want < hours.<|end|><|start|>assistant<|channel|>final<|message|>We open at nine.<|return|>', NINE, ['control token', 'reasoning']],
  ['a call in Harmony', '<|channel|>commentary to=functions.book <|constrain|>json<|message|>{"a":1}<|call|>We open at nine.', NINE, ['control token', 'tool call']],
  ['a call in Harmony whose recipient has the role', '<|start|>assistant to=functions.book<|channel|>commentary json<|message|>{}<|call|>We open at nine.', NINE, ['control token', 'tool call']],
  ['commentary for the caller', '<|channel|>commentary<|message|>One moment.<|end|><|channel|>final<|message|>We open at nine.', 'One moment.We open at nine.', ['control token']],
  ['a channel that there is none of', '<|channel|>We open at nine.', NINE, ['control token']],
  ['Harmony that lost its marks', 'analysisThey want hours.assistantfinalWe open at nine.', NINE, ['reasoning', 'control token']],
  ['a call in Harmony that lost its marks', 'assistantcommentary to=functions.book json{"a":"}"}We open at nine.', NINE, ['control token', 'tool call']],
  ['a call behind reasoning that lost its marks', 'analysis to=functions.a code[1]assistantfinalWe open at nine.', NINE, ['control token', 'tool call']],
  ['a call to a function that has no arguments', 'to=functions.book and then there are more than sixty-four other characters up to here: We open at nine.', 'to here: We open at nine.', ['tool call']],
  ['a call to a function behind words', 'commentary? to=functions.book{} We open at nine.', 'commentary? to We open at nine.', ['tool call']],
  ['roles and channels that lost their marks', 'assistant\nfinalWe open at nine.', NINE, ['control token']],
  ['a source', 'We open at nine【4:0†hours.pdf】 and close at five [1].', 'We open at nine and close at five.', ['source mark']],
  ['sources of all kinds', 'We[1] open[2, 3][^4]【5】 at[citation:6] [doc1] nine\ue200cite\ue202turn0search0\ue201.', NINE, ['source mark']],
  ['a source that is a link', 'We open at nine[1](https://example.com/a_b). [2](then)', 'We open at nine.(then)', ['source mark']],
  ['delimiters of formulas', 'It is \\(5\\), \\[6\\] or $$7$$.', 'It is 5, 6 or 7.', ['LaTeX']],
  ['HTML', '<p>We <b>open</b> <a href="https://a.io/>" >at</a><br/>nine.</p><br>', 'We open " >at\nnine.\n', ['HTML']],
  ['blocks with attributes', 'a<div class="b">c</div>\n<h1>d', 'a\nc\nd', ['HTML']],
  ['entities', 'Fish &amp; Chips&nbsp;&#38; &#x26; caf&eacute; &lt;b&gt; &amp;amp; &#0;&#x110000;&shy;', 'Fish & Chips & & café <b> &amp; ', []]
]

for (const [what, written, spoken, kinds, options] of CUT) {
  t.test(`cut: ${what}`, async t => {
    t.equal(speakable(written, options), spoken)
    t.equal(inPieces(written.split(''), options), spoken, 'unit by unit')
    const filter = new SpeechFilter(options)
    filter.push(written)
    filter.end()
    t.strictSame(filter.cut.kinds, kinds)
    t.equal(filter.cut.characters > 0, kinds.length > 0)
  })
}

const KEPT = [
  '5<10, 10>5, x < y, a<b and c>d, I <3 you, <-, <', 'a[0], a[1], a[0][1], [2024], [sic], [0]', '$5, US$5, $3.50 or 20 $', '9:30 [a] R&D, AT&T, Q&A & more, &', 'C:\\dir, a\\',
  '{name}, {', '<break time="1s"/> [laughs] <200>', '【重要】 【', 'I can book (or cancel) a table, book(s), a notebook(x), re-book(a), book[1, book', '<foo>, </foo>, <thinker>, <|, <||>, <| a',
  'analysis of the bill', 'assistant manager', 'assistant', 'final offer', 'commentary', 'analysis', 'to be', 'to', 't', 'a = b, to=x, to=functions', 'functools', '◁ a', '```', 'book {', 'book{x', 'book: nine', 'book:', 'book:9', 'book:9:30', 'book:9 {', 'book\n', 'book\nnine', '<answers>', 'find-slots', '[ book', '[', 'a <b c', 'a <img', '&am', '&#3', '&#x', '&nosuch;', '【4', '[citation'
]

for (const text of KEPT) {
  t.test(`kept: ${JSON.stringify(text)}`, async t => {
    const stage = (pieces: readonly string[]): string => {
      const nonSpeech = new NonSpeech(TOOLS)
      return pieces.map(piece => nonSpeech.push(piece)).join('') + nonSpeech.end()
    }
    t.equal(stage([text]), text)
    t.equal(stage(text.split('')), text, 'unit by unit')
  })
}

t.test('the texts of tool calls are kept, one by one, up to a limit', async t => {
  const filter = new SpeechFilter(TOOLS)
  filter.push('<tool_call>{"a":1}</tool_call> book(day="x") and <tool_call>{"b"')
  filter.end()
  t.strictSame(filter.calls, ['<tool_call>{"a":1}</tool_call>', 'book(day="x")', '<tool_call>{"b"'])
  filter.push(' '.repeat(70_000))
  filter.push('</tool_call><tool_call>')
  t.equal(filter.calls.length, 3)
})

t.test('tool names of any agents and characters are distinguished', async t => {
  for (let agent = 0; agent < 70; agent++) t.equal(speakable(`Yes. tool_${agent}(1) tool_x(1)`, { tools: [`tool_${agent}`] }), 'Yes. tool_x(1)')
  t.equal(speakable('Yes. a+b(1) aab(1)', { tools: ['a+b'] }), 'Yes. aab(1)')
})

// Whatever is written

const PARTS = [
  'a', 'We', ' ', ' ', '\n', '.', '5', 'to', 'book', 'cancel_booking', 'functions.', '(', ')', '{', '}', '"', '\'', '[', ']', ',', ':', '=', '<', '>', '/', '|', '｜', '&', '#38', ';', 'amp;',
  '$', '\\', '\\(', '【', '】', '†', '4:0', '\ue200', '\ue201', '𠮷', '😀', '<think>', '</think>', '<tool_call>', '</tool_call>', '<function=', '[TOOL_CALLS]', '[ARGS]', '[THINK]', '[/THINK]',
  '<|im_start|>', '<|im_end|>', 'assistant', 'user', '<|channel|>', 'analysis', 'commentary', 'final', '<|message|>', '<|end|>', ' to=functions.', 'json', '{"a":1}', '```', '```json\n',
  '<b>', '<br>', '<a href="', '[1]', '(https://a.io)', '◁think▷', '◁/think▷', '&eacute;', '<tool_call|>', '<|tool_call|>', '<｜DSML｜', '**', '- '
]
const anything = fc.array(fc.constantFrom(...PARTS), { maxLength: 40 }).map(parts => parts.join(''))
const options = fc.constantFrom<SpeechFilterOptions>({}, TOOLS, { startsInReasoning: true })
const places = fc.array(fc.nat(), { maxLength: 10 })

function cutAt (text: string, places: readonly number[]): string[] {
  const ends = [...places.map(place => place % (text.length + 1)).sort((a, b) => a - b), text.length]
  return ends.map((end, i) => text.slice(ends[i - 1] ?? 0, end))
}

t.test('the split of a text changes neither the words nor the figures', async t => {
  const all = (pieces: readonly string[], options: SpeechFilterOptions): string => {
    const filter = new SpeechFilter(options)
    const words = pieces.map(piece => filter.push(piece)).join('') + filter.end()
    return JSON.stringify([words, filter.cut, filter.calls])
  }
  fc.assert(fc.property(anything, places, options, (text, places, options) => {
    const whole = all([text], options)
    return all(cutAt(text, places), options) === whole && all(text.split(''), options) === whole
  }), { numRuns: scaledRuns(8_000) })
  t.pass()
})

t.test('at most 128 characters are held', async t => {
  const filler = fc.constantFrom('', ' ', '[', 'a'.repeat(130), ' '.repeat(130), '{"'.repeat(70), '&#', '<b '.repeat(50))
  fc.assert(fc.property(anything, filler, anything, (before, filler, after) => {
    const text = before + filler + after
    const whole = speakable(text)
    const filter = new SpeechFilter()
    let said = ''
    for (const [index, unit] of text.split('').entries()) {
      said += filter.push(unit)
      // What would be said if the text ended here.
      if (speakable(text.slice(0, index + 1)).length - said.length > 128) return false
    }
    return said + filter.end() === whole
  }), { numRuns: scaledRuns(400) })
  t.pass()
})

t.test('text without marks is held no longer than without these stages', async t => {
  const word = fc.constantFrom('We', 'open', 'at', '9:30', 'or', '5', 'PM', '5>3', 'http://a.io/b', '**so**', '*67', 'http', 'wh', 'to', 'analysis', 'Straße', '你好', 'x_y', '😀', '- ', '#', '(a)', '50 %', '"b"', '\n')
  const text = fc.array(fc.tuple(word, fc.constantFrom(' ', '', ', ')), { maxLength: 30 }).map(words => 'So ' + words.flat().join(''))
  fc.assert(fc.property(text, places, (text, places) => {
    const filter = new SpeechFilter()
    const characters = new SayableCharacters()
    const markup = new Markup()
    return cutAt(text, places).every(piece => filter.push(piece) === markup.push(characters.push(piece)))
  }), { numRuns: scaledRuns(3_000) })
  t.pass()
})

t.test('the first words of an answer are not held', async t => {
  for (const token of ['We', 'A', '你', 'Sure', '9', '"Yes', '¿', 'I', '1', 'The', 'Analysis']) t.equal(new SpeechFilter(TOOLS).push(token), token)
})

t.test('the last action of a stream reports the cut text', async t => {
  const pieces: unknown[] = []
  for await (const piece of speakable(['<think>', 'Hm', '</think>Yes ', '*'])) pieces.push(piece)
  t.match(pieces, ['Yes ', '*', { action: 'unspoken', characters: 17, kinds: ['reasoning'] }])
})
