package conformance_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/internal/nolog"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// openWith opens a trial for a vector, with further options of the handler.
func openWith(t *testing.T, v conformance.Vector, options map[string]any) *dryrun.Endpoint {
	t.Helper()
	all := map[string]any{"provider": v.Provider}
	maps.Copy(all, options)
	config, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	trial, err := dryrun.Open(nolog.Context(t.Context()), config, func() time.Time { return time.Unix(v.Now, 0) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(trial.Close)
	return trial
}

func build(t *testing.T, v conformance.Vector) *http.Request {
	t.Helper()
	r, err := v.Request.HTTP()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A header that contains the secret must not reach the app, with any preset and
// any configured scheme.
func TestNoSecretInAHeaderReachesTheApp(t *testing.T) {
	t.Parallel()
	withToken := 0
	for _, p := range provider.Presets() {
		d := p.Describe()
		for _, v := range accepted(t, p.Name) {
			for _, keep := range []bool{false, true} {
				got := openWith(t, v, map[string]any{"forward_token": keep}).Send(build(t, v))
				if !got.Reached {
					continue // the vector is the second of two copies
				}
				for name, values := range v.Request.Headers {
					name = http.CanonicalHeaderKey(name)
					if isToken := slices.Contains(d.TokenHeaders, name); isToken {
						withToken++
						if there := slices.Equal(got.ReachedHeader[name], values); there != keep {
							t.Errorf("%s, %s, forward_token %t: %s reaches the app: %t", p.Name, v.Name, keep, name, there)
						}
					}
				}
				for name, values := range got.ReachedHeader {
					if containsSecret(v, values) && !keep {
						t.Errorf("%s, %s: the secret reaches the app in %s", p.Name, v.Name, name)
					}
				}
			}
		}
	}
	if withToken < 20 {
		t.Errorf("only %d headers with secrets were checked", withToken)
	}
}

// containsSecret reports whether a secret of the config is among the values.
func containsSecret(v conformance.Vector, values []string) bool {
	var p struct {
		Secrets []struct {
			Secret string `json:"secret"`
		} `json:"secrets"`
	}
	if json.Unmarshal(v.Provider, &p) != nil {
		return false
	}
	for _, s := range p.Secrets {
		if text := strings.ReplaceAll(s.Secret, `\{`, "{"); text != "" && slices.Contains(values, text) {
			return true
		}
	}
	return false
}

// countingBody is an endless body that counts the bytes read until it is closed.
type countingBody struct {
	read   int
	closed bool
}

func (b *countingBody) Read(p []byte) (int, error) {
	if b.closed {
		return 0, errors.New("read after close")
	}
	b.read += len(p)
	return copy(p, bytes.Repeat([]byte(" "), len(p))), nil
}

func (b *countingBody) Close() error {
	b.closed = true
	return nil
}

// handshakes returns the vectors of a provider that are handshakes.
func handshakes(t *testing.T, name string) []conformance.Vector {
	t.Helper()
	vectors, err := conformance.ReadFile(filepath.Join("../../catalogue/testdata/vectors", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range setUpRequests {
		if r.provider == name {
			vectors = append(vectors, r.vector(t))
		}
	}
	return slices.DeleteFunc(vectors, func(v conformance.Vector) bool { return v.Expect != "accept" || v.Answer == nil })
}

// mostForHandshake is how many bytes of a body may be read for a handshake: the
// maximum length of a challenge, rounded up to the size of one read.
const mostForHandshake = 4 << 10

// An unsigned request that can be a handshake must not make the gate read a large
// body.
func TestInvariant12HandshakeReadsNoUnneededBody(t *testing.T) {
	t.Parallel()
	answered := 0
	for _, p := range provider.Presets() {
		if !answersUnsigned(p) {
			continue
		}
		vectors := handshakes(t, p.Name)
		if len(vectors) == 0 {
			t.Errorf("%s answers handshakes, but has no vector of one", p.Name)
		}
		for _, v := range vectors {
			if shareHeader(signatureHeaders(p), lowerNames(v.Request.Headers)) {
				continue // signed, so its body is read
			}
			needed := len(v.Request.Body) > 0 && p.Name != "bitbucket" // identified by a header
			for _, method := range []string{v.Request.Method, http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut} {
				longest := cmp.Or(p.MaxBody, 24<<20)
				for _, length := range []int64{longest, -1} {
					r := build(t, v)
					body := &countingBody{}
					r.Method, r.Body, r.ContentLength = method, body, length
					got := openWith(t, v, nil).Send(r)
					if got.Reached {
						t.Errorf("%s, %s, as %s: forwarded", p.Name, v.Name, method)
					}
					if got.Outcome == string(caddymodule.Handshake) {
						answered++
					}
					if method == v.Request.Method && !needed && !signsInBody[p.Name] && got.Outcome != string(caddymodule.Handshake) {
						t.Errorf("%s, %s: %s, %s", p.Name, v.Name, got.Outcome, got.Reason)
					}
					if body.read > mostForHandshake && !signsInBody[p.Name] {
						t.Errorf("%s, %s, as %s: %d bytes of the body were read", p.Name, v.Name, method, body.read)
					}
				}
			}
		}
	}
	if answered < 20 {
		t.Errorf("only %d handshakes were answered", answered)
	}
}

// signsInBody lists the providers whose signature or secret is in the body, which
// is read for requests that are not handshakes. The secret of Event Grid is in
// the URL, so its validation request is not unsigned.
var signsInBody = map[string]bool{"braintree": true, "microsoft-graph": true, "azure-event-grid": true}

// answersUnsigned reports whether a preset answers unsigned handshakes.
func answersUnsigned(p provider.Preset) bool {
	return p.Challenge != nil || slices.ContainsFunc(p.Schemes, func(s signature.Scheme) bool { return len(s.Handshakes) > 0 })
}

// After a handshake is answered, a handler in front cannot read the body.
func TestBodyCannotBeReadAfterAHandshake(t *testing.T) {
	t.Parallel()
	for _, p := range provider.Presets() {
		if !answersUnsigned(p) {
			continue
		}
		for _, v := range handshakes(t, p.Name) {
			r := build(t, v)
			body := &countingBody{}
			r.Body, r.ContentLength = body, 24<<20
			if got := openWith(t, v, nil).Send(r); got.Outcome != string(caddymodule.Handshake) {
				continue
			}
			if n, err := r.Body.Read(make([]byte, 1)); n > 0 || errors.Is(err, io.EOF) {
				t.Errorf("%s, %s: the body can still be read", p.Name, v.Name)
			}
		}
	}
}
