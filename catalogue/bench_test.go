package catalogue

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// BenchmarkVerify verifies genuine deliveries with a preset of one scheme and
// with a preset of several header families.
func BenchmarkVerify(b *testing.B) {
	body := `{"id":"1","type":"push","filling":"` + strings.Repeat("x", 4096) + `"}`
	key := base64.StdEncoding.EncodeToString([]byte("a secret of thirty-two bytes …"))
	raw, err := signature.NewSecret("a secret of thirty-two bytes …", "")
	if err != nil {
		b.Fatal(err)
	}
	hexed := hex.EncodeToString(mac(raw, body))
	standard := "v1," + base64.StdEncoding.EncodeToString(mac(raw, "m1.1760000000."+body))
	for name, c := range map[string]struct {
		secret string
		r      *signature.Request
	}{
		"github": {"a secret of thirty-two bytes …", request("POST", "/in", body, "X-Hub-Signature-256", "sha256="+hexed, "X-GitHub-Delivery", "1", "X-GitHub-Event", "push")},
		"svix":   {"whsec_" + key, request("POST", "/in", body, "svix-id", "m1", "svix-timestamp", "1760000000", "svix-signature", standard)},
	} {
		b.Run(name, func(b *testing.B) {
			m := provider.NewModule(presetNamed(name))
			m.Secrets = []provider.Secret{{Secret: c.secret}}
			if err := provision(m); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Verify(context.Background(), c.r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
