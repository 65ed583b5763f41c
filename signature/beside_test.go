package signature

import (
	"bytes"
	"compress/gzip"
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
