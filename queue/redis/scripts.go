package redis

import (
	_ "embed"

	"github.com/redis/rueidis"
)

// The scripts. Each begins with the prelude, which describes how a queue is
// stored.
//
// The client resends a script when a connection breaks before the response. All
// scripts are idempotent, except that a second lease leases other entries;
// those of the first are leased again when their leases expire.
var (
	//go:embed prelude.lua
	prelude string
	//go:embed put.lua
	putSource string
	//go:embed lease.lua
	leaseSource string
	//go:embed renew.lua
	renewSource string
	//go:embed finish.lua
	finishSource string
	//go:embed change.lua
	changeSource string
	//go:embed expire.lua
	expireSource string
	//go:embed stats.lua
	statsSource string
	//go:embed look.lua
	lookSource string
	//go:embed list.lua
	listSource string
	//go:embed pause.lua
	pauseSource string

	putScript    = script(putSource)
	leaseScript  = script(leaseSource)
	renewScript  = script(renewSource)
	finishScript = script(finishSource)
	changeScript = script(changeSource)
	expireScript = script(expireSource)
	statsScript  = script(statsSource)
	lookScript   = script(lookSource)
	listScript   = script(listSource)
	pauseScript  = script(pauseSource)
)

func script(source string) *rueidis.Lua {
	return rueidis.NewLuaScriptRetryable(prelude + "\n" + source)
}
