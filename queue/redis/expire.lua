-- Removes up to ARGV[2] expired tombstones, and up to ARGV[2] entries that have
-- been dead for ARGV[1] milliseconds. Returns whether there may be more.
local before, max = int(now - num(ARGV[1])), num(ARGV[2])
local tombs = redis.call('ZRANGEBYSCORE', TOMBS, '-inf', int(now), 'LIMIT', 0, max)
for _, key in ipairs(tombs) do entomb(key) end
local dead = redis.call('ZRANGEBYSCORE', DEATHS, '-inf', before, 'LIMIT', 0, max)
for _, key in ipairs(dead) do
  remove(key)
  redis.call('DEL', ekey(key))
end
if #tombs + #dead > 0 then tick() end
return (#tombs == max or #dead == max) and 1 or 0
