package catalogue

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// TestInvariant12KeySuppliedByTheSenderIsNotUsed: an intermediate certificate with an
// RSA key of up to 65,536 bits is refused because of its type, before any signature is
// verified with it.
func TestInvariant12KeySuppliedByTheSenderIsNotUsed(t *testing.T) {
	m := setUp(t, "apple-app-store", "", provider.PresetOptions{BundleID: "com.example.app"})
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, bits := range []int{2048, 65536} {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		intermediate := appleTestCertificate(t, &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537}, ec)
		leaf := appleTestCertificate(t, ec.Public(), ec)
		_, err := verify(t, m, request("POST", "/", appleTestBody(t, leaf, intermediate, leaf)))
		if err == nil || !strings.Contains(err.Error(), "a certificate") {
			t.Errorf("RSA key of %d bits: %v", bits, err)
		}
	}
	leaf := appleTestCertificate(t, ec.Public(), ec)
	for _, number := range []int{0, 2, 4, 100} {
		var chain [][]byte
		for range number {
			chain = append(chain, leaf)
		}
		wantRefused(t, m, request("POST", "/", appleTestBody(t, chain...)), fmt.Sprint(number, " certificates"))
	}
}

func appleTestCertificate(t *testing.T, key any, by *ecdsa.PrivateKey) []byte {
	t.Helper()
	var marks []pkix.Extension
	for _, id := range []asn1.ObjectIdentifier{appleLeaf, appleIntermediate} {
		marks = append(marks, pkix.Extension{Id: id, Value: []byte{5, 0}})
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: testNow.Add(-time.Hour), NotAfter: testNow.Add(time.Hour), IsCA: true, BasicConstraintsValid: true, ExtraExtensions: marks}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key, by)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func appleTestBody(t *testing.T, chain ...[]byte) string {
	t.Helper()
	texts := []string{}
	for _, der := range chain {
		texts = append(texts, base64.StdEncoding.EncodeToString(der))
	}
	header, err := json.Marshal(map[string]any{"alg": "ES256", "x5c": texts})
	if err != nil {
		t.Fatal(err)
	}
	payload := fmt.Sprintf(`{"notificationType":"TEST","signedDate":%d}`, testNow.UnixMilli())
	b64 := base64.RawURLEncoding
	return `{"signedPayload":"` + b64.EncodeToString(header) + "." + b64.EncodeToString([]byte(payload)) + "." + b64.EncodeToString(make([]byte, 64)) + `"}`
}

// TestInvariant15FetchedKeysSurviveAReload also checks that unknown certificate names
// in unsigned messages do not block genuine ones. The provider is a TLS server.
func TestInvariant15FetchedKeysSurviveAReload(t *testing.T) {
	const topic, host = "arn:aws:sns:me-test-9:123456789012:T", "sns.me-test-9.amazonaws.com"
	certURL := func(n int) string { return fmt.Sprintf("https://%s/SimpleNotificationService-%032x.pem", host, n) }
	good := newSigner(t, "sns.amazonaws.com", nil, testNow.Add(time.Hour))
	var genuine, unknown atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != strings.TrimPrefix(certURL(0), "https://"+host) {
			unknown.Add(1)
			w.WriteHeader(http.StatusForbidden)
			return
		}
		genuine.Add(1)
		_, _ = io.WriteString(w, good.cert)
	}))
	t.Cleanup(server.Close)
	redirectDefaultTransport(t, server)

	message := func(n int) string {
		return snsBody(t, good, "Notification", map[string]string{"TopicArn": topic, "SigningCertURL": certURL(n)})
	}
	for reload := range 3 {
		m := setUp(t, "aws-sns", "", provider.PresetOptions{Topics: []string{topic}})
		if _, err := verify(t, m, request("POST", "/", message(0))); err != nil {
			t.Errorf("config %d: %v", reload, err)
		}
		for i := range 50 {
			if _, err := verify(t, m, request("POST", "/", message(1+50*reload+i))); err == nil {
				t.Fatal("a message with a certificate that does not exist was accepted")
			}
		}
	}
	if n := genuine.Load(); n != 1 {
		t.Errorf("the certificate was fetched %d times, want 1", n)
	}
	if n := unknown.Load(); n > 20 {
		t.Errorf("%d of 150 unknown certificates were fetched, want at most 20", n)
	}
}

// TestInvariant12DocumentIsFullyCheckedOnlyAfterItsSecretMatches: the strict check of all
// names is the most expensive one, so it runs after the check of the secret.
func TestInvariant12DocumentIsFullyCheckedOnlyAfterItsSecretMatches(t *testing.T) {
	graph := setUp(t, "microsoft-graph", "state", provider.PresetOptions{})
	for _, rest := range []string{`,"VALUE":1}`, `,"value":[{}]}`, `,"a":tru}`, `} x`} {
		for state, want := range map[string]signature.RefusalKind{"other": signature.InvalidSignature, "state": signature.Malformed} {
			_, err := verify(t, graph, request("POST", "/g", `{"value":[{"clientState":"`+state+`"}]`+rest))
			if refusal, ok := errors.AsType[*signature.Refusal](err); !ok || refusal.Kind != want {
				t.Errorf("%s with clientState %s: %v, want %s", rest, state, err, want)
			}
		}
	}
}

// redirectDefaultTransport redirects new connections of the default transport to the
// server, for every host.
func redirectDefaultTransport(t *testing.T, server *httptest.Server) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	usual := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = usual })
	http.DefaultTransport = &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		},
	}
}
