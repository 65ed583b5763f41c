package redis

import (
	_ "embed"

	"github.com/redis/rueidis"
)

// resolutionLife is how long a resolution is stored, in milliseconds.
const resolutionLife = "60000"

// The scripts. KEYS contains three names for each key: claimed, handled,
// resolution. Claim and commit get the blocking keys, then the notes, and the
// number of blocking keys in ARGV[1]. Renew, release and wait get the blocking
// keys. The owner is the first argument after that.
//
// All scripts are idempotent, because the client resends a script when a
// connection breaks before the response. Ending a claim needs no new memory: a
// server that is out of memory renames the key and omits the resolution and the
// notes (SET by pcall).
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
