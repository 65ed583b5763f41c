package catalogue

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// TestFormWithUnsignedFieldsIsRefused: the app must not be able to read a
// `payload` other than the signed one.
func TestFormWithUnsignedFieldsIsRefused(t *testing.T) {
	const form, forgery = "application/x-www-form-urlencoded", "%7B%22forged%22%3A1%7D"
	for _, name := range []string{"gitea", "forgejo", "gogs", "travis-ci"} {
		signer, err := signing.OpenSigner(name, nil, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		secret, _ := signer.Configure()
		m := setUp(t, name, secret, provider.PresetOptions{})
		hook := request("POST", "/in", "payload="+url.QueryEscape(`{"a":"b&c=d"}`), "Content-Type", form)
		if err := signer.Sign(hook, signature.Draft{Time: testNow}); err != nil {
			t.Fatal(err)
		}
		raw, _ := signature.BodyBytes(hook.Body)
		body := string(raw)
		change := func(f func(r *signature.Request)) *signature.Request {
			r := *hook
			r.Header = hook.Header.Clone()
			f(&r)
			return &r
		}
		if _, err := verify(t, m, change(func(r *signature.Request) { r.RequestURI = "/in?token=x" })); err != nil {
			t.Errorf("%s: a genuine form with a query in the webhook URL: %v", name, err)
		}
		for _, text := range []string{
			body + "&%20payload=" + forgery, body + "&payload%00x=" + forgery, body + "&payload[]=" + forgery, body + "&payload%5B%5D=" + forgery, body + ";payload=" + forgery,
			body + "&+payload=" + forgery, body + "&PAYLOAD=" + forgery, body + "&x=1", "x=1&" + body, body + "&", "&" + body, body + "&" + body, "%70ayload" + strings.TrimPrefix(body, "payload"),
			body + "&payload", "\n" + body, "",
		} {
			wantRefused(t, m, change(func(r *signature.Request) { r.Body = signature.BytesBody(text) }), name+": "+text)
		}
		for _, uri := range []string{"/in?payload=" + forgery, "/in?%20payload=" + forgery, "/in?payload[]=" + forgery, "/in?x=1&PAYLOAD=" + forgery, "/in?[payload]=" + forgery, "/in?%5Dpayload=" + forgery} {
			wantRefused(t, m, change(func(r *signature.Request) { r.RequestURI = uri }), name+": "+uri)
		}
		for _, method := range []string{"GET", "HEAD"} {
			wantRefused(t, m, change(func(r *signature.Request) { r.Method = method }), name+": a form on "+method)
		}
		for _, kind := range []string{"", "text/plain", "multipart/form-data; boundary=x", form + "; charset=utf-16", form + "; charset=ibm037"} {
			wantRefused(t, m, change(func(r *signature.Request) { r.Header.Set("Content-Type", kind) }), name+": a form sent as "+kind)
		}
		if !m.Info().Coverage.BodySigned {
			t.Errorf("%s: BodySigned is false, but nothing unsigned is forwarded", name)
		}
	}
}

// TestGiteaPayloadMustMatchMethodAndContentType: Gitea and its forks send a payload
// as JSON, as a form field or as a query parameter of a GET request.
func TestGiteaPayloadMustMatchMethodAndContentType(t *testing.T) {
	m := setUp(t, "gitea", "k", provider.PresetOptions{})
	const payload, other = `{"ref":"main"}`, `{"forged":1}`
	sig := hex.EncodeToString(mac(testSecret(t, "k"), payload))
	inQuery := "/in?token=x&payload=" + url.QueryEscape(payload)
	for _, c := range []struct {
		method, uri, body, kind string
		want                    bool
	}{
		{"POST", "/in", payload, "application/json", true},
		{"POST", "/in?token=x", payload, "application/json", true},
		{"POST", "/in", "payload=" + url.QueryEscape(payload), "application/x-www-form-urlencoded", true},
		{"GET", inQuery, "", "", true},
		{"GET", inQuery, other, "application/json", false},
		{"GET", inQuery, "payload=" + other, "application/x-www-form-urlencoded", false},
		{"GET", inQuery + "&payload[]=" + other, "", "", false},
		{"GET", inQuery + "&%20payload=" + other, "", "", false},
		{"GET", inQuery + "&[payload]=" + other, "", "", false},  // Express 4, Rails
		{"GET", inQuery + "&%5Dpayload=" + other, "", "", false}, // Rails
		{"HEAD", inQuery, "", "", false},
		{"POST", inQuery, other, "application/json", false},
		{"POST", "/in?payload=x", payload, "application/json", false},
		{"POST", "/in", payload, "application/x-www-form-urlencoded", false},
		{"POST", "/in", payload, "multipart/form-data; boundary=x", false},
		{"GET", "/in?payload=x", payload, "application/json", false},
	} {
		d, err := verify(t, m, request(c.method, c.uri, c.body, "Content-Type", c.kind, "X-Gitea-Signature", sig))
		if _, refused := errors.AsType[*signature.Refusal](err); (err == nil) != c.want || refused == c.want {
			t.Errorf("%s %s %q as %s: got %+v, %v", c.method, c.uri, c.body, c.kind, d, err)
		}
	}
}

// TestBoltQueryAndBodySignaturesAreNotInterchangeable: Bolt signs the query of a GET
// request and the body of a POST request with the same key.
func TestBoltQueryAndBodySignaturesAreNotInterchangeable(t *testing.T) {
	m := setUp(t, "bolt", "k", provider.PresetOptions{})
	sig := func(text string) string {
		return base64.StdEncoding.EncodeToString(mac(testSecret(t, "k"), text))
	}
	const q, body = "order_id=1&amount=2", `{"id":"1","note":"&amount=9&"}`
	for _, genuine := range []*signature.Request{
		request("GET", "/b?"+q, "", "X-Bolt-Hmac-Sha256", sig(q)), request("POST", "/b", body, "X-Bolt-Hmac-Sha256", sig(body)),
	} {
		if _, err := verify(t, m, genuine); err != nil {
			t.Error(err)
		}
	}
	wantRefused(t, m, request("POST", "/b", q, "X-Bolt-Hmac-Sha256", sig(q)), "a signed query sent as a body")
	wantRefused(t, m, request("GET", "/b?"+body, "", "X-Bolt-Hmac-Sha256", sig(body)), "a signed body sent as a query")
	wantRefused(t, m, request("GET", "/b?"+q, "{}", "X-Bolt-Hmac-Sha256", sig(q)), "an unsigned body with a signed query")
}

// TestFormWithoutFieldsIsRefused: no part of a body without fields is signed.
func TestFormWithoutFieldsIsRefused(t *testing.T) {
	h := hmac.New(sha1.New, []byte("k"))
	h.Write([]byte("https://hooks.example.com/t"))
	twilio := base64.StdEncoding.EncodeToString(h.Sum(nil))
	plivo := base64.StdEncoding.EncodeToString(mac(testSecret(t, "k"), "https://hooks.example.com/t.n"))
	for _, body := range []string{"&", "&&", "="} {
		wantRefused(t, setUp(t, "twilio", "k", provider.PresetOptions{}), request("POST", "/t", body, "X-Twilio-Signature", twilio), "twilio: "+body)
		wantRefused(t, setUp(t, "plivo", "k", provider.PresetOptions{}), request("POST", "/t", body, "X-Plivo-Signature-V3", plivo, "X-Plivo-Signature-V3-Nonce", "n"), "plivo: "+body)
	}
}

// adyenBody returns a notification with one signed item for each set of changes.
func adyenBody(t *testing.T, key string, changes ...map[string]string) string {
	t.Helper()
	raw, err := hex.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	var items []string
	for _, change := range changes {
		v := map[string]string{"psp": "7914", "original": "", "account": "T", "reference": "r", "value": "1", "currency": "EUR", "event": "AUTHORISATION", "success": "true"}
		maps.Copy(v, change)
		h := hmac.New(sha256.New, raw)
		h.Write([]byte(strings.Join([]string{v["psp"], v["original"], v["account"], v["reference"], v["value"], v["currency"], v["event"], v["success"]}, ":")))
		items = append(items, fmt.Sprintf(`{"NotificationRequestItem":{"pspReference":%q,"originalReference":%q,"merchantAccountCode":%q,"merchantReference":%q,"amount":{"value":%s,"currency":%q},"eventCode":%q,"success":%q,"additionalData":{"hmacSignature":%q}}}`,
			v["psp"], v["original"], v["account"], v["reference"], v["value"], v["currency"], v["event"], v["success"], base64.StdEncoding.EncodeToString(h.Sum(nil))))
	}
	return `{"live":"false","notificationItems":[` + strings.Join(items, ",") + `]}`
}

// TestAdyenNotificationMustHaveOneItem: items are signed separately, so an attacker
// could combine handled items into a new list.
func TestAdyenNotificationMustHaveOneItem(t *testing.T) {
	const key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
	m := setUp(t, "adyen", key, provider.PresetOptions{})
	one := adyenBody(t, key, nil)
	d, err := verify(t, m, request("POST", "/a", one))
	if err != nil || d.Event != "AUTHORISATION" {
		t.Fatalf("got %+v, %v", d, err)
	}
	if _, err := verify(t, m, request("POST", "/a", adyenBody(t, key, map[string]string{"reference": "order:1:a"}))); err != nil {
		t.Errorf("a reference with colons: %v", err)
	}
	other := map[string]string{"psp": "7915", "event": "REFUND"}
	for what, body := range map[string]string{
		"[A,A]": adyenBody(t, key, nil, nil), "[A,B]": adyenBody(t, key, nil, other), "[B,A]": adyenBody(t, key, other, nil), "[]": adyenBody(t, key),
		"[{},A]": strings.Replace(one, `[{`, `[{},{`, 1), "[[A]]": strings.Replace(strings.Replace(one, "[", "[[", 1), "]", "]]", 1),
		"two lists":                      strings.Replace(one, `{"live"`, `{"notificationItems":[],"live"`, 1),
		"a list with an upper-case name": strings.Replace(one, `{"live"`, `{"NOTIFICATIONITEMS":[],"live"`, 1),
		"two items in one":               strings.Replace(one, `{"Notif`, `{"NotificationRequestItem":{},"Notif`, 1),
		"an event with two spellings":    strings.Replace(one, `"eventCode"`, `"EventCode":"x","eventCode"`, 1),
		"an event in upper case":         strings.Replace(one, `"eventCode"`, `"EVENTCODE"`, 1),
		// "…:r:1:EUR:AUTHORISATION:true" with the boundaries between fields moved
		"event and success": adyenBody(t, key, map[string]string{"event": "A:B"}), "account": adyenBody(t, key, map[string]string{"account": "T:r", "reference": "1"}),
	} {
		d, err := verify(t, m, request("POST", "/a", body))
		if _, ok := errors.AsType[*signature.Refusal](err); !ok {
			t.Errorf("%s: got %+v, %v", what, d, err)
		}
	}
}

// TestSNSMessageWithAmbiguousMembersIsRefused: an unsigned member must not be
// readable as a signed one.
func TestSNSMessageWithAmbiguousMembersIsRefused(t *testing.T) {
	good := newSigner(t, "sns.amazonaws.com", nil, testNow.Add(1<<40))
	m := setUp(t, "aws-sns", "", provider.PresetOptions{Topics: []string{snsTestTopic}, Certificates: []string{good.cert}})
	body := snsBody(t, good, "Notification", nil)
	if _, err := verify(t, m, request("POST", "/s", body)); err != nil {
		t.Fatal(err)
	}
	for _, member := range []string{
		`"message":"FORGED"`, `"MESSAGE":"FORGED"`, `"Message":"FORGED"`, `"subject":"FORGED"`, `"Subject":{"a":1}`, `"Subject":["x"]`, `"type":"x"`, `"TOPICARN":"x"`,
		`"SubscribeURL":"https://evil.test"`, `"Token":"x"`, `"messageAttributes":{}`,
	} {
		wantRefused(t, m, request("POST", "/s", strings.TrimSuffix(body, "}")+","+member+"}"), member)
	}
	for _, member := range []string{`"MessageAttributes":{"a":{"Type":"String","Value":"1"},"A":{"Type":"String","Value":"2"}}`, `"SequenceNumber":"1"`} {
		if _, err := verify(t, m, request("POST", "/s", strings.TrimSuffix(body, "}")+","+member+"}")); err != nil {
			t.Errorf("member %s, which SNS sends: %v", member, err)
		}
	}
	if m.Info().Coverage.BodySigned {
		t.Error("BodySigned is true, but some members are not signed")
	}
	strict := setUp(t, "aws-sns", "", provider.PresetOptions{Topics: []string{snsTestTopic}, Certificates: []string{good.cert}, Algorithms: []string{"sha256"}})
	var message map[string]string
	if err := json.Unmarshal([]byte(body), &message); err != nil {
		t.Fatal(err)
	}
	if _, err := verify(t, strict, request("POST", "/s", body)); (err == nil) != (message["SignatureVersion"] == "2") {
		t.Errorf("with algorithm sha256, signature version %s: %v", message["SignatureVersion"], err)
	}
}

// rfc9421Request returns a request with one signature for each label, a key ID and a
// nonce separated by a slash.
func rfc9421Request(t *testing.T, m *provider.Module, labels ...string) *signature.Request {
	t.Helper()
	r := request("POST", "/r", "{}")
	sum := sha256.Sum256([]byte("{}"))
	r.Header.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
	var inputs, sigs []string
	for i, label := range labels {
		id, nonce, _ := strings.Cut(label, "/")
		params := `("@method" "@target-uri" "content-digest");created=` + strconv.FormatInt(testNow.Unix(), 10) + `;keyid="` + id + `";nonce="` + nonce + `"`
		base := "\"@method\": POST\n\"@target-uri\": https://hooks.example.com/r\n\"content-digest\": " + r.Header.Get("Content-Digest") + "\n\"@signature-params\": " + params
		for _, k := range verifierOf(m).(*messageSignatures).keys {
			if k.id == id {
				h := hmac.New(sha256.New, k.secret)
				h.Write([]byte(base))
				inputs = append(inputs, fmt.Sprintf("s%d=%s", i, params))
				sigs = append(sigs, fmt.Sprintf("s%d=:%s:", i, base64.StdEncoding.EncodeToString(h.Sum(nil))))
			}
		}
	}
	r.Header.Set("Signature-Input", strings.Join(inputs, ", "))
	r.Header.Set("Signature", strings.Join(sigs, ", "))
	return r
}

// replayKeys returns the keys under which a delivery is recorded: its signed ID, or
// its digests.
func replayKeys(d *signature.Delivery) map[string]bool {
	known := make(map[string]bool)
	for _, m := range d.Digests() {
		if d.ID != "" && d.IDSigned {
			known[fmt.Sprintf("%x %s", m.Secret.Fingerprint, d.ID)] = true
			continue
		}
		known[fmt.Sprintf("%x %x", m.Secret.Fingerprint, m.Digest)] = true
	}
	return known
}

// TestRemovingSignaturesDoesNotMakeANewDelivery: removing or reordering signatures
// leaves a subset of the replay keys of the original.
func TestRemovingSignaturesDoesNotMakeANewDelivery(t *testing.T) {
	m := provider.NewModule(presetNamed("rfc9421"))
	m.Secrets = []provider.Secret{{Secret: "hmac-sha256:a2V5LWE=", Label: "a"}, {Secret: "hmac-sha256:a2V5LWI=", Label: "b"}}
	if err := provision(m); err != nil {
		t.Fatal(err)
	}
	read := func(labels ...string) map[string]bool {
		d, err := verify(t, m, rfc9421Request(t, m, labels...))
		if err != nil {
			t.Fatalf("%v: %v", labels, err)
		}
		return replayKeys(d)
	}
	all := read("a/n1", "b/n2", "a/n3")
	if len(all) != 6 {
		t.Fatalf("three contents under two secrets give %d replay keys, want 6", len(all))
	}
	for _, fewer := range [][]string{{"a/n1"}, {"b/n2"}, {"a/n3"}, {"b/n2", "a/n1"}, {"a/n3", "b/n2"}, {"a/n1", "a/n1"}} {
		for key := range read(fewer...) {
			if !all[key] {
				t.Errorf("with only the signatures %v, the delivery has a new replay key", fewer)
			}
		}
	}
	braintree := provider.NewModule(presetNamed("braintree"))
	braintree.Secrets = []provider.Secret{{Secret: "private-a", Label: "pa"}, {Secret: "private-b", Label: "pb"}}
	if err := provision(braintree); err != nil {
		t.Fatal(err)
	}
	pair := func(label, private, payload string) string {
		text, err := braintreeKey(private)
		if err != nil {
			t.Fatal(err)
		}
		key, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		h := hmac.New(sha1.New, key)
		h.Write([]byte(payload))
		return label + "|" + hex.EncodeToString(h.Sum(nil))
	}
	known := func(payload, pairs string) map[string]bool {
		d, err := verify(t, braintree, request("POST", "/b", url.Values{"bt_signature": {pairs}, "bt_payload": {payload}}.Encode(), "Content-Type", "application/x-www-form-urlencoded"))
		if err != nil {
			t.Fatal(err)
		}
		return replayKeys(d)
	}
	// The line break can be signed, and need not be in the form.
	for _, signed := range [][2]string{{"cGF5bG9hZA==\n", "cGF5bG9hZA==\n"}, {"cGF5bG9hZA==", "cGF5bG9hZA==\n"}} {
		payload := signed[0]
		a, b := pair("pa", "private-a", signed[0]), pair("pb", "private-b", signed[1])
		both := known(payload, a+"&"+b)
		for _, pairs := range []string{a, b, b + "&" + a, a + "&" + a} {
			for key := range known(payload, pairs) {
				if !both[key] {
					t.Errorf("braintree: with only %s of %q, the delivery has a new replay key", pairs, signed)
				}
			}
		}
	}
}

// TestSameKeyInTwoEncodingsIsADuplicateSecret checks declarative presets and presets
// in code. Each secret has its own replay keys, so one key must not be two secrets.
func TestSameKeyInTwoEncodingsIsADuplicateSecret(t *testing.T) {
	_, pem := ecdsaPEM(t)
	spaced := strings.ReplaceAll(pem, "\n", "\r\n")
	for name, c := range map[string]struct {
		set     provider.PresetOptions
		secrets []provider.Secret
	}{
		"adyen":                  {provider.PresetOptions{}, []provider.Secret{{Secret: "00ff"}, {Secret: "00FF"}}},
		"adyen-platform":         {provider.PresetOptions{}, []provider.Secret{{Secret: "00ff"}, {Secret: "00FF"}}},
		"rfc9421":                {provider.PresetOptions{}, []provider.Secret{{Secret: "hmac-sha256:c2VjcmV0", Label: "a"}, {Secret: "hmac-sha256:c2VjcmV0", Label: "b"}}},
		"github-secret-scanning": {provider.PresetOptions{}, []provider.Secret{{Secret: pem, Label: "a"}, {Secret: spaced, Label: "b"}}},
		"plaid":                  {provider.PresetOptions{}, []provider.Secret{{Secret: pem, Label: "a"}, {Secret: spaced, Label: "b"}}},
		"vonage":                 {provider.PresetOptions{}, []provider.Secret{{Secret: "s"}, {Secret: "s"}}},
		"messagebird":            {provider.PresetOptions{}, []provider.Secret{{Secret: "s"}, {Secret: "s", Label: "x"}}},
		"standard-webhooks":      {provider.PresetOptions{}, []provider.Secret{{Secret: "whsec_c2VjcmV0"}, {Secret: "c2VjcmV0"}}},
		"openai":                 {provider.PresetOptions{}, []provider.Secret{{Secret: "whsec_c2VjcmV0"}, {Secret: "secret"}}},
		"clearbit":               {provider.PresetOptions{}, []provider.Secret{{Secret: "sk_x"}, {Secret: "x"}}},
		"box":                    {provider.PresetOptions{}, []provider.Secret{{Secret: "s"}, {Secret: "s"}}},
		"gitlab":                 {provider.PresetOptions{}, []provider.Secret{{Secret: "t"}, {Secret: "t", Label: "x"}}},
	} {
		m := provider.NewModule(presetNamed(name))
		m.PresetOptions = c.set
		for _, s := range c.secrets {
			s.Secret = strings.ReplaceAll(s.Secret, "{", `\{`)
			m.Secrets = append(m.Secrets, s)
		}
		if err := provision(m); err == nil || !strings.Contains(err.Error(), "duplicate") {
			t.Errorf("%s: got %v, want a duplicate secret", name, err)
		}
	}
}

// TestKeyFingerprintDoesNotDependOnLetterCase: deliveries that were handled before
// the key was rewritten in the config remain recorded.
func TestKeyFingerprintDoesNotDependOnLetterCase(t *testing.T) {
	lower, upper := setUp(t, "adyen", "00ff", provider.PresetOptions{}), setUp(t, "adyen", "00FF", provider.PresetOptions{})
	if lower.Info().Secrets[0].Fingerprint != upper.Info().Secrets[0].Fingerprint {
		t.Error("adyen: the fingerprint depends on letter case")
	}
	if want := testSecret(t, "00FF").Identity().Fingerprint; upper.Info().Secrets[0].Fingerprint != want {
		t.Error("adyen: the fingerprint differs from that of the key as Adyen shows it")
	}
}

// TestEmptySecretAmongSeveralIsAConfigError: an empty secret may be a rotated secret
// whose variable is no longer set.
func TestEmptySecretAmongSeveralIsAConfigError(t *testing.T) {
	for i := range catalogue {
		p := &catalogue[i]
		if p.NoSecret {
			continue
		}
		signer, err := signing.OpenSigner(p.Name, nil, "", nil)
		if err != nil {
			continue // adyen and others have separate tests
		}
		good, _ := signer.Configure()
		prefixes := map[string]bool{"": true, " ": true, "{env.VERIFY_WEBHOOK_UNSET}": true}
		for _, s := range p.Schemes {
			if s.Key.Encoding != "" {
				prefixes[s.Key.Prefix] = true // the prefix without a key
			}
		}
		for empty := range prefixes {
			for _, secrets := range [][]provider.Secret{{{Secret: good}, {Secret: empty}}, {{Secret: empty}, {Secret: good}}} {
				m := provider.NewModule(p)
				m.Secrets = secrets
				if err := provision(m); err == nil && !p.SecretsFitAll {
					t.Errorf("%s accepts the empty secret %q next to a valid one", p.Name, empty)
				}
			}
		}
	}
}

func TestMailgunDuplicateSignedMembersAreRefused(t *testing.T) {
	m := setUp(t, "mailgun", "k", provider.PresetOptions{})
	stamp := strconv.FormatInt(testNow.Unix(), 10)
	sig := hex.EncodeToString(mac(testSecret(t, "k"), stamp+"tok"))
	good := `"signature":{"timestamp":"` + stamp + `","token":"tok","signature":"` + sig + `"}`
	if _, err := verify(t, m, request("POST", "/m", "{"+good+`,"event-data":{"event":"opened","user-variables":{"Token":"x","token":"y"}}}`)); err != nil {
		t.Error(err)
	}
	for _, body := range []string{"{" + good + `,"signature":{"token":"forged"}}`, "{" + good + `,"Signature":{"token":"forged"}}`, "{" + strings.Replace(good, `"token"`, `"Token":"forged","token"`, 1) + "}"} {
		wantRefused(t, m, request("POST", "/m", body), body)
	}
}

func TestDropboxSignBoundaryBetweenTimeAndEventTypeIsFixed(t *testing.T) {
	m := setUp(t, "dropbox-sign", "k", provider.PresetOptions{})
	sum := hex.EncodeToString(mac(testSecret(t, "k"), "1760000000signature_request_sent"))
	for _, c := range [][2]string{{"176000000", "0signature_request_sent"}, {"1760000000s", "ignature_request_sent"}, {"", "1760000000signature_request_sent"}, {"1760000000signature_request_sent", ""}} {
		body := "--b\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n" + `{"event":{"event_time":"` + c[0] + `","event_type":"` + c[1] + `","event_hash":"` + sum + `"}}` + "\r\n--b--\r\n"
		wantRefused(t, m, request("POST", "/d", body, "Content-Type", "multipart/form-data; boundary=b"), c[0]+"|"+c[1])
	}
}

// TestDropboxSignEventTypeIsReadByEveryParser: time and type of the event are signed, so
// no other body may contain them as some parser reads it.
func TestDropboxSignEventTypeIsReadByEveryParser(t *testing.T) {
	m := setUp(t, "dropbox-sign", "k", provider.PresetOptions{})
	sum := hex.EncodeToString(mac(testSecret(t, "k"), "1760000000signature_request_sent"))
	event := `"event_time":"1760000000","event_type":"signature_request_sent","event_hash":"` + sum + `"`
	const named, end = "Content-Disposition: form-data; name=\"json\"", "--b--\r\n"
	part := func(header, content string) string { return "--b\r\n" + header + "\r\n\r\n" + content + "\r\n" }
	genuine := part(named, `{"event":{`+event+`},"signature_request":{"metadata":{"Event":{"event_type":"x"},"event":1}}}`)
	forged := `{"event":{` + strings.Replace(event, "_sent", "_all_signed", 1) + "}}"
	other := func(disposition string) string { return part("Content-Disposition: form-data; "+disposition, forged) }
	for body, want := range map[string]bool{
		genuine + end: true,
		genuine + part("Content-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\nContent-Type: application/pdf", "x") + end:           true,
		part(named+"\r\nContent-Type: application/json", `{"event":{`+event+"}}") + end:                                                           true,
		"\r\n" + part(named+"\r\nContent-Type: text/plain; charset=ISO-8859-1\r\nContent-Transfer-Encoding: 8bit", `{"event":{`+event+"}}") + end: true, // Apache HttpClient
		part(named, `{"event":{`+event+`,"event_type":"signature_request_all_signed"}}`) + end:                                                    false,
		part(named, `{"event":{`+event+`,"Event_Type":"signature_request_all_signed"}}`) + end:                                                    false,
		part(named, `{"event":{`+event+`},"event":{"event_type":"signature_request_all_signed"}}`) + end:                                          false,
		part(named, `{"event":{`+event+`},"EVENT":{"event_type":"signature_request_all_signed"}}`) + end:                                          false,
		part(named, `{"event":{`+event+`}}{}`) + end:                                                                                              false,
		genuine + genuine + end:                                                                                false,
		genuine + other(`name="json[]"`) + end:                                                                 false,
		genuine + other(`name="[json]"`) + end:                                                                 false,
		genuine + other(`name=" json"`) + end:                                                                  false,
		genuine + other(`name="JSON"`) + end:                                                                   false,
		genuine + other(`name="x"; x-name="json"`) + end:                                                       false, // formidable
		genuine + other(`name="x"; name*=utf-8''json`) + end:                                                   false,
		genuine + other(`name*0="js"; name*1="on"`) + end:                                                      false,
		genuine + other(`name="\json"`) + end:                                                                  false,
		genuine + other(`name="_charset_"`) + end:                                                              false,
		genuine + other(`name="json"; filename="x"`) + end:                                                     false,
		genuine + part("Content-Disposition: form-data; name=\"x\"\r\n"+named, forged) + end:                   false,
		part("Content-Disposition: form-data; name=\"x\"", "\n--b\n"+named+"\n\n"+forged+"\n") + genuine + end: false, // PHP
		part("Content-Disposition: form-data; name=\"x\"", "\r--b\r"+named+"\r\r"+forged+"\r") + genuine + end: false,
		part(named+"\r\nContent-Transfer-Encoding: base64", `{"event":{`+event+"}}") + end:                     false,
		part(named+"\r\nContent-Transfer-Encoding: quoted-printable", `{"event":{`+event+"}}") + end:           false,
		part(named+"\r\nContent-Type: text/plain; charset=utf-16le", `{"event":{`+event+"}}") + end:            false,
		genuine + end + other(`name="json"`) + end:                                                             false,
		"x\r\n" + genuine + end:                                                                                false,
		strings.ReplaceAll(genuine+end, "\r\n", "\n"):                                                          false,
	} {
		_, err := verify(t, m, request("POST", "/d", body, "Content-Type", "multipart/form-data; boundary=b"))
		if _, refused := errors.AsType[*signature.Refusal](err); (err == nil) != want || refused == want {
			t.Errorf("%q: %v", body, err)
		}
	}
}

// ecdsaPEM generates a key pair and returns the public key in PEM too.
func ecdsaPEM(t *testing.T) (*ecdsa.PrivateKey, string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signature.PublicKeyText(private, signature.KeyFormat{})
	if err != nil {
		t.Fatal(err)
	}
	return private, text
}
