/**
 * Which addresses are admitted: single ones, CIDR ranges, or everyone.
 */
import { BlockList, isIP } from 'node:net'
import { ConfigError } from '../contract/errors.js'

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

/** A list of addresses. Made once at start by {@link parseAllowlist}; immutable. */
export interface Allowlist {
  /** True if the list has no entry and admits no address. */
  readonly empty: boolean
  /**
   * True if this address is on the list. IPv4 and its IPv6-mapped form are the same address, zone ids are not compared, and
   * a port, which some proxies add in X-Forwarded-For, is ignored. A text that is no address matches `*` only.
   * Never throws.
   */
  admits (address: string | undefined): boolean
  /** True if an entry other than `*` and ranges of all addresses holds this address. */
  names (address: string | undefined): boolean
  /** True if all entries are loopback addresses: only this machine, and clients that connect through it, are admitted. */
  readonly isLoopbackOnly: boolean
}

/**
 * Reads the allowlist of a route. Blank entries are skipped.
 * @param entries IPv4 and IPv6 addresses, CIDR ranges, or `*` for everyone, even callers without a known address
 * @param name what the operator calls the list, for the error: the variable and the option
 * @throws ConfigError with the list's name and the position of the invalid entry
 */
export function parseAllowlist (entries: readonly string[], name: string): Allowlist {
  const isEveryone = (entry: string): boolean => entry.trim() === '*'
  // A blank in place of `*` keeps the positions of the others, which errors name.
  const addresses = entries.map(entry => isEveryone(entry) ? '' : entry)
  const ranges = parseRanges(addresses, name, 'IP addresses, CIDR ranges such as 203.0.113.0/24 and * for everyone')
  return entries.some(isEveryone) ? { ...ranges, empty: false, admits: () => true, isLoopbackOnly: false } : ranges
}

/**
 * Reads a list of addresses and CIDR ranges, where `*` has no meaning. Blank entries are skipped.
 * @param name what the operator calls the list, for the error
 * @param accepted what the operator may write, for the error
 * @throws ConfigError with the list's name, the position of the invalid entry, and what is accepted
 */
export function parseRanges (entries: readonly string[], name: string, accepted: string): Allowlist {
  const ranges = new BlockList()
  const trimmed = entries.map(entry => entry.trim())
  for (const [i, entry] of trimmed.entries()) {
    if (entry !== '' && !addRange(ranges, entry)) {
      // The entry is not quoted: a secret may have been pasted into the wrong variable.
      throw new ConfigError(`${name}: entry ${i + 1} is not accepted; accepted are ${accepted}`)
    }
  }
  const list = trimmed.filter(entry => entry !== '')
  const asWritten = new Set(list.filter(entry => isIP(entry) !== 0))
  // The common case first: parsing an address costs more than the rest of admission.
  const admits = (address: string | undefined): boolean =>
    address !== undefined && (asWritten.has(address) || holds(ranges, withoutPort(address)))
  const named = list.filter(entry => readRange(entry).length > 0)
  const names = named.length === list.length ? admits : parseRanges(named, name, accepted).admits
  return { empty: list.length === 0, admits, names, isLoopbackOnly: list.length > 0 && list.every(isLoopback) }
}

function addRange (ranges: BlockList, entry: string): boolean {
  const { address, family, bits, length } = readRange(entry)
  if (family === 0 || length > bits) return false
  ranges.addSubnet(address, length, family === 6 ? 'ipv6' : 'ipv4')
  return true
}

function isLoopback (entry: string): boolean {
  const { address, family, length } = readRange(entry)
  return holds(LOOPBACK, address) && length >= (family === 6 ? 128 : 8)
}

function readRange (entry: string) {
  // Digits only: Number('') is 0, and a prefix of 0 is the whole internet.
  const [, address = '', prefix] = /^([^/]+)(?:\/(\d+))?$/.exec(entry) ?? []
  const family = isIP(address)
  const bits = family === 6 ? 128 : 32
  return { address, family, bits, length: Number(prefix ?? bits) }
}

function holds (ranges: BlockList, address: string): boolean {
  const family = isIP(address)
  return family !== 0 && ranges.check(address, family === 6 ? 'ipv6' : 'ipv4')
}

/** The address in one form: without a port, a zone id and the prefix of an IPv4-mapped IPv6 address. */
export function bareAddress (address: string): string {
  return withoutPort(address).replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/i, '')
}

/** `1.2.3.4:5678` and `[::1]:443` have a port; in a bare `::1:443` the last group belongs to the address. */
function withoutPort (address: string): string {
  const [, v6, v4] = /^(?:\[([^\]]+)\]|([\d.]+))(?::\d+)?$/.exec(address) ?? []
  return v6 ?? v4 ?? address
}
