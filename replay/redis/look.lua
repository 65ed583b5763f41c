-- Returns for each key its state letter, followed by the status of the last
-- ending if it has led to this state.
local found = {}
for i = 1, #KEYS, 3 do
  local state = 'f'
  if redis.call('EXISTS', KEYS[i+1]) == 1 then
    state = 'h'
  elseif redis.call('EXISTS', KEYS[i]) == 1 then
    state = 'c'
  end
  local ending = redis.call('GET', KEYS[i+2])
  if ending and string.sub(ending, 1, 1) == state then state = ending end
  found[#found+1] = state
end
return found
