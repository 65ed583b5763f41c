package catalogue

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/provider/keyfetch"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// keyServer is a test server in place of the hosts where providers publish keys.
type keyServer struct {
	transport http.RoundTripper
	requests  atomic.Int32
}

func startKeyServer(t *testing.T, answer func(r *http.Request) string) *keyServer {
	t.Helper()
	s := &keyServer{}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		text := answer(r)
		if text == "" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	s.transport = &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		},
	}
	return s
}

// signer is a key pair with its certificate.
type signer struct {
	key  *rsa.PrivateKey
	cert string
}

// newSigner creates a certificate for a name, self-signed or signed by issuer.
func newSigner(t *testing.T, name string, issuer *signer, until time.Time) *signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return certificateFor(t, key, name, issuer, until)
}

// certificateFor creates a certificate for an existing key.
func certificateFor(t *testing.T, key *rsa.PrivateKey, name string, issuer *signer, until time.Time) *signer {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: testNow.Add(-time.Hour), NotAfter: until,
		IsCA: issuer == nil, BasicConstraintsValid: true,
	}
	parent, signWith := template, key
	if issuer != nil {
		block, _ := pem.Decode([]byte(issuer.cert))
		var err error
		if parent, err = x509.ParseCertificate(block.Bytes); err != nil {
			t.Fatal(err)
		}
		signWith = issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signWith)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

func (s *signer) sign(t *testing.T, content string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(content))
	sig, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(sig)
}

const (
	snsTestTopic = "arn:aws:sns:us-east-1:123456789012:MyTopic"
	snsTestHost  = "sns.us-east-1.amazonaws.com"
	snsTestCert  = "https://" + snsTestHost + "/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
)

