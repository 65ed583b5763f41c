-- Extends the claim of owner ARGV[1] to ARGV[2] milliseconds from now. Returns
-- whether that owner has claimed every key.
for i = 1, #KEYS, 3 do
  if redis.call('GET', KEYS[i]) ~= ARGV[1] then return 0 end
end
for i = 1, #KEYS, 3 do redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
return 1
