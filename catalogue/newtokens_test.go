package catalogue

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/provider/keyfetch"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

var rawURL = base64.RawURLEncoding

// keySet returns a JSON Web Key Set with one key.
func keySet(t *testing.T, public any, id string) string {
	t.Helper()
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: id}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(set)
}

// TestIssuerKeysAreFetchedOnlyFromTheConfiguredHost: they are fetched from the path that
// the provider documents.
func TestIssuerKeysAreFetchedOnlyFromTheConfiguredHost(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	const host = "example.kinde.com"
	var fetched []string
	s := startKeyServer(t, func(r *http.Request) string {
		fetched = append(fetched, r.Host+r.URL.Path)
		return keySet(t, key.Public(), "k1")
	})
	m := setUp(t, "kinde", "", provider.PresetOptions{Issuers: []string{"https://" + host + "/"}})
	verifierOf(m).(*tokenVerifier).source.(*publishedKeys).fetcher = keyfetch.New(s.transport, host)
	event := map[string]any{"event_id": "event_1", "type": "user.created"}
	d, err := verify(t, m, request("POST", "/k", token(t, jose.RS256, key, "k1", event)))
	if err != nil || d.ID != "event_1" || !d.IDSigned || d.Event != "user.created" {
		t.Fatalf("got %+v, %v", d, err)
	}
	wantRefused(t, m, request("POST", "/k", token(t, jose.RS256, key, "k1", map[string]any{"sub": "user"})), "a token with the same key that is not for a webhook")
	wantRefused(t, m, request("POST", "/k", token(t, jose.RS256, key, "k1", event)+"\n{}"), "content after the token")
	if len(fetched) != 1 || fetched[0] != host+"/.well-known/jwks" {
		t.Errorf("keys were fetched from %v", fetched)
	}
	for _, issuers := range [][]string{nil, {"http://a.test"}, {"a.test"}, {"https://a.test", "https://b.test"}, {"https://u@a.test"}, {"https://a.test:8443"}, {"https://a.test?x"}, {"https://a.test#x"}, {"https://"}} {
		if _, err := trySetUp("kinde", "", provider.PresetOptions{Issuers: issuers}); err == nil || !strings.Contains(err.Error(), "issuer") {
			t.Errorf("issuer %q: got %v", issuers, err)
		}
	}
}

// newDetachedToken returns a JSON Web Signature with a detached payload. payload must
// be encoded as it is signed.
func newDetachedToken(t *testing.T, header map[string]any, payload string, sign func(content []byte) []byte) string {
	t.Helper()
	raw, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	protected := rawURL.EncodeToString(raw)
	return protected + ".." + rawURL.EncodeToString(sign([]byte(protected+"."+payload)))
}

