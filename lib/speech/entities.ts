/**
 * HTML entities, such as `&amp;`: the character that they stand for is spoken.
 */
import { isBeginning, WAIT, type Reader } from './mark.js'

const SIGNS = 'amp & lt < gt > quot " apos \' ndash – mdash — hellip … lsquo ‘ rsquo ’ sbquo ‚ ldquo “ rdquo ” bdquo „ laquo « raquo » bull • ' +
  'middot · copy © reg ® trade ™ deg ° plusmn ± times × divide ÷ frac12 ½ frac14 ¼ frac34 ¾ euro € pound £ yen ¥ cent ¢ sect § para ¶ ' +
  'iexcl ¡ iquest ¿ szlig ß aelig æ AElig Æ oslash ø Oslash Ø oelig œ OElig Œ larr ← rarr → num # ast * dollar $ percnt %'
const BLANKS = 'nbsp ensp emsp thinsp'
const JOINERS = 'zwj \u200d zwnj \u200c'

/** `&eacute;` is an e with an acute: a letter and its accent. */
const ACCENTS: ReadonlyArray<readonly [accent: string, mark: string, letters: string]> = [
  ['grave', '\u0300', 'aeiouAEIOU'],
  ['acute', '\u0301', 'aeiouyAEIOUY'],
  ['circ', '\u0302', 'aeiouAEIOU'],
  ['tilde', '\u0303', 'anoANO'],
  ['uml', '\u0308', 'aeiouyAEIOUY'],
  ['ring', '\u030a', 'aA'],
  ['cedil', '\u0327', 'cC'],
  ['caron', '\u030c', 'szSZ']
]

const ENTITIES = new Map<string, string>([['&shy;', '']])
for (const [, name, sign] of `${SIGNS} ${JOINERS}`.matchAll(/(\S+) (\S+)/g)) ENTITIES.set(`&${name!};`, sign!)
for (const name of BLANKS.split(' ')) ENTITIES.set(`&${name};`, ' ')
for (const [accent, mark, letters] of ACCENTS) {
  for (const letter of letters) ENTITIES.set(`&${letter}${accent};`, (letter + mark).normalize())
}
const NAMES = [...ENTITIES.keys()]

const NUMBER = /^&#(?:(\d{1,7})|x([\da-f]{1,6}));/i
const UNFINISHED_NUMBER = /^&#(?:\d{0,7}|x[\da-f]{0,6})$/i

/** Reads an entity at a `&`. */
export const readEntity: Reader = (ahead, isEnd) => {
  const [number, decimal, hexadecimal] = NUMBER.exec(ahead) ?? []
  if (number !== undefined) {
    return { length: number.length, words: characterOf(decimal === undefined ? parseInt(hexadecimal!, 16) : Number(decimal)) }
  }
  const name = /^&\w{1,8};/.exec(ahead)?.[0] ?? ''
  const words = ENTITIES.get(name)
  if (words !== undefined) return { length: name.length, words }
  return !isEnd && (UNFINISHED_NUMBER.test(ahead) || isBeginning(ahead, NAMES)) ? WAIT : undefined
}

function characterOf (code: number): string {
  return code <= 0x10ffff ? String.fromCodePoint(code) : ''
}
