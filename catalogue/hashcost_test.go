package catalogue

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// What one MiB of a body costs in each pass over it, in tenths of a millisecond on
// the machine of bench/hostile. They are fixed: no test measures time.
const (
	spooled    = 4  // the temporary file, and the first reading of it
	fastHash   = 6  // SHA-1, SHA-256
	slowHash   = 14 // SHA-384, SHA-512, MD5
	lookedAt   = 3  // read and searched for fields
	rewritten  = 4  // unescaped, encoded or escaped, before what comes of it is hashed
	goalConst  = 50 // 5 ms
	goalPerMiB = 10 // 1 ms
)

// handlersMaxBody and handlersSlowBody are the handler's defaults of max_body.
const (
	handlersMaxBody  = 25 << 20
	handlersSlowBody = 4 << 20
)

// costlier are the presets that miss the goal, and why. The figures are in
// bench/hostile/README.md.
var costlier = map[string]string{
	"mandrill":  "a form that can be a mail of 64 MiB is unescaped, and read a second time for it",
	"travis-ci": "a form is unescaped, and read a second time for it; its size is not documented",
	"airship":   "the body is signed before compression",
	"quicknode": "the body is signed before compression",
}

// meteredBody is a body in a file that adds up what is done with it.
type meteredBody struct {
	signature.BytesBody
	hash int // what hashing costs where a pass does not show it
	work int // bytes times cost
}

func (b *meteredBody) Bytes() []byte { return nil }

// WriteTo recognizes the purpose of the pass by the writer.
func (b *meteredBody) WriteTo(w io.Writer) (int64, error) {
	b.work += len(b.BytesBody) * b.passCost(w)
	return b.BytesBody.WriteTo(w)
}

func (b *meteredBody) passCost(w io.Writer) int {
	if h, ok := w.(interface {
		Size() int
		BlockSize() int
	}); ok {
		if h.BlockSize() == 128 || h.Size() == 16 {
			return slowHash
		}
		return fastHash
	}
	if slices.Contains([]string{"*signature.formScan", "*signature.jsonScan"}, fmt.Sprintf("%T", w)) {
		return lookedAt
	}
	return rewritten + b.hash
}

// ReadAt reads what is unescaped and hashed.
func (b *meteredBody) ReadAt(p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(b.BytesBody).ReadAt(p, off)
	b.work += n * (rewritten + b.hash)
	return n, err
}

// Open reads parts, of which short ones are kept, or what is inflated.
func (b *meteredBody) Open() io.ReadCloser {
	b.work += len(b.BytesBody) * rewritten
	return b.BytesBody.Open()
}

// Charge has room for every copy.
func (b *meteredBody) Charge(int64) error { return nil }

// hashVector is a genuine delivery.
type hashVector struct {
	Provider map[string]json.RawMessage `json:"provider"`
	Name     string                     `json:"name"`
	Request  struct {
		Method  string              `json:"method"`
		URL     string              `json:"url"`
		Headers map[string][]string `json:"headers"`
		Body    []byte              `json:"body_b64"`
	} `json:"request"`
	Now    int64  `json:"now"`
	Expect string `json:"expect"`
}

func hashVectors(t *testing.T, name string) []hashVector {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "vectors", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []hashVector
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(v hashVector) bool { return v.Expect != "accept" })
}

// open provisions the vector's endpoint with one secret, or with all where the
// request needs them.
func (v hashVector) open(p *provider.Preset) (*provider.Module, error) {
	members := make(map[string]json.RawMessage)
	for name, value := range v.Provider {
		if name != "name" {
			members[name] = value
		}
	}
	all := members["secrets"]
	var secrets []json.RawMessage
	if json.Unmarshal(all, &secrets) == nil && len(secrets) > 1 {
		one, err := json.Marshal(secrets[:1])
		if err != nil {
			return nil, err
		}
		members["secrets"] = one
	}
	m, err := provisioned(p, members)
	if err != nil && len(secrets) > 1 {
		members["secrets"] = all
		m, err = provisioned(p, members)
	}
	return m, err
}

