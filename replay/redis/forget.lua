-- Frees handled keys. Returns how many it freed.
local n = 0
for i = 1, #KEYS, 3 do
  if redis.call('DEL', KEYS[i+1]) == 1 then
    redis.call('DEL', KEYS[i+2])
    n = n + 1
  end
end
return n