// snsBody returns a message signed by s. Members in changes replace the defaults.
func snsBody(t *testing.T, s *signer, kind string, changes map[string]string) string {
	t.Helper()
	msg := snsMessage{"Type": kind, "MessageId": "m1", "TopicArn": snsTestTopic, "Message": "hello", "Timestamp": testNow.UTC().Format(time.RFC3339Nano), "SignatureVersion": "2", "SigningCertURL": snsTestCert}
	if kind != "Notification" {
		msg["Token"] = "t"
		msg["SubscribeURL"] = "https://" + snsTestHost + "/?" + url.Values{"Action": {"ConfirmSubscription"}, "TopicArn": {snsTestTopic}, "Token": {"t"}}.Encode()
	}
	maps.Copy(msg, changes)
	var content strings.Builder
	names, err := msg.signedNames()
	if err != nil {
		t.Fatal(err)
	}
	msg.writeSigned(&content, names)
	msg["Signature"] = s.sign(t, content.String())
	raw, err := json.Marshal(msg)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestSNSCertificatesAreFetchedOnlyFromTheTopicRegion(t *testing.T) {
	good := newSigner(t, "sns.amazonaws.com", nil, testNow.Add(time.Hour))
	s := startKeyServer(t, func(*http.Request) string { return good.cert })
	m := setUp(t, "aws-sns", "", provider.PresetOptions{Topics: []string{snsTestTopic}})
	verifierOf(m).(*sns).fetcher = keyfetch.New(s.transport, snsTestHost)
	for range 3 {
		d, err := verify(t, m, request("POST", "/sns", snsBody(t, good, "Notification", nil)))
		if err != nil || d.ID != "m1" || d.Event != "Notification" || !d.IDSigned {
			t.Fatalf("got %+v, %v", d, err)
		}
	}
	if n := s.requests.Load(); n != 1 {
		t.Errorf("the certificate was fetched %d times, want 1", n)
	}
	for _, address := range []string{
		"http://" + snsTestHost + "/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem", "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem",
		"https://sns.s3.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem", "https://" + snsTestHost + "@evil.test/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem",
		snsTestCert + "?x=1", snsTestCert + "#x", "https://" + snsTestHost + ":443/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem", "https://" + snsTestHost + "/x/../SimpleNotificationService-0123456789abcdef0123456789abcdef.pem",
		"https://" + snsTestHost + "/evil.pem", "",
	} {
		wantRefused(t, m, request("POST", "/sns", snsBody(t, good, "Notification", map[string]string{"SigningCertURL": address})), "certificate at "+address)
	}
	if n := s.requests.Load(); n != 1 {
		t.Errorf("%d further requests were made", n-1)
	}
}

func TestSNSMisnamedOrExpiredCertificatesAreRefused(t *testing.T) {
	for what, bad := range map[string]*signer{
		"another name": newSigner(t, "evil.test", nil, testNow.Add(time.Hour)),
		"expired":      newSigner(t, "sns.amazonaws.com", nil, testNow.Add(-time.Minute)),
	} {
		s := startKeyServer(t, func(*http.Request) string { return bad.cert })
		m := setUp(t, "aws-sns", "", provider.PresetOptions{Topics: []string{snsTestTopic}})
		verifierOf(m).(*sns).fetcher = keyfetch.New(s.transport, snsTestHost)
		wantRefused(t, m, request("POST", "/sns", snsBody(t, bad, "Notification", nil)), what)
	}
}

func TestSNSSubscriptionsAreConfirmedOnlyWithAcceptHandshake(t *testing.T) {
	good := newSigner(t, "sns.amazonaws.com", nil, testNow.Add(time.Hour))
	var confirmed atomic.Int32
	s := startKeyServer(t, func(r *http.Request) string {
		if r.URL.Query().Get("Action") != "" {
			confirmed.Add(1)
		}
		return good.cert
	})
	for _, accept := range []bool{false, true} {
		m := setUp(t, "aws-sns", "", provider.PresetOptions{Topics: []string{snsTestTopic}, AcceptHandshake: accept})
		verifierOf(m).(*sns).fetcher = keyfetch.New(s.transport, snsTestHost)
		d, err := verify(t, m, request("POST", "/sns", snsBody(t, good, "SubscriptionConfirmation", nil)))
		if err != nil || (d.Answer != nil) != accept {
			t.Errorf("accept_handshake %t: got %+v, %v", accept, d, err)
		}
		if !accept && confirmed.Load() != 0 {
			t.Error("SubscribeURL was fetched without accept_handshake")
		}
		for _, address := range []string{"https://evil.test/?Action=ConfirmSubscription", "https://" + snsTestHost + "/?Action=DeleteTopic&TopicArn=" + url.QueryEscape(snsTestTopic)} {
			if accept {
				wantRefused(t, m, request("POST", "/sns", snsBody(t, good, "SubscriptionConfirmation", map[string]string{"SubscribeURL": address})), address)
			}
		}
	}
	if n := confirmed.Load(); n != 1 {
		t.Errorf("%d subscriptions were confirmed, want 1", n)
	}
}

// TestUnavailableKeysAreAnErrorNotARefusal: the provider must retry the delivery.
func TestUnavailableKeysAreAnErrorNotARefusal(t *testing.T) {
	good := newSigner(t, "sns.amazonaws.com", nil, testNow.Add(time.Hour))
	s := startKeyServer(t, func(*http.Request) string { return "" })
	m := setUp(t, "aws-sns", "", provider.PresetOptions{Topics: []string{snsTestTopic}})
	verifierOf(m).(*sns).fetcher = keyfetch.New(s.transport, snsTestHost)
	_, err := verify(t, m, request("POST", "/sns", snsBody(t, good, "Notification", nil)))
	var refused *signature.Refusal
	if err == nil || errors.As(err, &refused) {
		t.Errorf("got %v, want an error that is not a refusal", err)
	}
}

func TestPayPalCertificateMustChainToARoot(t *testing.T) {
	const name = "messageverificationcerts.paypal.com"
	root := newSigner(t, "root", nil, testNow.Add(time.Hour))
	for what, c := range map[string]struct {
		by *signer
		ok bool
	}{
		"issued by the root":       {newSigner(t, name, root, testNow.Add(time.Hour)), true},
		"self-signed":              {newSigner(t, name, nil, testNow.Add(time.Hour)), false},
		"expired":                  {newSigner(t, name, root, testNow.Add(-time.Minute)), false},
		"another name":             {newSigner(t, "api.paypal.com", root, testNow.Add(time.Hour)), false},
		"the sandbox name":         {newSigner(t, "messageverificationcerts.sandbox.paypal.com", root, testNow.Add(time.Hour)), false},
		"a name in another domain": {newSigner(t, "messageverificationcerts.paypal.com.evil.test", root, testNow.Add(time.Hour)), false},
	} {
		s := startKeyServer(t, func(*http.Request) string { return c.by.cert })
		m := setUp(t, "paypal", "", provider.PresetOptions{WebhookID: "W1", Roots: []string{root.cert}})
		verifierOf(m).(*payPal).fetcher = keyfetch.New(s.transport, "api.paypal.com")
		r := payPalRequest(t, c.by, `{"event_type":"A"}`)
		if c.ok {
			if d, err := verify(t, m, r); err != nil || d.ID != "t1" || d.Event != "A" || d.EventSigned {
				t.Errorf("%s: %+v, %v", what, d, err)
			}
			continue
		}
		wantRefused(t, m, r, what)
	}
}

func payPalRequest(t *testing.T, by *signer, body string) *signature.Request {
	at := testNow.UTC().Format(time.RFC3339)
	content := fmt.Sprintf("t1|%s|W1|%d", at, crc32.ChecksumIEEE([]byte(body)))
	return request("POST", "/paypal", body, "PAYPAL-TRANSMISSION-ID", "t1", "PAYPAL-TRANSMISSION-TIME", at, "PAYPAL-TRANSMISSION-SIG", by.sign(t, content),
		"PAYPAL-CERT-URL", "https://api.paypal.com/v1/notifications/certs/CERT-1", "PAYPAL-AUTH-ALGO", "SHA256withRSA")
}

// token returns a signed JSON Web Token.
func token(t *testing.T, algorithm jose.SignatureAlgorithm, key any, id string, claims map[string]any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: id}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestGoogleKeysAreFetchedOnceDespiteUnknownKeyIDs(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "RS256"}}})
	if err != nil {
		t.Fatal(err)
	}
	s := startKeyServer(t, func(*http.Request) string { return string(set) })
	m := setUp(t, "google-pubsub", "", provider.PresetOptions{Audience: "aud", ServiceAccount: "a@b"})
	verifierOf(m).(*tokenVerifier).source.(*publishedKeys).fetcher = keyfetch.New(s.transport, "www.googleapis.com")
	claims := map[string]any{"iss": "https://accounts.google.com", "aud": "aud", "email": "a@b", "email_verified": true, "iat": testNow.Unix(), "exp": testNow.Unix() + 3600}
	const body = `{"message":{"messageId":"7"}}`
	d, err := verify(t, m, request("POST", "/g", body, "Authorization", "Bearer "+token(t, jose.RS256, key, "k1", claims)))
	if err != nil || d.ID != "7" || d.IDSigned {
		t.Fatalf("got %+v, %v", d, err)
	}
	unknown := "Bearer " + token(t, jose.RS256, key, "unknown", claims)
	for range 20 {
		// The provider may have published the key after the last fetch.
		_, err := verify(t, m, request("POST", "/g", body, "Authorization", unknown))
		if _, refused := errors.AsType[*signature.Refusal](err); err == nil || refused {
			t.Fatalf("an unknown key: got %v, want an error that a retry can fix", err)
		}
	}
	if n := s.requests.Load(); n != 1 {
		t.Errorf("unknown key IDs caused %d further requests", n-1)
	}
	verifierOf(m).(*tokenVerifier).source.(*publishedKeys).fetcher = keyfetch.New(s.transport, "www.googleapis.com")
	wantRefused(t, m, request("POST", "/g", body, "Authorization", unknown), "a key that is missing in a document fetched for it")
}

