/** English has four characters a token. In other scripts a character has more bytes and more tokens. */
const BYTES_PER_TOKEN = 4

/** A rough estimate of a text's tokens: good enough for limits, not for bills. */
export function estimateTokens (text: string): number {
  return Buffer.byteLength(text) / BYTES_PER_TOKEN
}
