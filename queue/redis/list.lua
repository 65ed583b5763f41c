-- Returns the clock, and for up to ARGV[3] entries after the sequence number
-- ARGV[1] their sequence number, key, state and fields, whose names follow.
-- ARGV[2] is n for newest first. ARGV[4] contains the letters of the states
-- that can match.
local after, newest, max, states = ARGV[1], ARGV[2] == 'n', tonumber(ARGV[3]), ARGV[4]
local fields = {}
for i = 5, #ARGV do fields[#fields+1] = ARGV[i] end
local found = {}
local function search(index)
  local part
  if newest then
    part = redis.call('ZREVRANGEBYSCORE', index, after == '0' and '+inf' or '(' .. after, '-inf', 'WITHSCORES', 'LIMIT', 0, max)
  else
    part = redis.call('ZRANGEBYSCORE', index, '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, max)
  end
  for i = 1, #part, 2 do found[#found+1] = {part[i], tonumber(part[i+1])} end
end
if string.find(states, 'w', 1, true) then search(LIVE) end
if string.find(states, 'd', 1, true) then search(DEAD) end
table.sort(found, function(a, b)
  if newest then return a[2] > b[2] end
  return a[2] < b[2]
end)
local reply = {int(now)}
for i = 1, math.min(#found, max) do
  local key = found[i][1]
  reply[#reply+1] = int(found[i][2])
  reply[#reply+1] = key
  reply[#reply+1] = state(key)
  reply[#reply+1] = redis.call('HMGET', ekey(key), unpack(fields))
end
return reply
