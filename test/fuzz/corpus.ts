/**
 * Frames and calls that are worth trying again: `corpus/frames.jsonl`, `corpus/calls.jsonl`, one a line.
 */
import { readFileSync } from 'node:fs'
import { flush, type Provider } from '../../lib/contract/agent.js'
import { isObject } from '../../lib/contract/json.js'
import type { Scenario } from '../contract/scenario.js'
import type { WireFrame } from './frames.js'

/** Frames of one socket, and why they are kept. */
export interface KeptFrames {
  readonly why: string
  readonly provider: Provider
  readonly frames: readonly WireFrame[]
}

/** A call, and why it is kept. */
export interface KeptCall {
  readonly why: string
  readonly scenario: Scenario
}

interface FramesLine {
  readonly why: string
  readonly provider: Provider
  /** Texts, or bytes in base64 where they are no UTF-8. */
  readonly frames: ReadonlyArray<string | { readonly base64: string, readonly binary?: true }>
}

function lines<T> (name: string, revive?: (key: string, value: unknown) => unknown): T[] {
  const text = readFileSync(`test/fuzz/corpus/${name}.jsonl`, 'utf8')
  return text.trim().split('\n').map(line => JSON.parse(line, revive) as T)
}

export function keptFrames (): KeptFrames[] {
  return lines<FramesLine>('frames').map(({ frames, ...rest }) => ({
    ...rest,
    frames: frames.map(frame => typeof frame === 'string'
      ? { data: Buffer.from(frame), binary: false }
      : { data: Buffer.from(frame.base64, 'base64'), binary: frame.binary === true })
  }))
}

export function keptCalls (): KeptCall[] {
  return lines<KeptCall>('calls', built)
}

// JSON does not hold the mark of a builder.
function built (_key: string, value: unknown): unknown {
  return isObject(value) && typeof value['action'] === 'string' ? { ...flush(), ...value } : value
}
