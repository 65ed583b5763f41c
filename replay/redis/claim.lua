-- Claims every key for ARGV[1] for ARGV[2] milliseconds, if all are free.
-- Returns a state letter for each key as it was: free, claimed, handled.
local states, free = {}, true
for i = 1, #KEYS, 3 do
  local state = 'f'
  if redis.call('EXISTS', KEYS[i+1]) == 1 then
    state = 'h'
  else
    local owner = redis.call('GET', KEYS[i])
    if owner and owner ~= ARGV[1] then state = 'c' end
  end
  if state ~= 'f' then free = false end
  states[#states+1] = state
end
if free then
  for i = 1, #KEYS, 3 do
    redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[2])
    redis.call('DEL', KEYS[i+2])
  end
end
return table.concat(states)
