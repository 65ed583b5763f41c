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

func TestMembersFindsMembersOfAnyKind(t *testing.T) {
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
		{"a.b", `{"a":{"c":1},"d":[{"a":{"b":1}}]}`, false},
		{"a1", `{"a1":1}`, true},
		{"a.0", `{"a":[]}`, false},
		{"a.0", `{"a":[null]}`, true},
		{"a.1.b", `{"a":[{"b":1},{"c":[1,{}]}]}`, false},
		{"a.1.b", `{"a":[{"b":1},{"c":[1,{}],"b":2}]}`, true},
		{"a.0", `{"a":{"0":1}}`, true},
		{"0", `[1]`, true},
		{"1", `[1]`, false},
	} {
		for kind, body := range map[string]Body{"in memory": BytesBody(test.body), "streamed": streamed{BytesBody(test.body)}} {
			r := &Request{Body: body, Header: http.Header{}}
			got, err := has(r, Field{From: "json", Name: test.field})
			if err != nil || got != test.want {
				t.Errorf("%s in %q, %s: %t, %v; want %t", test.field, test.body, kind, got, err, test.want)
			}
		}
	}
}

func TestMembersFindsFormFieldsAndQueryParameters(t *testing.T) {
	r := &Request{
		Body: BytesBody("CallSid=&x=1"), Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		Scheme: "https", Host: "h", RequestURI: "/p?q=&r=1",
	}
	for field, want := range map[Field]bool{
		{From: "form", Name: "CallSid"}: true, {From: "form", Name: "q"}: false,
		{From: "query", Name: "q"}: true, {From: "query", Name: "x"}: false,
	} {
		if got, err := has(r, field); err != nil || got != want {
			t.Errorf("%s: %t, %v; want %t", field, got, err, want)
		}
	}
	if _, err := NewMembers([]Field{{From: "header", Name: "X"}}); err == nil {
		t.Error("a header is accepted")
	}
}

func TestMembersFindOneOfSeveral(t *testing.T) {
	fields := []Field{{From: "json", Name: "a.b"}, {From: "json", Name: "a.c"}, {From: "json", Name: "d"}, {From: "form", Name: "e"}}
	for body, want := range map[string]bool{
		`{"a":{"c":1}}`: true, `{"a":{"x":{"b":1}},"d":null}`: true, `{"a":{"x":1,"b":[]}}`: true, `e=`: true,
		`{"a":[{"b":1}],"x":{"d":1}}`: false, `{"a":"d"}`: false, ``: false, `x=e`: false,
	} {
		for kind, body := range map[string]Body{"in memory": BytesBody(body), "streamed": streamed{BytesBody(body)}} {
			r := &Request{Body: body, Header: http.Header{}}
			if got, err := has(r, fields...); err != nil || got != want {
				t.Errorf("%s, %s: %t, %v; want %t", body, kind, got, err, want)
			}
		}
	}
	if got, err := has(&Request{Body: BytesBody("{}")}); got || err != nil {
		t.Errorf("without fields: %t, %v", got, err)
	}
}

func has(r *Request, fields ...Field) (bool, error) {
	m, err := NewMembers(fields)
	if err != nil {
		return false, err
	}
	return m.In(r)
}

// FuzzMembersInMemory compares the search in memory, which skips what it does not
// need, with the parser that reads streamed bodies.
func FuzzMembersInMemory(f *testing.F) {
	for _, body := range []string{
		`{"a":1}`, `{"x":{"a":1},"b":[1,{"a":2}],"a":{}}`, `{"\u0061":null}`, `{"x":"\\\"","a":{"b":[]}}`, `[{"a":1}]`, `{"x":[1`, `{"x":"{\"a\":1}"}`,
		` { "x" : "]}" , "a" : 0 } `, `{"x":1,"a":2}{"a":1}`, `{"x":tru,"a":1}`, `{"":{"a":1},"a":}`, `{"x":"é\u00e9","0":1}`, "\xef\xbb\xbf{\"a\":1}", `{"x":[{]},"a":1}`, `{"x":1e999,"a":1}`, `1E700`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, names := range [][]string{{"a"}, {"a.b"}, {"0"}, {"x.0", "a.0", "b.1.a"}} {
			var fields []Field
			for _, name := range names {
				fields = append(fields, Field{From: "json", Name: name})
			}
			inMemory, err := has(&Request{Body: BytesBody(body)}, fields...)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := has(&Request{Body: streamed{BytesBody(body)}}, fields...)
			if err != nil || inMemory != parsed {
				t.Errorf("%q in %q: %t in memory, %t streamed, %v", names, body, inMemory, parsed, err)
			}
		}
	})
}