func TestTrueLayerSignatureCoversRequestLineAndListedHeaders(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(content []byte) []byte {
		sum := sha512.Sum512(content)
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 66)), s.FillBytes(make([]byte, 66))...)
	}
	server := startKeyServer(t, func(r *http.Request) string {
		if r.Host != "webhooks.truelayer.com" || r.URL.Path != "/.well-known/jwks" {
			t.Errorf("keys were fetched from %s%s", r.Host, r.URL.Path)
		}
		return keySet(t, key.Public(), "k1")
	})
	m := setUp(t, "truelayer", "", provider.PresetOptions{})
	verifierOf(m).(*tokenVerifier).source.(*publishedKeys).fetcher = keyfetch.New(server.transport, "webhooks.truelayer.com")
	const body = `{"event_id":"e1","type":"payment_executed"}`
	header := func(changes ...string) map[string]any {
		h := map[string]any{"alg": "ES512", "kid": "k1", "tl_version": "2", "tl_headers": "X-TL-Webhook-Timestamp", "jku": trueLayerKeys["production"]}
		for i := 0; i < len(changes); i += 2 {
			h[changes[i]] = changes[i+1]
		}
		return h
	}
	for _, c := range []struct {
		name, uri, path string
		header          map[string]any
		headers         []string
		ok              bool
	}{
		{"an unknown key, for which the keys are fetched", "/t", "/t", header("kid", "k2"), []string{"X-TL-Webhook-Timestamp", "2026-01-01T00:00:00Z"}, false},
		{"as sent", "/t?x=1", "/t", header(), []string{"X-TL-Webhook-Timestamp", "2026-01-01T00:00:00Z"}, true},
		{"a path that ends with a slash", "/t/", "/t/", header(), []string{"X-TL-Webhook-Timestamp", "2026-01-01T00:00:00Z"}, true},
		{"without the trailing slash", "/t", "/t/", header(), []string{"X-TL-Webhook-Timestamp", "2026-01-01T00:00:00Z"}, false},
		{"with an additional trailing slash", "/t/", "/t", header(), []string{"X-TL-Webhook-Timestamp", "2026-01-01T00:00:00Z"}, false},
		{"another path", "/u", "/t", header(), []string{"X-TL-Webhook-Timestamp", "2026-01-01T00:00:00Z"}, false},
		{"without the header", "/t", "/t", header(), nil, false},
		{"with the header twice", "/t", "/t", header(), []string{"X-TL-Webhook-Timestamp", "2026-01-01T00:00:00Z", "X-TL-Webhook-Timestamp", "2026-01-01T00:00:00Z"}, false},
		{"a jku of another host", "/t", "/t", header("jku", "https://evil.test/jwks"), []string{"X-TL-Webhook-Timestamp", "2026-01-01T00:00:00Z"}, false},
		{"version 1", "/t", "/t", header("tl_version", "1"), []string{"X-TL-Webhook-Timestamp", "2026-01-01T00:00:00Z"}, false},
		{"too many headers", "/t", "/t", header("tl_headers", strings.Repeat("X-TL-Webhook-Timestamp,", 20)), []string{"X-TL-Webhook-Timestamp", "2026-01-01T00:00:00Z"}, false},
	} {
		payload := "POST " + c.path + "\nX-TL-Webhook-Timestamp: 2026-01-01T00:00:00Z\n" + body
		text := newDetachedToken(t, c.header, rawURL.EncodeToString([]byte(payload)), sign)
		r := request("POST", c.uri, body, append([]string{"Tl-Signature", text}, c.headers...)...)
		if !c.ok {
			wantRefused(t, m, r, c.name)
			continue
		}
		if d, err := verify(t, m, r); err != nil || d.ID != "e1" || d.Event != "payment_executed" {
			t.Errorf("%s: got %+v, %v", c.name, d, err)
		}
	}
}

