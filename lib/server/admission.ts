/**
 * Makes the guard and the admission settings of a registration from its configuration.
 */
import type { FastifyInstance } from 'fastify'
import { parseAllowlist } from '../admission/allowlist.js'
import { AdmissionLimits } from '../admission/call-limits.js'
import { trustProxies } from '../admission/client-address.js'
import type { GuardSettings } from '../admission/guard.js'
import { createPageCheck } from '../admission/origin.js'
import { isUnderPressure } from '../admission/pressure.js'
import { secretCheck } from '../admission/secret.js'
import type { AdmissionSettings } from '../admission/admit.js'
import type { CallHost } from '../call/call.js'
import { ceilingsOf } from '../config/read.js'
import { nameOf, type Env } from '../config/settings.js'
import { entriesOf } from '../contract/setting.js'

/** Settings that the guards of all routes share. */
export type SharedGuard = Omit<GuardSettings, 'allowlist' | 'allowlistName'>

/** Settings that the admission hooks of all call routes share. */
export type SharedAdmission = Omit<AdmissionSettings, 'provider' | 'needsCallId' | 'isExistingCall' | 'waiting'>

/**
 * Reads the settings of admission.
 * @throws VOICE_AGENT_ERR_CONFIG when an address, range or origin is none
 */
export function createAdmission (scope: FastifyInstance, config: Env, host: CallHost): { guard: SharedGuard, admission: SharedAdmission } {
  const { calls, refused, isClosing, expects } = host
  const proxiesName = nameOf('TRUSTED_PROXIES')
  // Reads the list first, as its errors are the most precise.
  const clientAddress = trustProxies(entriesOf(config.TRUSTED_PROXIES), proxiesName)
  const proxies = { proxies: parseAllowlist(entriesOf(config.TRUSTED_PROXIES), proxiesName), proxiesName }
  const knowsSecret = secretCheck(config.VOICE_AGENT_SECRET === undefined ? [] : entriesOf(config.VOICE_AGENT_SECRET))
  const judgePage = createPageCheck({
    entries: entriesOf(config.ALLOWED_ORIGINS),
    name: nameOf('ALLOWED_ORIGINS'),
    secretName: nameOf('VOICE_AGENT_SECRET'),
    ...proxies
  })
  return {
    guard: { ...proxies, knowsSecret, clientAddress, judgePage, refused, isClosing },
    admission: {
      limits: new AdmissionLimits(ceilingsOf(config)),
      calls,
      clientAddress,
      refused,
      hasSecret: knowsSecret !== undefined,
      expects,
      isUnderPressure: () => isUnderPressure(scope)
    }
  }
}
