-- KEYS[1] is the hash of the queue's counts. All other keys have the same
-- prefix and are therefore in the same slot:
--   :due     waiting entries, by due time
--   :leased  entries in flight, by expiry of the lease
--   :live    entries waiting or in flight, :dead dead entries, by sequence
--   :deaths  dead entries, by time of death
--   :tombs   tombstones, by expiry
--   :e:KEY   a hash: the entry or tombstone of the key
--   :b:NAME  a large body
-- States are w (waiting or in flight), d (dead), D (delivered), X (discarded).
-- Times are milliseconds of the queue's clock: the server's clock, corrected so
-- that it never goes back, not even in a failover to a server that is behind.
--
-- A server that has reached maxmemory rejects a script only at its first write,
-- and only if that command can need memory. So scripts that free memory start
-- with a removal.
local M = KEYS[1]
local T = string.sub(M, 1, -3)
local DUE, LEASED, LIVE, DEAD, DEATHS, TOMBS = T .. ':due', T .. ':leased', T .. ':live', T .. ':dead', T .. ':deaths', T .. ':tombs'

local function num(text) return tonumber(text) or 0 end
local function int(n) return string.format('%.0f', n) end

local clock = redis.call('HMGET', M, 'last', 'off')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + num(clock[2])
local behind = num(clock[1]) - now
if behind > 0 then now = now + behind end

-- tick stores the clock, at most once a second.
local function tick()
  if behind > 0 then redis.pcall('HSET', M, 'off', int(num(clock[2]) + behind)) end
  if behind > 0 or behind < -1000 then redis.pcall('HSET', M, 'last', int(now)) end
end

local function ekey(key) return T .. ':e:' .. key end
local function count(field, n) redis.call('HINCRBY', M, field, int(n)) end

-- state returns the state of a key: i if it is in flight, nothing if its
-- tombstone has expired.
local function state(key)
  local e = redis.call('HMGET', ekey(key), 's', 'put', 'rem')
  if not e[1] then return '' end
  if (e[1] == 'D' or e[1] == 'X') and num(e[2]) + num(e[3]) <= now then return '' end
  if e[1] == 'w' and num(redis.call('ZSCORE', LEASED, key)) > now then return 'i' end
  return e[1]
end

-- entomb removes a tombstone.
local function entomb(key)
  redis.call('ZREM', TOMBS, key)
  redis.call('DEL', ekey(key))
  count('t', -1)
end

-- remove deletes an entry from the indexes and the counts, with its body.
local function remove(key)
  local e = redis.call('HMGET', ekey(key), 's', 'size', 'bk')
  for _, index in ipairs({DUE, LEASED, LIVE, DEAD, DEATHS}) do redis.call('ZREM', index, key) end
  if e[3] and e[3] ~= '' then redis.call('UNLINK', T .. ':b:' .. e[3]) end
  count(e[1] == 'd' and 'd' or 'w', -1)
  count('b', -num(e[2]))
end

-- finish removes an entry and leaves a tombstone, unless its key need not be
-- remembered any longer.
local function finish(key, ending)
  remove(key)
  local e = redis.call('HMGET', ekey(key), 'put', 'rem')
  local til = num(e[1]) + num(e[2])
  if til <= now then
    redis.call('DEL', ekey(key))
    return
  end
  -- A new hash of short values uses a third of the memory of the old one.
  local t = redis.call('HMGET', ekey(key), 'acc', 'att', 'fail', 'st', 'at', 'bs', 'ft', 'err')
  redis.call('DEL', ekey(key))
  redis.call('HSET', ekey(key), 's', ending, 'put', e[1], 'rem', e[2], 'acc', t[1] or '', 'att', t[2] or '', 'fail', t[3] or '',
    'st', t[4] or '', 'at', t[5] or '', 'bs', t[6] or '', 'ft', t[7] or '', 'err', string.sub(t[8] or '', 1, 60))
  redis.call('ZADD', TOMBS, int(til), key)
  count('t', 1)
  local max = num(redis.call('HGET', M, 'mt'))
  if max > 0 then
    local many = num(redis.call('HGET', M, 't')) - max
    if many > 0 then
      for _, old in ipairs(redis.call('ZRANGE', TOMBS, 0, math.min(many, 100) - 1)) do entomb(old) end
    end
  end
end