func TestPlaidKeysAreFetchedWithAccountCredentials(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const id = "bfbd5111-8e33-4643-8ced-b2e642a72f3c"
	expired := ""
	s := startKeyServer(t, func(r *http.Request) string {
		sent, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || !strings.Contains(string(sent), `"client_id":"c1"`) || !strings.Contains(string(sent), `"secret":"s1"`) {
			return ""
		}
		raw, _ := json.Marshal(jose.JSONWebKey{Key: key.Public(), KeyID: id, Algorithm: "ES256"})
		return `{"key":` + strings.TrimSuffix(string(raw), "}") + expired + `}}`
	})
	for what, c := range map[string]struct {
		expired, id string
		ok          bool
	}{
		"a key in use":      {`,"expired_at":null`, id, true},
		"an expired key":    {`,"expired_at":1`, id, false},
		"an invalid key ID": {"", "../x", false},
	} {
		expired = c.expired
		m := setUp(t, "plaid", "", provider.PresetOptions{ClientID: "c1", ClientSecret: "s1"})
		verifierOf(m).(*tokenVerifier).source.(*plaidSource).fetcher = keyfetch.New(s.transport, "production.plaid.com")
		sum := sha256.Sum256([]byte("{}"))
		text := token(t, jose.ES256, key, c.id, map[string]any{"iat": testNow.Unix(), "request_body_sha256": hex.EncodeToString(sum[:])})
		r := request("POST", "/p", "{}", "Plaid-Verification", text)
		if c.ok {
			if _, err := verify(t, m, r); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			continue
		}
		wantRefused(t, m, r, what)
	}
}