// TestDetachedTokenMustDeclareItsPayloadEncoding: the preset accepts only
// tokens with b64 false and an unencoded payload.
func TestDetachedTokenMustDeclareItsPayloadEncoding(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(content []byte) []byte {
		sum := sha256.Sum256(content)
		sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	m := setUp(t, "saleor", "", provider.PresetOptions{JWKS: strings.ReplaceAll(keySet(t, key.Public(), "k1"), "{", `\{`)})
	const body = `{"order":{"id":"1"}}`
	for name, c := range map[string]struct {
		header  map[string]any
		payload string
		ok      bool
	}{
		"as sent":               {map[string]any{"alg": "RS256", "kid": "k1", "b64": false, "crit": []string{"b64"}}, body, true},
		"b64 without crit":      {map[string]any{"alg": "RS256", "kid": "k1", "b64": false}, body, true},
		"encoded as base64url":  {map[string]any{"alg": "RS256", "kid": "k1"}, rawURL.EncodeToString([]byte(body)), false},
		"unencoded without b64": {map[string]any{"alg": "RS256", "kid": "k1"}, body, false},
		"b64 true":              {map[string]any{"alg": "RS256", "kid": "k1", "b64": true, "crit": []string{"b64"}}, body, false},
		"another name in crit":  {map[string]any{"alg": "RS256", "kid": "k1", "b64": false, "crit": []string{"b64", "exp"}}, body, false},
		"another algorithm":     {map[string]any{"alg": "RS512", "kid": "k1", "b64": false, "crit": []string{"b64"}}, body, false},
	} {
		r := request("POST", "/s", body, "Saleor-Event", "order_created", "Saleor-Signature", newDetachedToken(t, c.header, c.payload, sign))
		if !c.ok {
			wantRefused(t, m, r, name)
			continue
		}
		d, err := verify(t, m, r)
		if err != nil || d.Event != "order_created" || d.EventSigned || !d.Repeats {
			t.Errorf("%s: got %+v, %v", name, d, err)
		}
	}
}

// TestSaleorEventsWithTheSamePayloadAreTwoDeliveries: such events differ only in a
// header.
func TestSaleorEventsWithTheSamePayloadAreTwoDeliveries(t *testing.T) {
	m := setUp(t, "saleor-hmac", "k", provider.PresetOptions{})
	send := func(event string) *signature.Request {
		return request("POST", "/s", "{}", "Saleor-Event", event, "Saleor-Signature", hex.EncodeToString(mac(testSecret(t, "k"), "{}")))
	}
	if digestOf(t, m, send("order_created")) == digestOf(t, m, send("order_updated")) {
		t.Error("two events with the same payload have the same digest")
	}
}

func TestNeonSignatureCoversTimestampAndBody(t *testing.T) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m := setUp(t, "neon", "", provider.PresetOptions{JWKS: strings.ReplaceAll(keySet(t, public, "k1"), "{", `\{`)})
	const body = `{"event_id":"e1","event_type":"send.otp"}`
	header := map[string]any{"alg": "EdDSA", "kid": "k1"}
	sign := func(content []byte) []byte { return ed25519.Sign(key, content) }
	now := testNow.UnixMilli()
	for _, c := range []struct {
		name, sent, signed string
		ok                 bool
	}{
		{"now", strconv.FormatInt(now, 10), strconv.FormatInt(now, 10), true},
		{"five minutes ago", strconv.FormatInt(now-300_000, 10), strconv.FormatInt(now-300_000, 10), true},
		{"more than five minutes ago", strconv.FormatInt(now-300_001, 10), strconv.FormatInt(now-300_001, 10), false},
		{"more than five minutes ahead", strconv.FormatInt(now+300_001, 10), strconv.FormatInt(now+300_001, 10), false},
		{"another time than the signed one", strconv.FormatInt(now, 10), strconv.FormatInt(now+1, 10), false},
		{"seconds", strconv.FormatInt(now/1000, 10), strconv.FormatInt(now/1000, 10), false},
		{"a leading zero", "0" + strconv.FormatInt(now, 10), "0" + strconv.FormatInt(now, 10), false},
		{"a plus sign", "+" + strconv.FormatInt(now, 10), "+" + strconv.FormatInt(now, 10), false},
		{"no time", "", "", false},
	} {
		payload := rawURL.EncodeToString([]byte(c.signed + "." + rawURL.EncodeToString([]byte(body))))
		r := request("POST", "/n", body, neonTime, c.sent, "X-Neon-Signature", newDetachedToken(t, header, payload, sign))
		if !c.ok {
			wantRefused(t, m, r, c.name)
			continue
		}
		if d, err := verify(t, m, r); err != nil || d.ID != "e1" || !d.IDSigned || d.Timestamp.UnixMilli() != now && c.name == "now" {
			t.Errorf("%s: got %+v, %v", c.name, d, err)
		}
	}
}

