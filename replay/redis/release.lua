-- Frees every key that owner ARGV[1] has claimed. ARGV[2] is the resolution,
-- stored for ARGV[3] milliseconds.
for i = 1, #KEYS, 3 do
  if redis.call('GET', KEYS[i]) == ARGV[1] then
    redis.call('DEL', KEYS[i])
    redis.pcall('SET', KEYS[i+2], ARGV[2], 'PX', ARGV[3])
  end
end
return 1
