package sign

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// signer returns a function that signs a request with secrets repeatedly.
func signer(t testing.TB, size int, secrets ...string) func() {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	h := new(Handler)
	for i, secret := range secrets { // a plaintext secret would cause a warning
		name := fmt.Sprint("SIGN_BENCH_", i)
		t.Setenv(name, secret)
		h.Secrets = append(h.Secrets, provider.Secret{Secret: "{env." + name + "}"})
	}
	if err := h.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte{'x'}, size)
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return func() {
		removeSenders(r.Header)
		if err := h.sign(r, "the key of a delivery"); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkSign measures the cost of a signature compared with an unsigned
// request.
func BenchmarkSign(b *testing.B) {
	private := "whsk_" + base64.StdEncoding.EncodeToString(seed)
	for name, secrets := range map[string][]string{
		"hmac": {first}, "two hmacs": {first, second}, "ed25519": {private},
	} {
		for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) {
				sign := signer(b, size, secrets...)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					sign()
				}
			})
		}
	}
}
