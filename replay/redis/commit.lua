-- Turns the claim of ARGV[1] into handled for ARGV[2] milliseconds.
-- ARGV[3] is the ending, told for ARGV[4] milliseconds.
-- Returns whether that owner holds, or has committed, every key.
for i = 1, #KEYS, 3 do
  if redis.call('GET', KEYS[i]) ~= ARGV[1] and redis.call('GET', KEYS[i+1]) ~= ARGV[1] then return 0 end
end
for i = 1, #KEYS, 3 do
  if redis.call('EXISTS', KEYS[i]) == 1 then
    redis.call('RENAME', KEYS[i], KEYS[i+1])
    redis.call('PEXPIRE', KEYS[i+1], ARGV[2])
    redis.pcall('SET', KEYS[i+2], ARGV[3], 'PX', ARGV[4])
  end
end
return 1
