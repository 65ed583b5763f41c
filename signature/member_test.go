package signature

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// streamed is a body that is not in memory.
type streamed struct{ BytesBody }

func (streamed) Bytes() []byte { return nil }

func (s streamed) Open() io.ReadCloser { return io.NopCloser(strings.NewReader(string(s.BytesBody))) }

func TestHasFindsMembersOfAnyKind(t *testing.T) {
	for _, test := range []struct {
		field, body string
		want        bool
	}{
		{"a", `{"a":1}`, true},
		{"a", `{"a":null}`, true},
		{"a", `{"b":[1,{"a":2}],"a":{}}`, true},
		{"a", ` {"b":"\"a\"","a" : [] }`, true},
		{"a", `{"b":{"a":1}}`, false},
		{"a", `[{"a":1}]`, false},
		{"a", `"a"`, false},
		{"a", ``, false},
		{"a", `{"b":1`, false},
		{"a", `{"a":1`, true},
		{"a", `{"b":"a"}`, false},
		{"a.b", `{"a":{"b":null}}`, true},
		{"a.b", `{"a":1}`, false},
		{"a.b", `{"a":{"c":{"b":1}},"b":1}`, false},
		{"a.b", `not JSON "b"`, false},
	} {
		for kind, body := range map[string]Body{"in memory": BytesBody(test.body), "streamed": streamed{BytesBody(test.body)}} {
			r := &Request{Body: body, Header: http.Header{}}
			got, err := r.Has(Field{From: "json", Name: test.field})
			if err != nil || got != test.want {
				t.Errorf("%s in %q, %s: %t, %v; want %t", test.field, test.body, kind, got, err, test.want)
			}
		}
	}
}

func TestHasFindsFormFieldsAndQueryParameters(t *testing.T) {
	r := &Request{
		Body: BytesBody("CallSid=&x=1"), Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		Scheme: "https", Host: "h", RequestURI: "/p?q=&r=1",
	}
	for field, want := range map[Field]bool{
		{From: "form", Name: "CallSid"}: true, {From: "form", Name: "q"}: false,
		{From: "query", Name: "q"}: true, {From: "query", Name: "x"}: false,
	} {
		if got, err := r.Has(field); err != nil || got != want {
			t.Errorf("%s: %t, %v; want %t", field, got, err, want)
		}
	}
	if _, err := r.Has(Field{From: "header", Name: "X"}); err == nil {
		t.Error("a header was looked for")
	}
}
