const PATTERN = /^\/(.*)\/([a-z]*)$/s

/**
 * The regular expression in a text, as `/a|b/i`; undefined where it is a text like any other.
 * @throws SyntaxError where it is a wrong one
 */
export function toPattern (text: string): RegExp | undefined {
  const [, pattern, flags] = PATTERN.exec(text) ?? []
  return pattern === undefined ? undefined : new RegExp(pattern, flags)
}

/** Is it said? What it is compared with may be a part of it, in any case, or match it. */
export function isSaid (part: string, text: string): boolean {
  return toPattern(part)?.test(text) ?? plain(text).includes(plain(part))
}

function plain (text: string): string {
  return text.toLowerCase().replace(/\s+/g, ' ').trim()
}
