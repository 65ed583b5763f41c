-- Leases up to ARGV[1] entries for ARGV[2] milliseconds. Their tokens begin
-- with ARGV[3]. Returns the time until the next entry is due, or -1; the clock;
-- and the key and the fields of each entry. The names of the fields follow in
-- ARGV.
if redis.call('EXISTS', M) == 0 or redis.call('HGET', M, 'p') == '1' then return {-1, int(now)} end
local fields = {}
for i = 4, #ARGV do fields[#fields+1] = ARGV[i] end
for _, key in ipairs(redis.call('ZRANGEBYSCORE', LEASED, '-inf', int(now), 'LIMIT', 0, 1000)) do
  redis.call('ZREM', LEASED, key)
  local due = redis.call('HGET', ekey(key), 'due')
  if due then redis.call('ZADD', DUE, due, key) end
end
local reply = {-1, int(now)}
if tonumber(ARGV[1]) > 0 then
  for i, key in ipairs(redis.call('ZRANGEBYSCORE', DUE, '-inf', int(now), 'LIMIT', 0, ARGV[1])) do
    redis.call('ZREM', DUE, key)
    if redis.call('EXISTS', ekey(key)) == 1 then
      redis.call('ZADD', LEASED, int(now + num(ARGV[2])), key)
      redis.call('HSET', ekey(key), 'tok', ARGV[3] .. i)
      reply[#reply+1] = key
      reply[#reply+1] = redis.call('HMGET', ekey(key), unpack(fields))
    end
  end
end
tick()
for _, index in ipairs({DUE, LEASED}) do
  local first = redis.call('ZRANGE', index, 0, 0, 'WITHSCORES')
  if first[2] then
    local left = math.max(0, num(first[2]) - now)
    if reply[1] < 0 or left < reply[1] then reply[1] = left end
  end
end
return reply