// TestAdobeKeysAreFetchedOnlyFromKeyPaths: keys are fetched from one host and only from
// key paths. One of the two signatures is enough.
func TestAdobeKeysAreFetchedOnlyFromKeyPaths(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	const path = "/prod/keys/pub-key-abc.pem"
	server := startKeyServer(t, func(r *http.Request) string {
		switch {
		case r.Host != adobeKeyHost:
			t.Errorf("got a request to host %s", r.Host)
		case r.URL.Path == path:
			return public
		}
		return ""
	})
	m := setUp(t, "adobe-io-events", "", provider.PresetOptions{Audience: "client-1"})
	verifierOf(m).(*adobeEvents).source.(*adobeSource).fetcher = keyfetch.New(server.transport, adobeKeyHost)
	signed := func(body string, headers ...string) *signature.Request {
		sum := sha256.Sum256([]byte(body))
		sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		for i := range headers {
			headers[i] = strings.ReplaceAll(headers[i], "SIG", base64.StdEncoding.EncodeToString(sig))
		}
		return request("POST", "/a", body, headers...)
	}
	const body = `{"event_id":"e1","event":{"type":"com.adobe.x"},"recipient_client_id":"client-1"}`
	first := []string{"X-Adobe-Digital-Signature-1", "SIG", "X-Adobe-Public-Key1-Path", path}
	second := []string{"X-Adobe-Digital-Signature-2", "SIG", "X-Adobe-Public-Key2-Path", path}
	for name, r := range map[string]*signature.Request{
		"the first signature": signed(body, append([]string{}, first...)...),
		"the second":          signed(body, append([]string{}, second...)...),
		"both, the first with a key that is gone": signed(body, append([]string{"X-Adobe-Digital-Signature-1", "SIG", "X-Adobe-Public-Key1-Path", "/prod/keys/pub-key-gone.pem"}, second...)...),
		"a CloudEvent, with recipientclientid":    signed(strings.Replace(body, "recipient_client_id", "recipientclientid", 1), append([]string{}, first...)...),
	} {
		if d, err := verify(t, m, r); err != nil || d.ID != "e1" || !d.IDSigned {
			t.Errorf("%s: got %+v, %v", name, d, err)
		}
	}
	before := server.requests.Load()
	for _, bad := range []string{"", "/prod/keys/../x.pem", "//evil.test/prod/keys/pub-key-abc.pem", "https://evil.test/prod/keys/pub-key-abc.pem", path + "?x", path + "/", "@evil.test" + path, "/prod/keys/pub-key-a%2Fb.pem", "/stage/keys/pub-key-abc.pem"} {
		wantRefused(t, m, signed(body, "X-Adobe-Digital-Signature-1", "SIG", "X-Adobe-Public-Key1-Path", bad), "the path "+bad)
	}
	if n := server.requests.Load(); n != before {
		t.Errorf("%d paths that are not key paths were fetched", n-before)
	}
	for name, other := range map[string]string{
		"another recipient":          strings.Replace(body, "client-1", "client-2", 1),
		"no recipient":               `{"event_id":"e1"}`,
		"two different recipients":   strings.Replace(body, "{", `{"recipientclientid":"client-2",`, 1),
		"the recipient inside event": `{"event_id":"e1","event":{"recipient_client_id":"client-1"}}`,
	} {
		wantRefused(t, m, signed(other, append([]string{}, first...)...), name)
	}
	wantAnswer(t, m, request("GET", "/a?challenge=abc", ""), "abc")
}

