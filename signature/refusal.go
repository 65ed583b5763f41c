package signature

import "fmt"

// Refusal says that a request is not a genuine, fresh delivery. Any other
// error of this package means that nothing could be decided.
type Refusal struct {
	Kind RefusalKind
	// Reason is for the operator: what to look at. It holds neither secrets
	// nor signatures, expected or received, and is never sent to the sender.
	Reason string
	// Handshake: the request is a handshake, which an option must allow. Reason
	// names it.
	Handshake bool
}

// RefusalKind is the outcome that a refusal leads to.
type RefusalKind string

// The kinds of refusal.
const (
	// MissingSignature: the request carries no signature.
	MissingSignature RefusalKind = "missing_signature"
	// InvalidSignature: no configured secret made the signature.
	InvalidSignature RefusalKind = "invalid_signature"
	// Stale: the timestamp is further from now than the tolerance.
	Stale RefusalKind = "stale"
	// Malformed: the scheme cannot read the headers or the body.
	Malformed RefusalKind = "malformed"
	// Undecided: the endpoint has no secret yet, so that the provider must try
	// again.
	Undecided RefusalKind = "undecided"
)

// Error implements error.
func (r *Refusal) Error() string { return string(r.Kind) + ": " + r.Reason }

// Refuse makes a Refusal; format and args make its reason. Of each text among
// args at most 48 characters are quoted, because it may come with the request.
func Refuse(kind RefusalKind, format string, args ...any) error {
	for i, arg := range args {
		args[i] = quotableArg(arg)
	}
	return &Refusal{Kind: kind, Reason: fmt.Sprintf(format, args...)}
}
