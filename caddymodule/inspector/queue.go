package inspector

import "context"

// queued returns what the queue knows of a delivery, nil if it is in none.
func queued(context.Context, *record) any { return nil }
