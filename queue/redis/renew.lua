-- Extends the lease ARGV[2] of the entry ARGV[1] to ARGV[3] milliseconds from
-- now. Returns whether it is held, or has expired without another lease.
local key = ARGV[1]
if redis.call('HGET', ekey(key), 'tok') ~= ARGV[2] then return 0 end
local expires = now + num(ARGV[3])
if num(redis.call('ZSCORE', LEASED, key)) < expires then
  redis.call('ZREM', DUE, key)
  redis.call('ZADD', LEASED, int(expires), key)
end
return 1
