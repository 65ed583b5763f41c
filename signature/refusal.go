package signature

import "fmt"

// Refusal means that a request is not a genuine, fresh delivery. Any other error of
// this package means that the delivery could not be checked.
type Refusal struct {
	Kind RefusalKind
	// Reason is for the operator: what to check. It contains neither secrets nor
	// signatures, expected or received, and is never sent to the sender.
	Reason string
	// Handshake: the request is a handshake that an option can allow. Reason
	// names the option.
	Handshake bool
}

// RefusalKind is the outcome of a refusal.
type RefusalKind string

// The kinds of refusal.
const (
	// MissingSignature: the request has no signature.
	MissingSignature RefusalKind = "missing_signature"
	// InvalidSignature: the signature matches no configured secret.
	InvalidSignature RefusalKind = "invalid_signature"
	// Stale: the timestamp is further from now than the tolerance.
	Stale RefusalKind = "stale"
	// Malformed: the headers or the body cannot be parsed.
	Malformed RefusalKind = "malformed"
	// Undecided: the endpoint has no secret yet, so that the provider must retry.
	Undecided RefusalKind = "undecided"
)

// Error implements error.
func (r *Refusal) Error() string { return string(r.Kind) + ": " + r.Reason }

// Refuse returns a Refusal; format and args are its reason. At most 48 characters of
// each text in args are quoted, because it may be from the request.
func Refuse(kind RefusalKind, format string, args ...any) error {
	for i, arg := range args {
		args[i] = quotableArg(arg)
	}
	return &Refusal{Kind: kind, Reason: fmt.Sprintf(format, args...)}
}
