-- Claims every blocking key by owner ARGV[2] for ARGV[3] milliseconds if all of
-- them are free. Returns the previous state of each key as a letter: free,
-- claimed or handled. A note is free or handled.
local last = 3 * ARGV[1]
local states, free = {}, true
for i = 1, #KEYS, 3 do
  local state = 'f'
  if redis.call('EXISTS', KEYS[i+1]) == 1 then
    state = 'h'
  elseif i < last then
    local owner = redis.call('GET', KEYS[i])
    if owner and owner ~= ARGV[2] then state = 'c' end
  end
  if i < last and state ~= 'f' then free = false end
  states[#states+1] = state
end
if free then
  for i = 1, last, 3 do
    redis.call('SET', KEYS[i], ARGV[2], 'PX', ARGV[3])
    redis.call('DEL', KEYS[i+2])
  end
end
return table.concat(states)
