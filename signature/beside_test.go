package signature

import (
	"bytes"
	"compress/gzip"
	"net/url"
	"strings"
	"testing"
)

func zipped(t *testing.T, texts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, text := range texts {
		w := gzip.NewWriter(&b)
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// TestCompressedBodyMustBeOneMember checks bodies with several members. Some readers
// read only the first one, so a copy that is split in two would be another body.
func TestCompressedBodyMustBeOneMember(t *testing.T) {
	s := githubScheme()
	s.Signed = "{body_inflated}"
	v := compile(t, s, "secret")
	for what, c := range map[string]struct {
		body []byte
		kind RefusalKind
	}{
		"one member":            {zipped(t, "content"), ""},
		"two members":           {zipped(t, "con", "tent"), Malformed},
		"an empty first member": {zipped(t, "", "content"), Malformed},
		"trailing data":         {append(zipped(t, "content"), 0), Malformed},
		"truncated":             {zipped(t, "content")[:20], Malformed},
		"an empty last member":  {zipped(t, "content", ""), Malformed},
		"not compressed":        {[]byte("content"), Malformed},
	} {
		t.Run(what, func(t *testing.T) {
			r := post(string(c.body))
			r.Header.Set("Content-Encoding", "gzip")
			r.Header.Set("X-Hub-Signature-256", "sha256="+hexOf(mac("secret", "content")))
			want(t, v, r, c.kind)
		})
	}
}

// TestFieldsOfABodyWithoutAFixedStartAreUnsigned checks templates such as
// {url}{body}, in which the body can begin anywhere. JSON must be complete; a form
// cannot be checked.
func TestFieldsOfABodyWithoutAFixedStartAreUnsigned(t *testing.T) {
	for signed, want := range map[string][2]bool{ // a form's field, a JSON member
		"{body}": {true, true}, "{timestamp}.{body}": {true, true}, "{timestamp}{body}": {true, true}, "{id}.{body}": {true, true},
		"{url}{body}": {false, true}, "{body}{url}": {false, true}, "{url}.{body}": {false, true}, "{header.X}.{body}": {false, true}, "{method}{path}{body}{timestamp}": {false, true},
		"{url}{body_escaped}": {false, true}, "{body_escaped}{url}": {false, true}, `{url}"{body_escaped}"{id}`: {true, true}, "{body_escaped}": {true, true},
	} {
		for i, from := range []string{"form", "json"} {
			s := githubScheme()
			s.Signed = signed
			s.Timestamp = &TimestampField{Field: Field{From: "header", Name: "X-Time"}}
			s.ID = &Field{From: "header", Name: "X-Id"}
			s.Event = &Field{From: from, Name: "type"}
			if got := s.Covers().EventSigned; got != want[i] {
				t.Errorf("%s, the event in %s: signed %t", signed, from, got)
			}
		}
	}
}

func TestContradictoryOptionsAreConfigErrors(t *testing.T) {
	for what, change := range map[string]func(*Scheme){
		"WholeForm without a signed form": func(s *Scheme) { s.WholeForm = true },
		"NoBody with JSONBody":            func(s *Scheme) { s.NoBody, s.JSONBody = true, true },
		"NoBody with RefuseEmpty":         func(s *Scheme) { s.NoBody, s.RefuseEmpty = true, true },
	} {
		s := githubScheme()
		change(&s)
		if err := s.canonicalCheck(); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
}

func (s Scheme) canonicalCheck() error {
	c := s.canonical()
	return c.check()
}

// TestBodyCountsAsSignedOnlyWithCertainBoundaries: if bytes can move between the body
// and something beside it, the app could get a part of the signed body, or more.
func TestBodyCountsAsSignedOnlyWithCertainBoundaries(t *testing.T) {
	unix := &TimestampField{Field: Field{From: "header", Name: "X-Time"}, Format: "unix"}
	for _, c := range []struct {
		signed string
		with   Scheme
		want   bool
	}{
		{"{body}", Scheme{}, true},
		{"{timestamp}.{body}", Scheme{}, true},
		{"{timestamp}{body}", Scheme{}, true},
		{"{header.X}.{timestamp}.{body}", Scheme{}, true}, // X must not contain a dot
		{"{method}{lf}{path}{lf}{body}", Scheme{}, true},
		{"{method} {url} {timestamp}{body}", Scheme{}, true},
		{"{header.X}{lf}{body}", Scheme{}, true},
		{"{body}{lf}{header.X}", Scheme{}, true},
		{"{key}{body}{key}", Scheme{}, true},
		{"{url}{body}", Scheme{JSONBody: true}, true},
		{"{url}{body}", Scheme{}, false},
		{"{body}{url}", Scheme{}, false},
		{"{url}.{body}", Scheme{}, false},
		{"{header.X}.{body}", Scheme{}, false},
		{"{query.x}{lf}{body}", Scheme{}, false},         // x can contain %0A
		{"{header.X}{timestamp}{body}", Scheme{}, false}, // a body can contain a current time
		{"{body}|{header.X}.{timestamp}", Scheme{}, false},
		{"{form.a}", Scheme{WholeForm: true}, true},
		{"{timestamp}.{form.a}", Scheme{WholeForm: true}, true},
		{"{method} {url} {form.a}", Scheme{WholeForm: true}, true},
		{"{form.a}{form.b}", Scheme{WholeForm: true}, false},
		{"{form.a}.{form.b}", Scheme{WholeForm: true}, false},
		{"{form.a}{lf}{form.b}", Scheme{WholeForm: true}, false},
		{"{header.X}{form.a}", Scheme{WholeForm: true}, false},
		{"{url}{form.a}", Scheme{WholeForm: true}, false},
		{"{form.a}", Scheme{}, false},
		{"{query.a}{query.b}", Scheme{NoBody: true}, true},
	} {
		s := c.with
		s.Algorithm, s.Signature, s.Signed, s.Timestamp = HMACSHA256, SignatureField{Field: Field{From: "header", Name: "X-Sig"}}, c.signed, unix
		if !strings.Contains(c.signed, "{timestamp}") {
			s.Timestamp = nil
		}
		if err := s.Check(); err != nil {
			t.Fatalf("%s: %v", c.signed, err)
		}
		if got := s.Covers().BodySigned; got != c.want {
			t.Errorf("%s, %+v: BodySigned is %v", c.signed, c.with, got)
		}
	}
}

// TestEventTypeCountsAsSignedOnlyWithCertainBoundaries: p and ush{} have the same
// signature as push and {}.
func TestEventTypeCountsAsSignedOnlyWithCertainBoundaries(t *testing.T) {
	for signed, want := range map[string]bool{
		"{header.X-Event}{body}": false, "{header.X-Event}.{body}": false, "{body}{header.X-Event}": false, "{url}{header.X-Event}{lf}{body}": false,
		"{header.X-Event}{lf}{body}": true, "{header.X-Event}{timestamp}": true, "{header.X-Event}.{timestamp}.{body}": true, "{body}{lf}{header.X-Event}": true,
	} {
		s := Scheme{Algorithm: HMACSHA256, Signature: SignatureField{Field: Field{From: "header", Name: "X-Sig"}}, Signed: signed, Event: &Field{From: "header", Name: "X-Event"}}
		if strings.Contains(signed, "{timestamp}") {
			s.Timestamp = &TimestampField{Field: Field{From: "header", Name: "X-Time"}, Format: "unix"}
		}
		if got := s.Covers().EventSigned; got != want {
			t.Errorf("%s: EventSigned is %v", signed, got)
		}
	}
}

// TestQueryCannotReplaceAFieldOfAWholeForm: many servers join the parameters of the
// query with the fields of the form.
func TestQueryCannotReplaceAFieldOfAWholeForm(t *testing.T) {
	s := githubScheme()
	s.Signed, s.WholeForm = "{form.payload}", true
	v := compile(t, s, "secret")
	for uri, kind := range map[string]RefusalKind{"/in": "", "/in?token=x": "", "/in?payload=x": Malformed, "/in?%5Bpayload%5D=x": Malformed, "/in?payload.x=1": Malformed} {
		r := post("payload=content")
		r.RequestURI = uri
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Hub-Signature-256", "sha256="+hexOf(mac("secret", "content")))
		want(t, v, r, kind)
	}
}

// TestCompressedBodyMustBeCompleteJSON: {id}{timestamp}{body_inflated} has no separator,
// so that a part of the body could count as the time.
func TestCompressedBodyMustBeCompleteJSON(t *testing.T) {
	s := githubScheme()
	s.Signed, s.JSONBody = "{body_inflated}", true
	v := compile(t, s, "secret")
	for body, kind := range map[string]RefusalKind{`{"a":[1]}`: "", `[1,2]`: "", `,"b":1}`: Malformed, `{"a":1}}`: Malformed, `{"a":`: Malformed, "": Malformed} {
		for _, compressed := range []bool{true, false} {
			r := post(body)
			if compressed {
				r = post(string(zipped(t, body)))
				r.Header.Set("Content-Encoding", "gzip")
			}
			r.Header.Set("X-Hub-Signature-256", "sha256="+hexOf(mac("secret", body)))
			want(t, v, r, kind)
		}
	}
}

// TestSignedFormMustBeEscaped: parsers differ in how they read characters that forms
// escape.
func TestSignedFormMustBeEscaped(t *testing.T) {
	s := githubScheme()
	s.Signed, s.WholeForm = "{form.payload}", true
	v := compile(t, s, "secret")
	const value = "{\"é\":\"\x00\n\"}"
	for body, kind := range map[string]RefusalKind{
		"payload=" + url.QueryEscape(value):                                    "",
		"payload=" + strings.ToLower(url.QueryEscape(value)):                   "",
		"payload={%22%C3%A9%22:%22%00%0a%22}":                                  "",
		"payload=" + strings.ReplaceAll(url.QueryEscape(value), "%C3%A9", "é"): Malformed,
		"payload=" + strings.ReplaceAll(url.QueryEscape(value), "%00", "\x00"): Malformed,
		"payload=" + strings.ReplaceAll(url.QueryEscape(value), "%0A", "\n"):   Malformed,
	} {
		r := post(body)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Hub-Signature-256", "sha256="+hexOf(mac("secret", value)))
		want(t, v, r, kind)
		if err := CheckSignedForm(r); (err == nil) != (kind == "") {
			t.Errorf("CheckSignedForm of %q: %v", body, err)
		}
	}
}