// TestEbayKeysAreFetchedWithAnApplicationToken: the token and the key are each fetched
// once.
func TestEbayKeysAreFetchedWithAnApplicationToken(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	const id = "9936261a-7d7b-4621-a0f1-96ccb428af49"
	answered := map[string]int{}
	server := startKeyServer(t, func(r *http.Request) string {
		if r.Host != "api.ebay.com" {
			t.Errorf("got a request to host %s", r.Host)
		}
		switch r.URL.Path {
		case "/identity/v1/oauth2/token":
			user, password, _ := r.BasicAuth()
			if r.Method != http.MethodPost || user != "app" || password != "cert" || r.FormValue("grant_type") != "client_credentials" {
				return ""
			}
			answered["token"]++
			return `{"access_token":"t0k3n","expires_in":7200,"token_type":"Application Access Token"}`
		case "/commerce/notification/v1/public_key/" + id:
			if r.Header.Get("Authorization") != "Bearer t0k3n" {
				return ""
			}
			answered["key"]++
			return `{"key":"-----BEGIN PUBLIC KEY-----` + base64.StdEncoding.EncodeToString(der) + `-----END PUBLIC KEY-----","algorithm":"ECDSA","digest":"SHA1"}`
		}
		return ""
	})
	set := provider.PresetOptions{ClientID: "app", ClientSecret: "cert", VerifyToken: "a-verification-token-of-32-letters"}
	m := setUp(t, "ebay", "", set)
	verifierOf(m).(*ebay).source.(*ebaySource).fetcher = keyfetch.New(server.transport, "api.ebay.com")
	const body = `{"metadata":{"topic":"MARKETPLACE_ACCOUNT_DELETION"},"notification":{"notificationId":"n1"}}`
	signed := func(header map[string]string) *signature.Request {
		sum := sha1.Sum([]byte(body))
		sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{"alg": "ecdsa", "kid": id, "digest": "SHA1", "signature": base64.StdEncoding.EncodeToString(sig)}
		maps.Copy(all, header)
		raw, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return request("POST", "/e", body, "X-EBAY-SIGNATURE", base64.StdEncoding.EncodeToString(raw))
	}
	for range 3 {
		d, err := verify(t, m, signed(nil))
		if err != nil || d.ID != "n1" || !d.IDSigned || d.Event != "MARKETPLACE_ACCOUNT_DELETION" {
			t.Fatalf("got %+v, %v", d, err)
		}
	}
	if answered["token"] != 1 || answered["key"] != 1 {
		t.Errorf("got requests %v, want one for each", answered)
	}
	for _, bad := range []map[string]string{{"kid": "../x"}, {"kid": id + "/x"}, {"digest": "MD5"}, {"digest": ""}, {"alg": "none"}, {"signature": "AAAA"}, {"kid": "00000000-0000-0000-0000-000000000000"}} {
		wantRefused(t, m, signed(bad), "a header with other members: "+strings.Join([]string{bad["kid"], bad["digest"], bad["alg"]}, " "))
	}
	if _, err := trySetUp("ebay", "", provider.PresetOptions{}); err == nil || !strings.Contains(err.Error(), "client_id and client_secret") {
		t.Errorf("without credentials: %v", err)
	}
	sum := sha256.Sum256([]byte("c0de" + set.VerifyToken + "https://hooks.example.com/e"))
	wantAnswer(t, m, request("GET", "/e?challenge_code=c0de", ""), `{"challengeResponse":"`+hex.EncodeToString(sum[:])+`"}`)
	wantRefused(t, setUp(t, "ebay", "", provider.PresetOptions{ClientID: "app", ClientSecret: "cert"}), request("GET", "/e?challenge_code=c0de", ""), "a challenge without verify_token")
}

