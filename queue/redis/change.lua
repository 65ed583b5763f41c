-- Changes entries: ARGV[1] is retry, discard or forget; their keys follow.
-- Returns how many were changed.
local n = 0
for i = 2, #ARGV do
  local key = ARGV[i]
  local s = state(key)
  if ARGV[1] == 'forget' then
    if s == 'D' or s == 'X' then
      entomb(key)
      n = n + 1
    end
  elseif s == 'w' or s == 'd' then
    redis.call('ZREM', LEASED, key) -- expired
    redis.call('HDEL', ekey(key), 'tok')
    if ARGV[1] == 'discard' then
      finish(key, 'X')
    else
      if s == 'd' then
        redis.call('ZREM', DEAD, key)
        redis.call('ZREM', DEATHS, key)
        redis.call('ZADD', LIVE, redis.call('HGET', ekey(key), 'seq'), key)
        count('d', -1)
        count('w', 1)
      end
      redis.call('HSET', ekey(key), 's', 'w', 'due', int(now), 'since', int(now), 'fail', 0)
      redis.call('ZADD', DUE, int(now), key)
    end
    n = n + 1
  end
end
if n > 0 then tick() end
return n
