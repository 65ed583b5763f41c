-- Stores an entry. Returns n if it is new, E or B if the limit of entries or
-- bytes is reached, L if its large body was lost, otherwise the state of the
-- key.
local key, nonce, request, body, bodyname = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local bodysize, size, sum, accepted, delay, remember = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local maxentries, maxbytes, maxtombs = num(ARGV[12]), num(ARGV[13]), ARGV[14]
local found = state(key)
if found ~= '' then
  if redis.call('HGET', ekey(key), 'n') == nonce then return 'n' end
  return found
end
local c = redis.call('HMGET', M, 'w', 'd', 'b')
if maxentries > 0 and num(c[1]) + num(c[2]) >= maxentries then return 'E' end
if maxbytes > 0 and num(c[3]) + num(size) > maxbytes then return 'B' end
if bodyname ~= '' and redis.call('STRLEN', T .. ':b:' .. bodyname) ~= tonumber(bodysize) then return 'L' end
local seq = redis.call('HINCRBY', M, 'seq', 1)
if redis.call('EXISTS', ekey(key)) == 1 then entomb(key) end -- expired
tick()
local due = int(now + num(delay))
redis.call('HSET', ekey(key), 's', 'w', 'n', nonce, 'r', request, 'b', body, 'bk', bodyname, 'bs', bodysize, 'size', size, 'sum', sum,
  'acc', accepted, 'put', int(now), 'since', int(now), 'due', due, 'rem', remember, 'seq', seq)
if bodyname ~= '' then redis.call('PERSIST', T .. ':b:' .. bodyname) end
redis.call('ZADD', DUE, due, key)
redis.call('ZADD', LIVE, seq, key)
redis.call('HSET', M, 'mt', maxtombs)
count('w', 1)
count('b', num(size))
return 'n'