// TestMercadoPagoRetryWithNewRequestIDHasTheSameDigest: the body identifies a retry. An
// attacker who captures a handled delivery cannot send its signature with another body.
func TestMercadoPagoRetryWithNewRequestIDHasTheSameDigest(t *testing.T) {
	m := setUp(t, "mercado-pago", "k", provider.PresetOptions{})
	send := func(uri, id, manifest, body string) *signature.Request {
		return request("POST", uri, body, "x-request-id", id, "x-signature", "ts=1760000000,v1="+hex.EncodeToString(mac(testSecret(t, "k"), manifest)))
	}
	const first = "id:123;request-id:r1;ts:1760000000;"
	d, err := verify(t, m, send("/m?data.id=123", "r1", first, `{"id":1}`))
	if err != nil || d.ID != "r1" || !d.IDSigned || !d.AlsoContent {
		t.Fatalf("got %+v, %v", d, err)
	}
	other, err := verify(t, m, send("/m?data.id=123", "r2", "id:123;request-id:r2;ts:1760000000;", `{"id":1}`))
	if err != nil || string(other.Matches[0].Digest) != string(d.Matches[0].Digest) {
		t.Errorf("a retry with another request ID has another digest: %v", err)
	}
	for name, r := range map[string]*signature.Request{
		"signed parts moved":                  send("/m?data.id=123%3Brequest-id%3Ar1", "r1", "id:123;request-id:r1;request-id:r1;ts:1760000000;", "{}"),
		"a separator in the request ID":       send("/m?data.id=123", "r1;x", "id:123;request-id:r1;x;ts:1760000000;", "{}"),
		"no request ID":                       send("/m?data.id=123", "", "id:123;ts:1760000000;", "{}"),
		"data_id, which PHP reads as data.id": send("/m?data.id=123&data_id=9", "r1", first, "{}"),
		"data[id]":                            send("/m?data.id=123&data[id]=9", "r1", first, "{}"),
		"DATA.ID":                             send("/m?data.id=123&DATA.ID=9", "r1", first, "{}"),
		"data.id twice":                       send("/m?data.id=123&data.id=9", "r1", first, "{}"),
	} {
		wantRefused(t, m, r, name)
	}
	if m.Info().Coverage.BodySigned {
		t.Error("BodySigned is true, but the body is not signed")
	}
}

// TestLiveKitRoomTokenIsNotADelivery: room tokens and webhooks are signed with the same
// key.
func TestLiveKitRoomTokenIsNotADelivery(t *testing.T) {
	const secret = "api-secret-0123456789-0123456789"
	m := setUp(t, "livekit", secret, provider.PresetOptions{Issuers: []string{"API1"}})
	sum := sha256.Sum256([]byte("{}"))
	hash := base64.StdEncoding.EncodeToString(sum[:])
	send := func(claims map[string]any) *signature.Request {
		return request("POST", "/l", "{}", "Authorization", token(t, jose.HS256, padded([]byte(secret)), "", claims))
	}
	now := testNow.Unix()
	if _, err := verify(t, m, send(map[string]any{"iss": "API1", "nbf": now, "exp": now + 300, "sha256": hash})); err != nil {
		t.Error(err)
	}
	for name, claims := range map[string]map[string]any{
		"a token for a room":               {"iss": "API1", "nbf": now, "exp": now + 300, "video": map[string]any{"room": "r"}},
		"another API key":                  {"iss": "API2", "nbf": now, "exp": now + 300, "sha256": hash},
		"another body":                     {"iss": "API1", "nbf": now, "exp": now + 300, "sha256": strings.Repeat("A", 43) + "="},
		"valid for longer than the window": {"iss": "API1", "nbf": now, "exp": now + int64((25 * time.Hour).Seconds()), "sha256": hash},
	} {
		wantRefused(t, m, send(claims), name)
	}
}

