-- Returns the clock, the counts, the number of unexpired leases, when the
-- oldest entry that is not dead was put, and whether the queue is paused.
local c = redis.call('HMGET', M, 'w', 'd', 't', 'b', 'p')
local oldest = redis.call('ZRANGE', LIVE, 0, 0)[1]
local put = oldest and redis.call('HGET', ekey(oldest), 'put') or ''
return {int(now), c[1] or '', c[2] or '', c[3] or '', c[4] or '', redis.call('ZCOUNT', LEASED, '(' .. int(now), '+inf'), put, c[5] or ''}
