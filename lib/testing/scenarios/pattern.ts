const PATTERN = /^\/(.*)\/([a-z]*)$/s

/**
 * The regular expression in a text such as `/a|b/i`; undefined for any other text.
 * @throws SyntaxError when the expression is malformed
 */
export function toPattern (text: string): RegExp | undefined {
  const [, pattern, flags] = PATTERN.exec(text) ?? []
  return pattern === undefined ? undefined : new RegExp(pattern, flags)
}

/** True if the text contains the part, ignoring case, or matches its regular expression. */
export function isSaid (part: string, text: string): boolean {
  return toPattern(part)?.test(text) ?? plain(text).includes(plain(part))
}

function plain (text: string): string {
  return text.toLowerCase().replace(/\s+/g, ' ').trim()
}
