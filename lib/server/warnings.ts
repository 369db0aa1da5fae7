/**
 * Warnings at start about valid settings that admit more clients than an operator may expect.
 */
import type { FastifyBaseLogger } from 'fastify'
import { parseRanges } from '../admission/allowlist.js'
import { secretsOf } from '../admission/secret.js'
import { nameOf, type Env } from '../config/settings.js'
import { entriesOf } from '../contract/setting.js'

/** 16 hex digits are 64 bits, which cannot be guessed over a network. */
const SHORTEST_SECRET = 16

// Addresses all over the internet, of which no operator's proxies have all: Quad9's, Amazon's and those of examples.
const STRANGERS = [['9.9.9.9', '100.20.5.228', '192.0.2.1', '203.0.113.1'], ['2001:db8::1', '3fff::1']] as const

/** Warns of a secret that can be guessed, and of proxies that are everybody. Neither secrets nor their lengths are logged. */
export function warnOfSettings (log: FastifyBaseLogger, { VOICE_AGENT_SECRET = '', TRUSTED_PROXIES }: Env): void {
  if (secretsOf(VOICE_AGENT_SECRET).some(secret => secret.length < SHORTEST_SECRET)) {
    log.warn(`${nameOf('VOICE_AGENT_SECRET')}: a secret of fewer than ${SHORTEST_SECRET} characters can be guessed: ` +
      'openssl rand -hex 16 makes one')
  }
  // An invalid entry has stopped the start before this.
  const proxies = parseRanges(entriesOf(TRUSTED_PROXIES), nameOf('TRUSTED_PROXIES'), '')
  if (STRANGERS.some(addresses => addresses.every(proxies.admits))) {
    log.warn(`${nameOf('TRUSTED_PROXIES')} holds the whole internet: callers choose their own address. Name your proxies only`)
  }
}
