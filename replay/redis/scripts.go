package redis

import (
	_ "embed"

	"github.com/redis/rueidis"
)

// resolutionLife is how long a store tells how a claim ended, in milliseconds.
const resolutionLife = "60000"

// The scripts. KEYS are the names of every key, three by three: claimed,
// handled, resolution. Claim and commit get the blocking keys, then the notes, and
// how many are blocking in ARGV[1]; renew, release and wait get the blocking
// keys. The owner is the first argument after that.
//
// All may be run twice with the same effect, because the client sends a script
// again when a connection breaks before the answer. None needs new memory to
// end a claim: a server that is full ends it by renaming, and merely does
// without the resolution and the notes (SET by pcall).
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
