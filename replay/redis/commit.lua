-- Turns the claim of ARGV[2] into handled for ARGV[3] milliseconds, and writes
-- the notes. ARGV[4] is the ending, told for ARGV[5] milliseconds.
-- Returns whether that owner holds, or has committed, every blocking key.
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
-- Nothing below may fail the commit: a server that is full does without the
-- note, and so does one whose ACL does not permit PTTL with an expiry that
-- could be earlier. A key that is claimed belongs to its owner.
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
