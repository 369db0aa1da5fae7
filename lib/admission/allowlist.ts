/**
 * Which addresses are admitted: single ones, CIDR ranges, or everyone.
 */
import { BlockList, isIP } from 'node:net'
import { ConfigError } from '../contract/errors.js'

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

/** Judges addresses. Made once at start by {@link parseAllowlist}; never changes. */
export interface Allowlist {
  /** No entry at all: nobody is admitted. */
  readonly empty: boolean
  /**
   * Is this address on the list? IPv4 and its IPv6-mapped form are the same address, zone ids are not compared, and
   * a port, as some proxies add in X-Forwarded-For, is left out. What is not an address is on no list but `*`.
   * Never throws.
   */
  admits (address: string | undefined): boolean
  /** The same, but for `*` and ranges of all addresses: is there an entry that names the address? */
  names (address: string | undefined): boolean
  /** Are all entries loopback addresses? Then only this machine is admitted, and clients that connect through it. */
  readonly isLoopbackOnly: boolean
}

/**
 * Reads the allowlist of a route. Blank entries are skipped.
 * @param entries IPv4 and IPv6 addresses, CIDR ranges, or `*` for everyone, even callers without a known address
 * @param name what the operator calls the list, for the error: the variable and the option
 * @throws ConfigError naming the list and the place of the entry that is none of these
 */
export function parseAllowlist (entries: readonly string[], name: string): Allowlist {
  const isEveryone = (entry: string): boolean => entry.trim() === '*'
  // Each entry keeps its place, which the error names.
  const ranges = parseRanges(entries.map(entry => isEveryone(entry) ? '' : entry), name, 'IP addresses, CIDR ranges such as 203.0.113.0/24 and * for everyone')
  return entries.some(isEveryone) ? { ...ranges, empty: false, admits: () => true, isLoopbackOnly: false } : ranges
}

/**
 * Reads a list of addresses and CIDR ranges, where `*` has no meaning. Blank entries are skipped.
 * @param name what the operator calls the list, for the error
 * @param accepted what the operator may write, for the error
 * @throws ConfigError naming the list, the place of the entry that is neither, and what is accepted
 */
export function parseRanges (entries: readonly string[], name: string, accepted: string): Allowlist {
  const ranges = new BlockList()
  const trimmed = entries.map(entry => entry.trim())
  for (const [i, entry] of trimmed.entries()) {
    // Not quoted: a secret may have been pasted into the wrong variable.
    if (entry !== '' && !addRange(ranges, entry)) throw new ConfigError(`${name}: entry ${i + 1} is not accepted; accepted are ${accepted}`)
  }
  const list = trimmed.filter(entry => entry !== '')
  const asWritten = new Set(list.filter(entry => isIP(entry) !== 0))
  // The usual case first, as to take an address apart costs more than all other admission.
  const admits = (address: string | undefined): boolean => address !== undefined && (asWritten.has(address) || holds(ranges, withoutPort(address)))
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

/** The address alone, in one form: without a port, a zone, and what makes an IPv6 address of an IPv4 one. */
export function bareAddress (address: string): string {
  return withoutPort(address).replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/i, '')
}

/** `1.2.3.4:5678` and `[::1]:443` hold a port; in a bare `::1:443` the last group belongs to the address. */
function withoutPort (address: string): string {
  const [, v6, v4] = /^(?:\[([^\]]+)\]|([\d.]+))(?::\d+)?$/.exec(address) ?? []
  return v6 ?? v4 ?? address
}