func TestGitHubKeysAreFetched(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	list, err := json.Marshal(map[string]any{"public_keys": []map[string]any{{"key_identifier": "k1", "key": public, "is_current": true}}})
	if err != nil {
		t.Fatal(err)
	}
	s := startKeyServer(t, func(*http.Request) string { return string(list) })
	m := setUp(t, "github-secret-scanning", "", provider.PresetOptions{})
	verifierOf(m).(*secretScanning).source.(*publishedKeys).fetcher = keyfetch.New(s.transport, "api.github.com")
	sum := sha256.Sum256([]byte("[]"))
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signed := func(body, id string) *signature.Request {
		return request("POST", "/s", body, "Github-Public-Key-Identifier", id, "Github-Public-Key-Signature", base64.StdEncoding.EncodeToString(sig))
	}
	if _, err := verify(t, m, signed("[]", "k1")); err != nil {
		t.Error(err)
	}
	wantRefused(t, m, signed("[1]", "k1"), "another body")
	verifierOf(m).(*secretScanning).source.(*publishedKeys).fetcher = keyfetch.New(s.transport, "api.github.com")
	wantRefused(t, m, signed("[]", "k2"), "another key, for which the keys are fetched")
}

func TestAtlassianInstallKeysAreFetchedByID(t *testing.T) {
	const id = "5d2c1f0e-8b8a-4a53-9c1f-0a6a1b2c3d4e"
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	s := startKeyServer(t, func(r *http.Request) string {
		if r.URL.Path != "/"+id {
			return ""
		}
		return public
	})
	m := setUp(t, "atlassian-connect-install", "", provider.PresetOptions{Audience: "https://hooks.example.com"})
	verifierOf(m).(*tokenVerifier).source.(*atlassianSource).fetcher = keyfetch.New(s.transport, atlassianKeyHost)
	qsh := sha256.Sum256([]byte("POST&/installed&"))
	claims := map[string]any{"aud": "https://hooks.example.com", "exp": testNow.Unix() + 100, "iat": testNow.Unix(), "qsh": hex.EncodeToString(qsh[:])}
	callback := func(id string) *signature.Request {
		return request("POST", "/installed", "{}", "Authorization", "JWT "+token(t, jose.RS256, key, id, claims))
	}
	if _, err := verify(t, m, callback(id)); err != nil {
		t.Error(err)
	}
	wantRefused(t, m, callback("00000000-0000-0000-0000-000000000000"), "a key ID unknown to Atlassian")
	before := s.requests.Load()
	wantRefused(t, m, callback("../meta/keys"), "a key ID that is a path")
	if n := s.requests.Load(); n != before {
		t.Error("a key ID that is a path was fetched")
	}
}
