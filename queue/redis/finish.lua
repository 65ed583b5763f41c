-- Ends the lease ARGV[2] of the entry ARGV[1]. ARGV[3] is its next state: D, X,
-- d, w or p (put back). ARGV[9] identifies the call, so that it can be
-- repeated. Returns o, or the state of the key if the lease is not held.
local key, token, action, delay, counted = ARGV[1], ARGV[2], ARGV[3], num(ARGV[4]), num(ARGV[5])
local e = redis.call('HMGET', ekey(key), 'tok', 'ft', 'seq', 'due')
if e[1] ~= token then
  if e[2] == ARGV[9] then return 'o' end
  return state(key)
end
redis.call('ZREM', LEASED, key)
redis.call('ZREM', DUE, key)
redis.call('HDEL', ekey(key), 'tok')
tick()
redis.call('HSET', ekey(key), 'ft', ARGV[9])
if action == 'p' then
  redis.call('ZADD', DUE, e[4], key)
  return 'o'
end
redis.call('HINCRBY', ekey(key), 'att', counted)
redis.call('HINCRBY', ekey(key), 'fail', counted)
redis.call('HSET', ekey(key), 'st', ARGV[6], 'err', ARGV[7], 'at', ARGV[8])
if action == 'D' or action == 'X' then
  finish(key, action)
elseif action == 'd' then
  redis.call('HSET', ekey(key), 's', 'd', 'end', int(now))
  redis.call('ZREM', LIVE, key)
  redis.call('ZADD', DEAD, e[3], key)
  redis.call('ZADD', DEATHS, int(now), key)
  count('w', -1)
  count('d', 1)
else
  redis.call('HSET', ekey(key), 'due', int(now + delay))
  redis.call('ZADD', DUE, int(now + delay), key)
end
return 'o'
