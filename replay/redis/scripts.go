package redis

import (
	_ "embed"

	"github.com/redis/rueidis"
)

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
	//go:embed claim.lua
	claimSource string
	//go:embed renew.lua
	renewSource string
	//go:embed commit.lua
	commitSource string
	//go:embed release.lua
	releaseSource string
	//go:embed look.lua
	lookSource string
	//go:embed forget.lua
	forgetSource string

	claimScript   = rueidis.NewLuaScriptRetryable(claimSource)
	renewScript   = rueidis.NewLuaScriptRetryable(renewSource)
	commitScript  = rueidis.NewLuaScriptRetryable(commitSource)
	releaseScript = rueidis.NewLuaScriptRetryable(releaseSource)
	lookScript    = rueidis.NewLuaScriptRetryable(lookSource)
	forgetScript  = rueidis.NewLuaScriptRetryable(forgetSource)
)
