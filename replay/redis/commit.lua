-- Turns the claim of owner ARGV[2] into handled for ARGV[3] milliseconds, and
-- writes the notes. ARGV[4] is the resolution, stored for ARGV[5] milliseconds.
-- Returns whether the owner has claimed, or already committed, every blocking
-- key.
local last = 3 * ARGV[1]
for i = 1, last, 3 do
  if redis.call('GET', KEYS[i]) ~= ARGV[2] and redis.call('GET', KEYS[i+1]) ~= ARGV[2] then return 0 end
end
for i = 1, last, 3 do
  if redis.call('EXISTS', KEYS[i]) == 1 then
    redis.call('RENAME', KEYS[i], KEYS[i+1])
    redis.call('PEXPIRE', KEYS[i+1], ARGV[3])
    redis.pcall('SET', KEYS[i+2], ARGV[4], 'PX', ARGV[5])
  end
end
-- The commit must not fail from here on. The note is skipped if the server is
-- out of memory, or if its ACL does not permit PTTL and the expiry might be
-- earlier. A claimed key belongs to its owner.
for i = last + 1, #KEYS, 3 do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    if redis.call('EXISTS', KEYS[i+1]) == 0 then
      redis.pcall('SET', KEYS[i+1], ARGV[2], 'PX', ARGV[3])
    else
      local left = redis.pcall('PTTL', KEYS[i+1])
      if type(left) == 'number' and left < tonumber(ARGV[3]) then
        redis.pcall('PEXPIRE', KEYS[i+1], ARGV[3])
      end
    end
  end
end
return 1
