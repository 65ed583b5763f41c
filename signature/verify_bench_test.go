package signature

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

var benchSizes = []int{1 << 10, 64 << 10, 1 << 20}

// benchBody returns a Stripe-like event of about n bytes: the ID first, the type last,
// text and numbers in between.
func benchBody(n int) string {
	const head, tail = `{"id":"evt_1PqXyz2eZvKYlo2C","object":"event","data":{"object":{"lines":[`, `{}]}},"livemode":false,"type":"invoice.payment_succeeded"}`
	const line = `{"id":"il_1Pq","amount":2500,"currency":"eur","description":"1 × Plan \"Pro\" (at €25.00 / month)","metadata":{"order":"6735"},"proration":false,"quantity":1},`
	return head + strings.Repeat(line, max(0, (n-len(head)-len(tail))/len(line))) + tail
}

// BenchmarkBareHMAC is the lower bound: only crypto/hmac, with a new state for each
// body, as in a handwritten handler, and with a reused state.
func BenchmarkBareHMAC(b *testing.B) {
	for _, size := range benchSizes {
		body := []byte(benchBody(size))
		b.Run(fmt.Sprintf("new/%dKiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				m := hmac.New(sha256.New, []byte("secret"))
				m.Write(body)
				m.Sum(nil)
			}
		})
		b.Run(fmt.Sprintf("reused/%dKiB", size>>10), func(b *testing.B) {
			m := hmac.New(sha256.New, []byte("secret"))
			var sum [sha256.Size]byte
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				m.Reset()
				m.Write(body)
				m.Sum(sum[:0])
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, bench := range []struct {
		name string
		v    *Verifier
		post func(body string) *Request
	}{
		{"github", compile(b, githubScheme(), "secret"), func(body string) *Request { return githubPost("secret", body) }},
		{"stripe", compile(b, stripeScheme(), "secret"), func(body string) *Request { return stripePost("secret", body) }},
		{"standard-v1", compile(b, standardScheme(), base64Of([]byte("secret"))), func(body string) *Request { return standardPost("secret", "m1", body) }},
		{"standard-v1a", compile(b, standardEd25519(), "whpk_"+base64Of(keys.ed25519.Public().(ed25519.PublicKey))), func(body string) *Request {
			signature := "v1a," + base64Of(sign(Ed25519, "m1."+nowText+"."+body))
			return post(body, "webhook-id", "m1", "webhook-timestamp", nowText, "webhook-signature", signature)
		}},
		{"ecdsa", compile(b, bodyScheme(ECDSAP256SHA256, Base64), secretFor(ECDSAP256SHA256)), func(body string) *Request {
			return post(body, "X-Sig", base64Of(sign(ECDSAP256SHA256, body)))
		}},
		{"rsa", compile(b, bodyScheme(RSASHA256, Base64), secretFor(RSASHA256)), func(body string) *Request {
			return post(body, "X-Sig", base64Of(sign(RSASHA256, body)))
		}},
	} {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("%s/%dKiB", bench.name, size>>10), func(b *testing.B) {
				r := bench.post(benchBody(size))
				b.SetBytes(r.Body.Size())
				b.ReportAllocs()
				for b.Loop() {
					if _, err := bench.v.Verify(r); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkRefuse(b *testing.B) {
	v := compile(b, stripeScheme(), "secret")
	stale := stripePost("secret", "{}")
	stale.Now = now.AddDate(1, 0, 0)
	for name, r := range map[string]*Request{"missing": post("{}"), "stale": stale} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v.CheckHeaders(r) == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}

func BenchmarkJSONPaths(b *testing.B) {
	p, err := NewJSONPaths([]string{"id", "type"})
	if err != nil {
		b.Fatal(err)
	}
	for name, doc := range map[string]string{
		"lines":     benchBody(64 << 10),
		"one text":  `{"x":"` + strings.Repeat("lorem ipsum ", 5400) + `","id":"1","type":"t"}`,
		"escapes":   `{"x":"` + strings.Repeat(`lorem\nipsum `, 5000) + `","id":"1","type":"t"}`,
		"numbers":   `{"x":[` + strings.Repeat("1.25,-3,", 8100) + `0],"id":"1","type":"t"}`,
		"indented":  `{"x":[` + strings.Repeat("{\n    \"k\": {\n        \"n\": 1\n    }\n},\n", 1700) + `0],"id":"1","type":"t"}`,
		"top level": `{` + strings.Repeat(`"key":"value","number":12,`, 2600) + `"id":"1","type":"t"}`,
	} {
		b.Run(name, func(b *testing.B) {
			body := BytesBody(doc)
			b.SetBytes(body.Size())
			b.ReportAllocs()
			for b.Loop() {
				if found, err := p.Find(body); err != nil || found[1] == "" {
					b.Fatal(found, err)
				}
			}
		})
	}
}
