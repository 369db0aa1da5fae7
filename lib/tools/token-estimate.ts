/** English has four characters a token; of other scripts a character has more bytes, and more tokens. */
const BYTES_PER_TOKEN = 4

/** How many tokens a model makes of a text, more or less: for ceilings, not for bills. */
export function estimateTokens (text: string): number {
  return Buffer.byteLength(text) / BYTES_PER_TOKEN
}
