// Package conformance runs signed requests, with what must become of them,
// through the real handler. A file of such vectors is how users, providers and
// contributors prove that a scheme is understood.
package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Vector is one request and what must become of it.
type Vector struct {
	// Provider is the name that follows verify_webhook in the Caddyfile.
	Provider string `json:"provider"`
	// Name tells the vectors of one file apart.
	Name string `json:"name"`
	// Config is what the endpoint is set up with: see [Vector.providerJSON].
	Config map[string]json.RawMessage `json:"config"`
	// Request is the request as the provider sends it.
	Request Request `json:"request"`
	// Now is the time at which it arrives, in Unix seconds.
	Now int64 `json:"now"`
	// Expect is `accept` or `reject`.
	Expect string `json:"expect"`
	// Answer is what a handshake must be answered with.
	Answer *Answer `json:"answer,omitempty"`
	// Why says what the vector shows.
	Why string `json:"why,omitempty"`
	// Published: the vector is quoted from public documentation.
	Published bool `json:"published,omitempty"`
}

// Request is what a provider sends.
type Request struct {
	Method string `json:"method"`
	// URL is the URL as the provider sees it.
	URL     string              `json:"url"`
	Headers map[string][]string `json:"headers"`
	Body    []byte              `json:"body_b64"`
}

// Answer is the response to a handshake.
type Answer struct {
	Status int `json:"status"`
	// Headers that the response must have; each may be a string or a list of
	// one. Parameters of a media type do not count.
	Headers map[string]any `json:"headers,omitempty"`
	// Body: JSON is compared by value, anything else byte for byte.
	Body string `json:"body"`
}

// ReadFile reads a file of vectors: a JSON array.
func ReadFile(path string) ([]Vector, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading vectors: %w", err)
	}
	var vectors []Vector
	if err := json.Unmarshal(raw, &vectors); err != nil {
		return nil, fmt.Errorf("%s is not a JSON array of vectors: %w", path, err)
	}
	for i, v := range vectors {
		if v.Provider == "" || (v.Expect != "accept" && v.Expect != "reject") {
			return nil, fmt.Errorf("%s: vector %d (%s) needs a provider, and accept or reject as what to expect", path, i+1, v.Name)
		}
	}
	return vectors, nil
}

// Tolerance returns the tolerance that the config sets, 0 if it sets none.
func (v Vector) Tolerance() time.Duration {
	var seconds int
	if json.Unmarshal(v.Config["tolerance_s"], &seconds) != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
