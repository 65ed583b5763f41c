// Package conformance sends signed requests through the real handler and compares
// the outcomes with the expected ones. Users, providers and contributors write
// files of such vectors to test that a scheme is implemented correctly. The
// format is documented in docs/vectors.md.
package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// Vector is one request and its expected outcome.
type Vector struct {
	// Provider is the provider as in Caddy's config: a JSON object with its
	// `name` and options.
	Provider json.RawMessage `json:"provider"`
	// Name distinguishes the vectors of one file.
	Name string `json:"name"`
	// Request is the request as the provider sends it.
	Request Request `json:"request"`
	// SentBefore reports whether the same request was sent before. The result
	// is that of the second one.
	SentBefore bool `json:"sent_before,omitempty"`
	// Now is the time at which the request arrives, in Unix seconds.
	Now int64 `json:"now"`
	// Expect is `accept` or `reject`.
	Expect string `json:"expect"`
	// Answer is the expected response to a handshake.
	Answer *Answer `json:"answer,omitempty"`
	// Why describes what the vector tests.
	Why string `json:"why,omitempty"`
}

// Request is the request that a provider sends.
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
	// Headers must be in the response. Each value is a string or a list of one
	// string. Parameters of a media type are not compared.
	Headers map[string]any `json:"headers,omitempty"`
	// Body is compared by value if it is JSON, and byte for byte otherwise.
	Body string `json:"body"`
}

// endpoint contains the members of the provider's JSON that are used here.
type endpoint struct {
	Name    string `json:"name"`
	Secrets []struct {
		Secret string `json:"secret"`
	} `json:"secrets"`
}

// endpoint decodes the provider. It returns the zero value if the provider is not an object.
func (v Vector) endpoint() endpoint {
	var e endpoint
	_ = json.Unmarshal(v.Provider, &e) // the handler reports further errors
	return e
}

// ProviderName returns the name of the provider.
func (v Vector) ProviderName() string { return v.endpoint().Name }

// ReadFile reads a file of vectors: a JSON array.
func ReadFile(path string) ([]Vector, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading vectors: %w", err)
	}
	var found []struct {
		Vector

		// Only the shared format has the member config.
		Config json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(raw, &found); err != nil {
		return nil, fmt.Errorf("%s is not a JSON array of vectors: %w", path, err)
	}
	vectors := make([]Vector, len(found))
	for i, v := range found {
		if v.Config != nil {
			return nil, fmt.Errorf("%s: vector %d (%s) has the shared format, with a config: convert it with python3 catalogue/testdata/convert.py --into DIRECTORY %s", path, i+1, v.Name, path)
		}
		if err := v.check(); err != nil {
			return nil, fmt.Errorf("%s: vector %d (%s): %w", path, i+1, v.Name, err)
		}
		vectors[i] = v.Vector
	}
	return vectors, nil
}

func (v Vector) check() error {
	if v.ProviderName() == "" {
		return errors.New(`missing provider: write an object with its name and options, such as {"name": "github", "secrets": [{"secret": "…"}]}`)
	}
	if v.Expect != "accept" && v.Expect != "reject" {
		return fmt.Errorf("unrecognized expect: %q: write accept or reject", v.Expect)
	}
	return nil
}
