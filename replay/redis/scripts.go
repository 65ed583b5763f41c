package redis

import "github.com/redis/rueidis"

// endingLife is how long a store tells how a claim ended, in milliseconds.
const endingLife = "60000"

// The scripts. KEYS are the names of every key, three by three: claimed,
// handled, ending. ARGV[1], where there is one, is the owner.
//
// All may be run twice with the same effect, because the client sends a script
// again when a connection breaks before the answer. None needs new memory to
// end a claim: a server that is full ends it by renaming, and merely forgets
// the ending (SET by pcall).
var (
	// Returns a state letter for each key: free, claimed, handled.
	claimScript = rueidis.NewLuaScriptRetryable(`
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
return table.concat(states)`)

	// Returns whether the owner holds every key.
	renewScript = rueidis.NewLuaScriptRetryable(`
for i = 1, #KEYS, 3 do
  if redis.call('GET', KEYS[i]) ~= ARGV[1] then return 0 end
end
for i = 1, #KEYS, 3 do redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
return 1`)

	// Returns whether the owner holds, or has committed, every key.
	commitScript = rueidis.NewLuaScriptRetryable(`
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
return 1`)

	// Returns nothing of interest.
	releaseScript = rueidis.NewLuaScriptRetryable(`
for i = 1, #KEYS, 3 do
  if redis.call('GET', KEYS[i]) == ARGV[1] then
    redis.call('DEL', KEYS[i])
    redis.pcall('SET', KEYS[i+2], ARGV[2], 'PX', ARGV[3])
  end
end
return 1`)

	// Returns for each key its state letter, followed by the status of the
	// last ending if it has led to this state.
	lookScript = rueidis.NewLuaScriptRetryable(`
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
return found`)

	// Returns how many keys were handled.
	forgetScript = rueidis.NewLuaScriptRetryable(`
local n = 0
for i = 1, #KEYS, 3 do
  if redis.call('DEL', KEYS[i+1]) == 1 then
    redis.call('DEL', KEYS[i+2])
    n = n + 1
  end
end
return n`)
)
