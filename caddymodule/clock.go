package caddymodule

import "time"

// SetClock makes the handler judge timestamps by another clock, as conformance
// vectors need, which were signed in the past. Call it between provisioning
// and the first request.
func (h *Handler) SetClock(now func() time.Time) { h.now = now }