func TestWixAcceptsPEMAndDashboardKeysAndTriesEach(t *testing.T) {
	keys := make([]*rsa.PrivateKey, 2)
	var secrets []provider.Secret
	for i := range keys {
		var err error
		if keys[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(keys[i].Public())
		if err != nil {
			t.Fatal(err)
		}
		text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		if i == 1 {
			text = base64.StdEncoding.EncodeToString([]byte(text)) // as the dashboard shows it
		}
		secrets = append(secrets, provider.Secret{Secret: text})
	}
	m := provider.NewModule(presetNamed("wix"))
	m.Secrets = secrets
	if err := provision(m); err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{"data": `{"eventType":"wix.ecom.v1.order_approved","data":"{\"id\":\"e1\"}"}`, "iat": testNow.Unix(), "exp": testNow.Unix() + 60}
	for i, key := range keys {
		d, err := verify(t, m, request("POST", "/w", token(t, jose.RS256, key, "any", claims)))
		if err != nil || d.ID != "e1" || !d.IDSigned || d.Event != "wix.ecom.v1.order_approved" {
			t.Errorf("key %d: got %+v, %v", i, d, err)
		}
	}
	installed := map[string]any{"data": `{"eventType":"AppInstalled","data":"{}"}`, "iat": testNow.Unix()}
	if d, err := verify(t, m, request("POST", "/w", token(t, jose.RS256, keys[0], "any", installed))); err != nil || d.ID != "" || d.Event != "AppInstalled" {
		t.Errorf("an event without an ID: got %+v, %v", d, err)
	}
	wantRefused(t, m, request("POST", "/w", token(t, jose.RS256, keys[0], "any", map[string]any{"iss": "wix.com"})), "a token that is not for a webhook")
	if _, err := trySetUp("wix", "not a key", provider.PresetOptions{}); err == nil || strings.Contains(err.Error(), "not a key") && strings.Contains(err.Error(), `"not a key"`) {
		t.Errorf("got %v", err)
	}
}

// TestFigmaRetryCounterDoesNotChangeTheDigest: every other member changes the digest.
func TestFigmaRetryCounterDoesNotChangeTheDigest(t *testing.T) {
	m := setUp(t, "figma", "passcode-1", provider.PresetOptions{})
	send := func(rest string) *signature.Request {
		return request("POST", "/f", `{"passcode":"passcode-1","event_type":"FILE_UPDATE","timestamp":"2026-01-01T00:00:00Z",`+rest+`}`)
	}
	first := digestOf(t, m, send(`"retries":0,"file_key":"a"`))
	if digestOf(t, m, send(`"retries":1,"file_key":"a"`)) != first {
		t.Error("a retry has another digest")
	}
	if digestOf(t, m, send(`"retries":0,"file_key":"b"`)) == first {
		t.Error("another file has the same digest")
	}
}

// TestRapydBytesMovedBetweenURLAndSaltAreTheSameDelivery: no byte can move between the
// salt and the body.
func TestRapydBytesMovedBetweenURLAndSaltAreTheSameDelivery(t *testing.T) {
	m := provider.NewModule(presetNamed("rapyd"))
	m.Secrets = []provider.Secret{{Secret: "access-key:secret-key"}}
	if err := provision(m); err != nil {
		t.Fatal(err)
	}
	const body = `{"id":"wh_1","type":"PAYMENT_COMPLETED"}`
	now := strconv.FormatInt(testNow.Unix(), 10)
	sum := mac(testSecret(t, "secret-key"), "https://hooks.example.com/r?a=12salt"+now+"access-keysecret-key"+body)
	send := func(uri, salt, body string) *signature.Request {
		return request("POST", uri, body, "salt", salt, "timestamp", now, "signature", base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(sum))))
	}
	want, err := verify(t, m, send("/r?a=12", "salt", body))
	if err != nil || want.ID != "wh_1" || !want.IDSigned {
		t.Fatalf("got %+v, %v", want, err)
	}
	moved, err := verify(t, m, send("/r?a=1", "2salt", body))
	if err != nil || moved.ID != want.ID || string(moved.Matches[0].Digest) != string(want.Matches[0].Digest) {
		t.Errorf("with bytes moved, the delivery is refused or new: %+v, %v", moved, err)
	}
	wantRefused(t, m, send("/r?a=12", "salt", body[1:]), "a body without its first byte")
	wantRefused(t, m, send("/r?a=12", "", body), "no salt")
	if _, err := trySetUp("rapyd", "secret-key", provider.PresetOptions{}); err == nil || !strings.Contains(err.Error(), "NAME:KEY") {
		t.Errorf("without the access key: %v", err)
	}
}
