/**
 * What must happen in Redis at once. It is one script with several entries: whoever claimed a call has loaded it where that
 * call's saves go, so that a save is one command which needs no second try.
 */
import { createHash } from 'node:crypto'
import type { RedisClient } from './redis-client.js'

/** What the script can do. Each is described where it stands in the script. */
export type Entry = 'claim' | 'write' | 'finish' | 'enlist' | 'roll' | 'beat' | 'room' | 'fleet' | 'isAlive' | 'depart'

// Redis 6.2 and Valkey run it as well. TIME is Redis' own: nodes need not agree on the time.
const SCRIPT = `
local entries = {}

local function microseconds()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function text(number)
  return string.format('%.0f', number)
end

local function tell(channels, node, message)
  redis.call('PUBLISH', channels .. node, cjson.encode(message))
end

-- KEYS: record, admitted. ARGV: node, token, asked at (ms), late, ms for which it is prompt, ttl, started at, channels, provider, id.
-- The newer claim wins. A prompt one is the newest there is; a late one looks when it was asked for. Asked again, it is answered again.
function entries.claim(record, admitted, node, token, askedAt, late, promptMs, ttl, startedAt, channels, provider, id)
  local held = redis.call('HMGET', record, 'node', 'token', 'epoch', 'claimedAt', 'left')
  if held[2] ~= token then
    local now = microseconds()
    local claimedAt = tonumber(askedAt)
    if held[4] and tonumber(held[4]) > claimedAt then
      if late == '1' or now / 1000 - claimedAt > tonumber(promptMs) then return { 0 } end
      claimedAt = tonumber(held[4])
    end
    if held[3] and tonumber(held[3]) >= now then now = tonumber(held[3]) + 1 end
    local epoch = text(now)
    redis.call('HSET', record, 'node', node, 'token', token, 'epoch', epoch, 'claimedAt', text(claimedAt), 'previous', held[1] or '')
    redis.call('HSETNX', record, 'startedAt', startedAt)
    redis.call('HDEL', record, 'left', 'sequence')
    if held[1] and held[1] ~= node and not held[5] then
      tell(channels, held[1], { type = 'fenced', provider = provider, id = id, epoch = epoch })
    end
  end
  redis.call('PEXPIRE', record, ttl)
  local meta = redis.call('HMGET', record, 'epoch', 'previous', 'startedAt', 'reports')
  local reply = { 1, meta[1], meta[2], meta[3], redis.call('EXISTS', admitted), meta[4] or '0' }
  local all = redis.call('HGETALL', record)
  for i = 1, #all, 2 do
    if all[i]:sub(1, 2) == 'f:' then
      reply[#reply + 1] = all[i]:sub(3)
      reply[#reply + 1] = all[i + 1]
    end
  end
  return reply
end

-- What nodes that had the call before reported of it.
local function reported(record)
  local all, marks, reply = redis.call('HGETALL', record), {}, {}
  for i = 1, #all, 2 do
    if all[i]:sub(1, 2) == 'r:' then marks[all[i]:sub(3)] = true end
  end
  for i = 1, #all, 2 do
    local name = all[i]:sub(3)
    if all[i]:sub(1, 2) == 'f:' and marks[name] then
      reply[#reply + 1] = name
      reply[#reply + 1] = all[i + 1]
    end
  end
  return reply
end

local function isBlank(record)
  for _, name in ipairs(redis.call('HKEYS', record)) do
    if name:sub(1, 2) == 'f:' then return false end
  end
  return true
end

-- KEYS: record. ARGV: token, epoch, sequence, ttl, leaves, reports known, channels, provider, id, number of saved fields, saved fields, reported fields.
-- 1: it is held, 0: another node has it, -1: the record is lost, or older than what is known here.
function entries.write(record, token, epoch, sequence, ttl, leaves, known, channels, provider, id, saves)
  local held = redis.call('HMGET', record, 'node', 'token', 'epoch', 'sequence', 'reports', 'left')
  if not held[2] then return { -1 } end
  -- A call of two hours has more of them than Lua passes on.
  local fields = {}
  for i = 12, #ARGV do fields[#fields + 1] = ARGV[i] end
  if held[2] == token then
    -- What a connection that was lost still had on its way must not undo what came after.
    if tonumber(sequence) > tonumber(held[4] or '0') then
      for i = 1, #fields, 2 do redis.call('HSET', record, 'f:' .. fields[i], fields[i + 1]) end
      redis.call('HSET', record, 'sequence', sequence)
      -- Of a call that never began there is nothing to keep, and refused ones may be many.
      if leaves == '1' and isBlank(record) then
        redis.call('DEL', record)
        return { 1 }
      end
      if leaves == '1' then redis.call('HSET', record, 'left', '1') end
    end
    redis.call('PEXPIRE', record, ttl)
    if (held[5] or '0') == known then return { 1 } end
    return { 1, held[5], reported(record) }
  end
  if tonumber(held[3]) < tonumber(epoch) then return { -1 } end
  local first = saves * 2 + 1
  if #fields < first then return { 0 } end
  local number, reports = redis.call('HINCRBY', record, 'reports', 1), {}
  for i = first, #fields, 2 do
    redis.call('HSET', record, 'f:' .. fields[i], fields[i + 1], 'r:' .. fields[i], '1')
    reports[fields[i]] = fields[i + 1]
  end
  if not held[6] then
    tell(channels, held[1], { type = 'report', provider = provider, id = id, epoch = held[3], number = number, fields = reports })
  end
  return { 0 }
end

-- KEYS: record, admitted. ARGV: token.
function entries.finish(record, admitted, token)
  local held = redis.call('HGET', record, 'token')
  if held and held ~= token then return 0 end
  redis.call('DEL', record, admitted)
  return 1
end

-- KEYS: a node's calls. ARGV: ttl, calls and when they began.
function entries.enlist(calls, ttl, ...)
  local fields = { ... }
  for i = 1, #fields, 2 do redis.call('HSET', calls, fields[i], fields[i + 1]) end
  redis.call('PEXPIRE', calls, ttl)
end

-- KEYS: a node's calls. ARGV: ttl. How many it has.
function entries.roll(calls, ttl)
  redis.call('PEXPIRE', calls, ttl)
  return redis.call('HLEN', calls)
end

-- KEYS: fleet. ARGV: node, load, since, ms of silence after which a node is dead. Redis' time, in ms.
function entries.beat(alive, load, since, node, calls, startedAt, expiryMs)
  local now = math.floor(microseconds() / 1000)
  for _, dead in ipairs(redis.call('ZRANGEBYSCORE', alive, '-inf', text(now - expiryMs))) do
    redis.call('ZREM', alive, dead)
    redis.call('HDEL', load, dead)
    redis.call('HDEL', since, dead)
  end
  redis.call('ZADD', alive, text(now), node)
  redis.call('HSET', load, node, calls)
  redis.call('HSET', since, node, startedAt)
  for _, key in ipairs({ alive, load, since }) do redis.call('PEXPIRE', key, expiryMs * 4) end
  return now
end

local function living(alive, expiryMs)
  return redis.call('ZRANGEBYSCORE', alive, '(' .. text(microseconds() / 1000 - expiryMs), '+inf')
end

-- KEYS: fleet. ARGV: node, load, ceiling, expiry. Is there room for one more?
function entries.room(alive, load, since, node, calls, ceiling, expiryMs)
  local all = tonumber(calls)
  for _, other in ipairs(living(alive, expiryMs)) do
    if other ~= node then all = all + (redis.call('HGET', load, other) or 0) end
  end
  local room = all < tonumber(ceiling)
  -- It is taken from now on, for whoever asks before the next heartbeat.
  redis.call('HSET', load, node, room and calls + 1 or calls)
  return room and 1 or 0
end

-- KEYS: fleet. ARGV: expiry. Of each node its id, its load and when it started.
function entries.fleet(alive, load, since, expiryMs)
  local reply = {}
  for _, node in ipairs(living(alive, expiryMs)) do
    reply[#reply + 1] = node
    reply[#reply + 1] = redis.call('HGET', load, node) or '0'
    reply[#reply + 1] = redis.call('HGET', since, node) or '0'
  end
  return reply
end

-- KEYS: fleet. ARGV: node, expiry.
function entries.isAlive(alive, load, since, node, expiryMs)
  local score = redis.call('ZSCORE', alive, node)
  return score and tonumber(score) > microseconds() / 1000 - expiryMs and 1 or 0
end

-- KEYS: fleet. ARGV: node.
function entries.depart(alive, load, since, node)
  redis.call('ZREM', alive, node)
  redis.call('HDEL', load, node)
  redis.call('HDEL', since, node)
end

local all = {}
for i = 1, #KEYS do all[i] = KEYS[i] end
for i = 2, #ARGV do all[#all + 1] = ARGV[i] end
return entries[ARGV[1]](unpack(all, 1, math.min(#all, 1000)))
`

const SHA = createHash('sha1').update(SCRIPT).digest('hex')

/** Runs the script. The command is on its way when this returns. */
export async function evaluate (client: RedisClient, entry: Entry, keys: readonly string[], args: ReadonlyArray<string | number>): Promise<unknown> {
  try {
    return await client.call('evalsha', SHA, keys.length, ...keys, entry, ...args)
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
    return await client.call('eval', SCRIPT, keys.length, ...keys, entry, ...args)
  }
}
