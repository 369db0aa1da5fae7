/**
 * What nodes ask of the Redis they share.
 */
import type { RedisServer } from '../test/helpers/redis.js'

/** Since it started. */
export interface RedisFigures {
  /** Scripts that were run: all that a node asks while calls go on. */
  readonly scripts: number
  /** User and system time. */
  readonly cpuMs: number
  /** Bytes that it holds. */
  readonly bytes: number
}

export async function readRedis ({ client }: RedisServer): Promise<RedisFigures> {
  const info = await client.info('all')
  const figure = (pattern: RegExp): number => Number(pattern.exec(info)?.[1] ?? 0)
  return {
    scripts: figure(/^cmdstat_evalsha:calls=(\d+)/m),
    cpuMs: (figure(/^used_cpu_user:(.*)$/m) + figure(/^used_cpu_sys:(.*)$/m)) * 1000,
    bytes: figure(/^used_memory:(\d+)/m)
  }
}
