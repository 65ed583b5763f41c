package signature

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestInvalidSchemesAreConfigErrors(t *testing.T) {
	element := func(name string) *TimestampField {
		return &TimestampField{Field: Field{From: "element", Name: name}}
	}
	for name, change := range map[string]func(*Scheme){
		"no algorithm":                   func(s *Scheme) { s.Algorithm = "" },
		"unknown algorithm":              func(s *Scheme) { s.Algorithm = "hmac-md5" },
		"no location":                    func(s *Scheme) { s.Signature.Field = Field{} },
		"no header":                      func(s *Scheme) { s.Signature.Name = "" },
		"an invalid header name":         func(s *Scheme) { s.Signature.Name = "X Sig" },
		"unknown location":               func(s *Scheme) { s.Signature.From = "cookie" },
		"in an element of itself":        func(s *Scheme) { s.Signature.From = "element" },
		"unknown encoding":               func(s *Scheme) { s.Signature.Encoding = "base32" },
		"element without assign":         func(s *Scheme) { s.Signature.Element = "v1" },
		"assign without element":         func(s *Scheme) { s.Signature.Assign = "=" },
		"sets without separator":         func(s *Scheme) { s.Signature.SetSeparator = " " },
		"positions without separator":    func(s *Scheme) { s.Signature.Positional = 1 },
		"one separator for two purposes": func(s *Scheme) { s.Signature.Separator, s.Signature.SetSeparator = ",", "," },
		"negative positions":             func(s *Scheme) { s.Signature.Separator, s.Signature.Positional = ",", -1 },
		"additional header without name": func(s *Scheme) { s.Signature.Also = []string{""} },
		"constant content":               func(s *Scheme) { s.Signed = "v0:{lf}" },
		"unknown variable":               func(s *Scheme) { s.Signed = "{bodi}" },
		"unclosed brace":                 func(s *Scheme) { s.Signed = "{body" },
		"empty variable":                 func(s *Scheme) { s.Signed = "{}{body}" },
		"unnamed header":                 func(s *Scheme) { s.Signed = "{header.}{body}" },
		"timestamp without location":     func(s *Scheme) { s.Signed = "{timestamp}.{body}" },
		"ID without location":            func(s *Scheme) { s.ID = nil; s.Signed = "{id}.{body}" },
		"element without a list":         func(s *Scheme) { s.Timestamp = element("t") },
		"unknown timestamp format":       func(s *Scheme) { s.Timestamp = &TimestampField{Field: inHeader("X"), Format: "julian"} },
		"negative tolerance":             func(s *Scheme) { s.Timestamp = &TimestampField{Field: inHeader("X"), Tolerance: -1} },
		"tolerance that overflows":       func(s *Scheme) { s.Timestamp = &TimestampField{Field: inHeader("X"), Tolerance: 1 << 40} },
		"unknown key encoding":           func(s *Scheme) { s.Key.Encoding = "rot13" },
		"required header without a name": func(s *Scheme) { s.Require = map[string]string{"": "1"} },
		"JSON path with an empty part":   func(s *Scheme) { s.ID = &Field{From: "json", Name: "a..b"} },
		"a token with signed content":    func(s *Scheme) { s.Algorithm, s.Signed = Token, "{body}" },
		"a signature as its own timestamp": func(s *Scheme) {
			s.Signature.Separator, s.Signature.Assign, s.Signature.Element = ",", "=", "v1"
			s.Timestamp = element("v1")
		},
		"a secret that is no public key":      func(s *Scheme) { s.Algorithm = RSASHA256 },
		"a token with the key in its content": func(s *Scheme) { s.Algorithm, s.Signed = Token, "{key}{body}" },
		"the name of a key without a name":    func(s *Scheme) { s.Signed = "{key_name}{body}" },
		"no body and a JSON body":             func(s *Scheme) { s.NoBody, s.JSONBody = true, true },
		"a whole form without a field":        func(s *Scheme) { s.WholeForm = true },
		"a condition without content":         func(s *Scheme) { s.When = new(Condition) },
		"a required prefix without text":      func(s *Scheme) { s.Key.PrefixRequired = true },
		"an unknown handshake":                func(s *Scheme) { s.Handshakes = []Handshake{{Kind: "smile"}} },
	} {
		t.Run(name, func(t *testing.T) {
			s := githubScheme()
			change(&s)
			v, err := s.Compile(secretsOf(t, "secret"), 0)
			if err == nil || v != nil {
				t.Fatalf("Compile = %v, %v; want an error", v, err)
			}
			if !regexp.MustCompile(`[:;] (write|remove|copy)\b`).MatchString(err.Error()) {
				t.Errorf("the error does not say what to write: %v", err)
			}
		})
	}
	for _, tolerance := range []time.Duration{-1, maxTolerance + 1} {
		if _, err := stripeScheme().Compile(secretsOf(t, "secret"), tolerance); err == nil {
			t.Errorf("a tolerance of %s is accepted", tolerance)
		}
	}
}

