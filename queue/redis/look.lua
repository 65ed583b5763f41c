-- Returns the clock, the state of the entry ARGV[1] and its fields, whose names
-- follow.
local fields = {}
for i = 2, #ARGV do fields[#fields+1] = ARGV[i] end
local s = state(ARGV[1])
if s == '' then return {int(now), s} end
return {int(now), s, redis.call('HMGET', ekey(ARGV[1]), unpack(fields))}