func provisioned(p *provider.Preset, members map[string]json.RawMessage) (*provider.Module, error) {
	raw, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	m := provider.NewModule(p)
	if err := m.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	return m, provision(m)
}

// request is the vector's, with another body.
func (v hashVector) request() *signature.Request {
	scheme, rest, _ := strings.Cut(v.Request.URL, "://")
	host, uri, _ := strings.Cut(rest, "/")
	r := &signature.Request{Method: v.Request.Method, Scheme: scheme, Host: host, RequestURI: "/" + uri, Header: make(http.Header), Now: time.Unix(v.Now, 0)}
	for name, values := range v.Request.Headers {
		for _, value := range values {
			r.Header.Add(name, value)
		}
	}
	return r
}

// longBodies are what an attacker makes of a genuine body, about size bytes long.
func longBodies(body []byte, size int) [][]byte {
	out := [][]byte{append(bytes.Repeat([]byte(" "), size), body...), bytes.Repeat([]byte("x"), size)}
	form, err := url.ParseQuery(string(body))
	if err != nil || bytes.ContainsAny(body, "{[<") {
		return out
	}
	for name := range form {
		longer := url.Values{name: {strings.Repeat("x", size)}}
		for other := range form {
			if other != name {
				longer[other] = form[other]
			}
		}
		out = append(out, []byte(longer.Encode()))
	}
	return out
}

// hashCost returns what one MiB of an unsigned request costs, and the longest body.
func hashCost(t *testing.T, p *provider.Preset, m *provider.Module, v hashVector, body []byte) (perMiB int, most int64) {
	t.Helper()
	r := v.request()
	if m.CheckHeaders(r) != nil {
		return 0, 0
	}
	most = cmp.Or(p.MaxBody, handlersMaxBody)
	metered := &meteredBody{BytesBody: body, hash: fastHash}
	if r.SlowHash {
		most, metered.hash = cmp.Or(p.MaxBody, handlersSlowBody), slowHash
	}
	if r.MaxBody > 0 {
		most = min(most, r.MaxBody)
	}
	r.Body = metered
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // no keys are fetched
	if _, err := m.Verify(ctx, r); err == nil {
		return 0, 0 // it is genuine
	}
	return spooled + metered.work/len(body), most
}

// TestNoUnsignedRequestIsHashedForLongerThanTheGoal: the worst unsigned request of
// any preset may cost 5 ms and 1 ms a MiB. Counted are the passes over the body,
// by what each is for. A preset that fails needs a smaller max_body, or a cheaper
// way to find out that a request is not genuine.
func TestNoUnsignedRequestIsHashedForLongerThanTheGoal(t *testing.T) {
	const longest = wholeMost + wholeMost/4 // more than code looks into
	for i := range catalogue {
		p := &catalogue[i]
		worst, text := 0, ""
		for _, v := range hashVectors(t, p.Name) {
			m, err := v.open(p)
			if err != nil {
				t.Errorf("%s, %s: %v", p.Name, v.Name, err)
				continue
			}
			for _, body := range longBodies(v.Request.Body, int(min(longest, cmp.Or(p.MaxBody, longest)))-2*len(v.Request.Body)) {
				perMiB, most := hashCost(t, p, m, v, body)
				over := int(int64(perMiB-goalPerMiB)*most>>20) - goalConst
				if perMiB > 0 && (text == "" || over > worst) {
					worst, text = over, fmt.Sprintf("%s: %d.%d ms a MiB, up to %d KiB", v.Name, perMiB/10, perMiB%10, most>>10)
				}
			}
		}
		reason, known := costlier[p.Name]
		switch {
		case worst > 0 && !known:
			t.Errorf("%s costs %d.%d ms more than the goal (%s)", p.Name, worst/10, worst%10, text)
		case worst <= 0 && known && !strings.Contains(reason, "compression"):
			t.Errorf("%s reaches the goal (%s): remove it from the list", p.Name, text)
		}
	}
}
