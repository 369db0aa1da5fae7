import t, { type Test } from 'tap'
import { startRedis, type RedisServer } from './redis.js'

let started: Promise<RedisServer> | undefined

/**
 * A Redis that knows nothing, for a test that leaves it as it is: that neither ends it nor configures it. All such tests of
 * this process have the same one, one after the other.
 */
export async function sharedRedis (test: Pick<Test, 'teardown'>): Promise<RedisServer> {
  started ??= startRedis(t)
  const redis = await started
  redis.atEnd = act => { test.teardown(act) }
  await redis.client.flushall()
  await redis.client.config('RESETSTAT')
  return redis
}
