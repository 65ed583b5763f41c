-- Returns the state letter of each key, followed by the status of the last
-- resolution if that led to this state.
local found = {}
for i = 1, #KEYS, 3 do
  local state = 'f'
  if redis.call('EXISTS', KEYS[i+1]) == 1 then
    state = 'h'
  elseif redis.call('EXISTS', KEYS[i]) == 1 then
    state = 'c'
  end
  local resolution = redis.call('GET', KEYS[i+2])
  if resolution and string.sub(resolution, 1, 1) == state then state = resolution end
  found[#found+1] = state
end
return found