func TestCompileDoesNotModifyTheScheme(t *testing.T) {
	s := githubScheme()
	s.ID.Name, s.Require = "x-github-delivery", map[string]string{"x-v": "1"}
	s.Signature.Also = []string{"x-sig-#"}
	compile(t, s, "secret")
	if s.ID.Name != "x-github-delivery" || s.Require["x-v"] != "1" || s.Signature.Also[0] != "x-sig-#" || s.Signed != "" {
		t.Errorf("the scheme was changed: %+v", s)
	}
}

func TestCoverageOfSignatures(t *testing.T) {
	id, event := inHeader("X-Id"), Field{From: "json", Name: "type"}
	for _, c := range []struct {
		name, signed string
		id           Field
		format       string
		idSigned     bool
		eventSigned  bool
		timeSigned   bool
	}{
		{"ID in an unsigned header", "{body}", id, "", false, true, false},
		{"ID in the body", "{body}", Field{From: "json", Name: "id"}, "", true, true, false},
		{"digest of the body", "{timestamp}.{body_sha256_hex}", Field{From: "json", Name: "id"}, "", true, true, true},
		{"body not signed", "{timestamp}.{id}", id, "", true, false, true},
		{"separated", "{id}.{timestamp}.{body}", id, "", true, true, true},
		{"ID as a signed header", "{header.x-id}.{header.X-TIME}.{body}", id, "", true, true, true},
		{"at the end", "{body}.{id}", id, "", true, true, false},
		{"before the timestamp at the end", "{body}.{id}.{timestamp}", id, "", true, true, true},
		{"not separated from the body", "{id}{body}", id, "", false, true, false},
		{"after the body, not separated", "{body}{id}", id, "", false, true, false},
		{"before a number", "{id}{timestamp}{body}", id, "", false, true, true},
		{"before a timestamp with a recognizable start", "{id}{timestamp}{body}", id, "rfc3339", true, true, true},
		{"after a header without a separator", "{header.X-Any}{id}.{body}", id, "", false, true, false},
		{"after a header with a separator", "{header.X-Any}.{id}.{body}", id, "", true, true, false},
		{"between bodies", "{body}.{id}.{body}", id, "", false, true, false},
		{"ID in the query, query signed", "{query}.{body}", Field{From: "query", Name: "id"}, "", true, true, false},
		{"ID in the query, URL signed", "{url}{body}", Field{From: "query", Name: "id"}, "", true, true, false},
		{"ID in the query, path signed", "{path}{body}", Field{From: "query", Name: "id"}, "", false, true, false},
		{"ID in a compressed body", "{body_inflated}", Field{From: "json", Name: "id"}, "", false, false, false},
		{"ID in a sorted form", "{form_sorted}", Field{From: "form", Name: "id"}, "", false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := githubScheme()
			s.Signed, s.ID, s.Event = c.signed, &c.id, &event
			s.Timestamp = &TimestampField{Field: inHeader("X-Time"), Format: c.format}
			got := compile(t, s, "secret").Coverage()
			if got.IDSigned != c.idSigned || got.EventSigned != c.eventSigned || got.TimestampSigned != c.timeSigned {
				t.Errorf("ID %t, event %t, timestamp %t", got.IDSigned, got.EventSigned, got.TimestampSigned)
			}
			if !got.HasID || !got.HasEvent || !got.HasTimestamp || got.BodySigned != strings.Contains(c.signed, "body") && c.signed != "{form_sorted}" {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestSignatureIsValidForOneInterpretationOnly(t *testing.T) {
	dotted := standardScheme()
	dotted.Key = KeyFormat{}
	nonce := dotted
	nonce.ID, nonce.Signed = nil, "{header.X-Nonce}.{timestamp}.{body}"
	packed := dotted
	packed.Signed, packed.Timestamp = "{id}{timestamp}{body}", &TimestampField{Field: inHeader("webhook-timestamp"), Format: "rfc3339"}
	long := dotted
	long.Signed = "{id}--{timestamp}.{body}"
	const at = "2025-10-09T08:53:20Z"
	for _, c := range []struct {
		name     string
		s        Scheme
		id, time string
		body     string
		text     string // what was signed
		kind     RefusalKind
	}{
		{"genuine", dotted, "m1", nowText, "{}", "m1." + nowText + ".{}", ""},
		{"the timestamp moved into the ID", dotted, "m1." + nowText, nowText, "{}", "m1." + nowText + "." + nowText + ".{}", Malformed},
		{"the timestamp moved into a nonce", nonce, "m1." + nowText, nowText, "{}", "m1." + nowText + "." + nowText + ".{}", Malformed},
		{"genuine, packed", packed, "m1", at, "{}", "m1" + at + "{}", ""},
		{"a packed timestamp moved into the ID", packed, "m1" + at, at, "{}", "m1" + at + at + "{}", Malformed},
		{"half of the separator moved into the ID", long, "m1-", nowText, "{}", "m1---" + nowText + ".{}", Malformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := post(c.body, "webhook-id", c.id, "X-Nonce", c.id, "webhook-timestamp", c.time, "webhook-signature", "v1,"+base64Of(mac("secret", c.text)))
			want(t, compile(t, c.s, "secret"), r, c.kind)
		})
	}
}

// The content type is not signed. If it decided whether the ID is read, a copy with
// another content type would have no ID.
func TestContentTypeDoesNotHideTheIDOfAForm(t *testing.T) {
	s := githubScheme()
	s.ID = &Field{From: "form", Name: "id"}
	v := compile(t, s, "secret")
	for _, contentType := range []string{"application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-8", "text/plain", "", "junk; junk"} {
		r := githubPost("secret", "id=7&x=%20")
		r.Header.Set("Content-Type", contentType)
		if d := want(t, v, r, ""); d.ID != "7" || !d.IDSigned {
			t.Errorf("%s: ID %q", contentType, d.ID)
		}
	}
	for body, kind := range map[string]RefusalKind{
		"id=7&id=8":                     Malformed,
		"id=%zz":                        Malformed,
		"id=7;x=8":                      Malformed,
		strings.Repeat("x&", maxFields): Malformed,
		`{"x":"&id=7&id=8"}`:            "",
	} {
		r := githubPost("secret", body)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if d := want(t, v, r, kind); d != nil && d.ID != "" {
			t.Errorf("%s: ID %q", body, d.ID)
		}
	}
}

// Some providers send complete emails as forms. A large form is in a file.
func TestFieldsOfALargeFormAreRead(t *testing.T) {
	s := githubScheme()
	s.ID = &Field{From: "form", Name: "id"}
	v := compile(t, s, "secret")
	for _, contentType := range []string{"application/x-www-form-urlencoded", "text/plain", ""} {
		r := githubPost("secret", "mail="+strings.Repeat("x%20", 1<<20)+"&id=7")
		r.Header.Set("Content-Type", contentType)
		r.Body = fileBody{r.Body.(BytesBody)}
		if d := want(t, v, r, ""); d.ID != "7" || !d.IDSigned {
			t.Errorf("%s: ID %q", contentType, d.ID)
		}
	}
}

// JSON in a file is not read into memory to detect that it is not a form.
func TestLargeBodyThatIsNotAFormIsNotCopied(t *testing.T) {
	for body, form := range map[string]bool{`  {"a":1}`: false, strings.Repeat(" ", 600) + "[]": false, "": false, "a=1": true, strings.Repeat("\n", 600) + "a=1": true} {
		r := &Request{Header: http.Header{}, Body: fileBody{BytesBody(body)}}
		if got, err := r.Form(); err != nil || (got != nil) != form {
			t.Errorf("%.20q: %v, %v", body, got, err)
		}
	}
	body := BytesBody(`{"a":"` + strings.Repeat("x", 1<<20) + `"}`)
	allocated := testing.AllocsPerRun(1, func() {
		r := &Request{Header: http.Header{}, Body: chargedBody{fileBody{body}, t}}
		_, _ = r.Form()
	})
	if allocated > 20 {
		t.Errorf("%v allocations", allocated)
	}
}

// chargedBody fails the test if it is copied.
type chargedBody struct {
	fileBody
	t *testing.T
}

func (b chargedBody) Charge(n int64) error {
	b.t.Errorf("%d bytes are copied", n)
	return nil
}

func TestSignedContentMatchesTheTemplate(t *testing.T) {
	body := "a=1&b=x%20y"
	for _, c := range []struct{ signed, want string }{
		{"{body}", body},
		{"v0:{timestamp}:{body}", "v0:" + nowText + ":" + body},
		{"{method}{lf}{path}{lf}{query}", "POST\n/in%2F\nq=1&r=a+b"},
		{"{url}|{body}", "https://hooks.example.com/in%2F?q=1&r=a+b|" + body},
		{"{host}{header.x-any}", "hooks.example.comv"},
		{"{header.Host}.{body}", "hooks.example.com." + body},
		{"{query.r}{form.b}", "a bx y"},
		{"{body}{body}", body + body},
		{"}{body}", "}" + body},
	} {
		t.Run(c.signed, func(t *testing.T) {
			s := githubScheme()
			s.Signed = c.signed
			s.Timestamp = &TimestampField{Field: inHeader("X-Time")}
			r := post(body, "X-Hub-Signature-256", "sha256="+hexOf(mac("secret", c.want)), "X-Any", "v", "X-Time", nowText, "Content-Type", "application/x-www-form-urlencoded")
			r.RequestURI = "/in%2F?q=1&r=a+b"
			want(t, compile(t, s, "secret"), r, "")
		})
	}
}

func TestMissingSignedFieldIsRefused(t *testing.T) {
	s := githubScheme()
	s.Signed = "{header.X-Any}{query.q}{body}"
	for _, r := range []*Request{
		post("b", "X-Hub-Signature-256", "sha256="+hexOf(mac("secret", "b"))),
		post("b", "X-Hub-Signature-256", "sha256="+hexOf(mac("secret", "vb")), "X-Any", "v"),
	} {
		want(t, compile(t, s, "secret"), r, Malformed)
	}
}

func TestPublicURLReplacesTheURLOfTheRequest(t *testing.T) {
	for _, c := range []struct{ public, uri, url, host, path, query string }{
		{"", "/in?a=1", "https://hooks.example.com/in?a=1", "hooks.example.com", "/in", "a=1"},
		{"", "/", "https://hooks.example.com/", "hooks.example.com", "/", ""},
		{"https://p.example:8443/hook", "/in?a=1", "https://p.example:8443/hook?a=1", "p.example:8443", "/hook", "a=1"},
		{"https://p.example/hook", "/in", "https://p.example/hook", "p.example", "/hook", ""},
		{"https://p.example/hook?b=2", "/in?a=1", "https://p.example/hook?b=2", "p.example", "/hook", "b=2"},
		{"https://p.example", "/in", "https://p.example/in", "p.example", "/in", ""},
		{"https://p.example", "/", "https://p.example", "p.example", "/", ""},
		{"https://p.example?b=2", "/in?a=1", "https://p.example/in?b=2", "p.example", "/in", "b=2"},
	} {
		r := post("")
		r.PublicURL, r.RequestURI = c.public, c.uri
		host, path, query := r.target()
		if r.URL() != c.url || host != c.host || path != c.path || query != c.query {
			t.Errorf("%q for %q: %q = %q %q %q", c.public, c.uri, r.URL(), host, path, query)
		}
	}
}

func TestDuplicateQueryParametersAreRefused(t *testing.T) {
	s := githubScheme()
	s.Signature.Field, s.Signature.Prefix = Field{From: "query", Name: "sig"}, ""
	v := compile(t, s, "secret")
	good := hexOf(mac("secret", "b"))
	for uri, kind := range map[string]RefusalKind{
		"/in?sig=" + good:               "",
		"/in?x=1&x=2&sig=" + good:       "",
		"/in?sig=" + good + "&sig=":     Malformed,
		"/in?sig=" + good + "&%73ig=00": Malformed,
		"/in?sig=" + good + ";x=1":      Malformed,
		"/in?sig=%zz":                   Malformed,
		"/in?SIG=" + good:               MissingSignature,
		"/in":                           MissingSignature,
	} {
		r := post("b")
		r.RequestURI = uri
		want(t, v, r, kind)
		wantHeaders(t, v, r, kind)
	}
}
