package catalogue

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"hash/crc32"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/provider/keyfetch"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// payPal verifies PayPal's webhooks: RSA over ID, time, webhook ID and the CRC-32 of
// the body, with a fetched certificate.
// https://developer.paypal.com/api/rest/webhooks/rest/
type payPal struct {
	webhookID  string
	identity   signature.Identity
	host, name string
	fetcher    *keyfetch.Fetcher
	configured [][]*x509.Certificate
	roots      *x509.CertPool
	tolerance  time.Duration
	tests      []provider.TestDelivery
}

// The headers.
const (
	payPalID   = "Paypal-Transmission-Id"
	payPalTime = "Paypal-Transmission-Time"
	payPalSig  = "Paypal-Transmission-Sig"
	payPalCert = "Paypal-Cert-Url"
	payPalAlgo = "Paypal-Auth-Algo"
)

// payPalTolerance covers the 25 retries within 3 days. It is not documented whether
// they have a new time. The ID is signed, and remembered for longer.
const payPalTolerance = 3*day + time.Hour

func newPayPal(m *provider.Module) (provider.Verifier, error) {
	p := &payPal{webhookID: m.Resolved().WebhookID, host: "api.paypal.com", name: "messageverificationcerts.paypal.com", tolerance: time.Duration(m.Tolerance), tests: m.Tests()}
	if m.Resolved().Environment == "sandbox" {
		p.host, p.name = "api.sandbox.paypal.com", "messageverificationcerts.sandbox.paypal.com"
	}
	if p.tolerance == 0 {
		p.tolerance = payPalTolerance
	}
	p.identity = signature.Identity{Label: p.webhookID, Fingerprint: sha256.Sum256([]byte("verify_webhook paypal webhook\x00" + p.webhookID))}
	p.fetcher = keyfetch.Shared(p.host)
	var err error
	if p.configured, err = configuredCertificates(m); err != nil {
		return nil, err
	}
	p.roots, err = rootPool(m)
	return p, err
}

// maxPayPalID is the maximum length of transmission ID and time together, in bytes.
const maxPayPalID = 256

// oneHeader returns a header that must occur exactly once.
func oneHeader(r *signature.Request, name string) (string, error) {
	values := r.Header.Values(name)
	switch {
	case len(values) > 1:
		return "", signature.Refuse(signature.Malformed, "the header %s appears %d times", name, len(values))
	case len(values) == 0 || strings.TrimSpace(values[0]) == "":
		return "", signature.Refuse(signature.MissingSignature, "missing header: %s", name)
	}
	return strings.TrimSpace(values[0]), nil
}

// payPalHeaders are the headers of one delivery.
type payPalHeaders struct {
	id, time, certURL string
	sig               []byte
	sent              time.Time
}

func (p *payPal) CheckHeaders(r *signature.Request) error {
	_, err := p.read(r)
	return err
}

// read reads the headers and performs the checks that need no key.
func (p *payPal) read(r *signature.Request) (h payPalHeaders, err error) {
	values := make(map[string]string)
	for _, name := range []string{payPalSig, payPalID, payPalTime, payPalCert, payPalAlgo} {
		if values[name], err = oneHeader(r, name); err != nil {
			return h, err
		}
	}
	h.id, h.time, h.certURL = values[payPalID], values[payPalTime], values[payPalCert]
	if values[payPalAlgo] != "SHA256withRSA" {
		return h, signature.Refuse(signature.Malformed, "the algorithm is not SHA256withRSA")
	}
	if strings.Contains(h.id+h.time, "|") {
		return h, signature.Refuse(signature.Malformed, "ID or time contains the separator of the signed text")
	}
	if len(h.id)+len(h.time) > maxPayPalID {
		return h, signature.Refuse(signature.Malformed, "ID and time are longer than %d bytes", maxPayPalID)
	}
	if h.sig, err = rsaSignature(values[payPalSig]); err != nil {
		return h, err
	}
	if !payPalCertURL(h.certURL, p.host) {
		return h, signature.Refuse(signature.Malformed, "the certificate URL is not one that PayPal uses in this environment")
	}
	if h.sent, err = time.Parse(time.RFC3339, h.time); err != nil {
		return h, signature.Refuse(signature.Malformed, "the time is not an RFC 3339 time")
	}
	if age := r.Now.Sub(h.sent); age > p.tolerance || age < -p.tolerance {
		return h, signature.Refuse(signature.Stale, "sent %s ago, which is more than the tolerance of %s either way", age.Round(time.Second), p.tolerance)
	}
	return h, nil
}

// maxCertURL is the maximum length of a certificate URL, in bytes.
const maxCertURL = 256

var payPalCertPath = regexp.MustCompile(`^/v1/notifications/(certs/)?[A-Za-z0-9-]{1,128}$`)

func payPalCertURL(text, host string) bool {
	if len(text) > maxCertURL {
		return false
	}
	u, err := url.Parse(text)
	return err == nil && payPalCertPath.MatchString(u.Path) && text == "https://"+host+u.Path
}

func (p *payPal) Verify(ctx context.Context, r *signature.Request) (*signature.Delivery, error) {
	h, err := p.read(r)
	if err != nil {
		return nil, err
	}
	crc := crc32.NewIEEE()
	if _, err := r.Body.WriteTo(crc); err != nil {
		return nil, fmt.Errorf("rereading body: %w", err)
	}
	signed := func(webhookID string) []byte {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%s|%d", h.id, h.time, webhookID, crc.Sum32()))
		return sum[:]
	}
	chains := p.configured
	if len(chains) == 0 {
		raw, err := p.fetcher.Get(ctx, keyfetch.Request{URL: h.certURL})
		if err != nil {
			return nil, fmt.Errorf("fetching PayPal's certificate: %w", err)
		}
		chain, err := parseCertificates(raw)
		if err != nil {
			return nil, fmt.Errorf("parsing PayPal's certificate: %w", err)
		}
		chains = append(chains, chain)
	}
	sum := signed(p.webhookID)
	if !p.signedBy(chains, sum, h.sig, r.Now) {
		for _, t := range p.tests {
			if t.WebhookID != "" && p.signedBy(chains, signed(t.WebhookID), h.sig, r.Now) {
				return nil, t.Refusal()
			}
		}
		return nil, signature.Refuse(signature.InvalidSignature, "signature mismatch: the webhook ID differs, the body was modified in transit, or the certificate is not trusted")
	}
	event, err := payPalEvent.Find(r.Body)
	if err != nil {
		return nil, err
	}
	d := &signature.Delivery{ID: h.id, IDSigned: true, Event: event[0], Timestamp: h.sent, TimestampSigned: true}
	d.Matches = []signature.Match{{Secret: p.identity, Digest: sum}}
	return d, nil
}

var payPalEvent, _ = signature.NewJSONPaths([]string{"event_type"})

func (p *payPal) signedBy(chains [][]*x509.Certificate, sum, sig []byte, now time.Time) bool {
	for _, chain := range chains {
		if checkChain(chain, p.roots, p.name, now) != nil {
			continue
		}
		public, ok := chain[0].PublicKey.(*rsa.PublicKey)
		if ok && rsa.VerifyPKCS1v15(public, crypto.SHA256, sum, sig) == nil {
			return true
		}
	}
	return false
}

// coverage: the CRC-32 of a body does not authenticate it.
func (p *payPal) Coverage() signature.Coverage {
	return signature.Coverage{HasID: true, IDSigned: true, HasEvent: true, HasTimestamp: true, TimestampSigned: true, Tolerance: p.tolerance}
}

func (p *payPal) Secrets() []signature.Identity { return []signature.Identity{p.identity} }
