-- Frees every key that ARGV[1] holds.
-- ARGV[2] is the ending, told for ARGV[3] milliseconds.
for i = 1, #KEYS, 3 do
  if redis.call('GET', KEYS[i]) == ARGV[1] then
    redis.call('DEL', KEYS[i])
    redis.pcall('SET', KEYS[i+2], ARGV[2], 'PX', ARGV[3])
  end
end
return 1
