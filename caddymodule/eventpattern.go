package caddymodule

import "strings"

// matchEvent matches an event type against a pattern in which `*` matches any text,
// including dots and slashes.
func matchEvent(pattern, event string) bool {
	head, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == event
	}
	event, ok := strings.CutPrefix(event, head)
	if !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	for _, part := range parts[:len(parts)-1] {
		i := strings.Index(event, part)
		if i < 0 {
			return false
		}
		event = event[i+len(part):]
	}
	return strings.HasSuffix(event, last)
}
