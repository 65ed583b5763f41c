package signature

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func findJSON(tb testing.TB, doc string, paths ...string) []string {
	tb.Helper()
	p, err := NewJSONPaths(paths)
	if err != nil {
		tb.Fatal(err)
	}
	found, err := p.Find(BytesBody(doc))
	if err != nil {
		tb.Fatal(err)
	}
	for _, chunk := range []int{1, 7, 8} {
		streamed, err := p.Find(chunkedBody{BytesBody(doc), chunk})
		if err != nil || !slices.Equal(streamed, found) {
			tb.Fatalf("%q in chunks of %d: got %q, %v; in memory %q", doc, chunk, streamed, err, found)
		}
	}
	return found
}

// chunkedBody returns a few bytes in each Read.
type chunkedBody struct {
	BytesBody
	size int
}

func (chunkedBody) Bytes() []byte { return nil }

func (b chunkedBody) Open() io.ReadCloser {
	return io.NopCloser(&chunkReader{bytes.NewReader(b.BytesBody), b.size})
}

type chunkReader struct {
	r    io.Reader
	size int
}

func (c *chunkReader) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.size)]) }

func TestJSONPathsFindScalars(t *testing.T) {
	const doc = ` { "id" : "evt_1", "n": -1.50e3, "yes":true , "no":false, "nil":null, "empty":"",
		"obj":{"id":"inner","deep":{"er":["a","b",{"c":"d"}]}}, "list":[[0],[1,2],"x"],
		"esc\u0061ped":"t\u00fcr\n\"\\\/", "a.b":"dot", "7":"seven", "last":"z"}`
	for path, want := range map[string]string{
		"id": "evt_1", "n": "-1.50e3", "yes": "true", "no": "false", "nil": "", "empty": "", "last": "z",
		"obj": "", "list": "", "obj.id": "inner", "obj.deep.er.0": "a", "obj.deep.er.2.c": "d", "obj.deep.er.3": "",
		"list.1.1": "2", "list.2": "x", "list.01": "", "list.-1": "", "list.x": "", "list.2.0": "",
		"escaped": "tür\n\"\\/", "id.0": "", "id.x": "", "absent": "", "obj.absent": "", "7": "seven", "ID": "",
	} {
		if got := findJSON(t, doc, path)[0]; got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	if got := findJSON(t, doc, "last", "obj.id", "id", "obj.id"); !slices.Equal(got, []string{"z", "inner", "evt_1", "inner"}) {
		t.Errorf("several at once: %q", got)
	}
}

func TestFirstOfDuplicateMembersCounts(t *testing.T) {
	for doc, want := range map[string]string{
		`{"a":"1","a":"2"}`:                                "1",
		`{"a":null,"a":"2"}`:                               "",
		`{"a":{},"a":"2"}`:                                 "",
		`{"a":"","a":"2"}`:                                 "",
		`{"\u0061":"1","a":"2"}`:                           "1",
		`{"x":{"a":"0"},"a":"1"}`:                          "1",
		`{"a":"` + strings.Repeat("x", 1e5) + `","a":"2"}`: "",
	} {
		if got := findJSON(t, doc, "a")[0]; got != want {
			t.Errorf("%.60s: got %q", doc, got)
		}
	}
	for _, doc := range []string{`{"a":{"x":1},"a":{"b":"2"}}`, `{"a":"s","a":{"b":"2"}}`, `{"a":[],"a":{"b":"2"}}`} {
		if got := findJSON(t, doc, "a.b")[0]; got != "" {
			t.Errorf("%s: got %q from the second member", doc, got)
		}
	}
}

func TestInvalidJSONYieldsTheValuesBeforeTheError(t *testing.T) {
	for doc, want := range map[string]string{
		`{"a":"1"`:       "1",
		`{"a":"1",`:      "1",
		`{"a":"1"} junk`: "1",
		`{"a":"1`:        "",
		`{"a":"1\`:       "",
		`{"a":`:          "",
		`{"a"`:           "",
		`{"a`:            "",
		`{`:              "",
		``:               "",
		` `:              "",
		`}`:              "",
		`]`:              "",
		`,`:              "",
		`{"a" "1"}`:      "",
		`{a:"1"}`:        "",
		`{"b":}`:         "",
		`{,"a":"1"}`:     "",
		`{"x":[1,"a":2`:  "",
		`["a","1"]`:      "",
		"\ufeff{}":       "",
		`a=1&b=2`:        "",
		`{"a":"\q"}`:     "",
	} {
		if got := findJSON(t, doc, "a")[0]; got != want {
			t.Errorf("%s: got %q, want %q", doc, got, want)
		}
	}
}

func TestSkippingIgnoresBracketsInStrings(t *testing.T) {
	for pad := range 20 {
		for _, inner := range []string{`}`, `{`, `]`, `\"`, `\\`, `\\\"`, `\\\\`, `"},"a":"no","x":{"`, `\"}`, strings.Repeat(`\\`, 9), strings.Repeat(`\"`, 9), "\u00fc", `|}{~\u0022`} {
			if strings.Contains(inner, `"no"`) {
				inner = strings.ReplaceAll(inner, `"`, `\"`)
			}
			for _, container := range []string{`{"%s%s":["%s"]}`, `["%s%s",{"k":"%s"}]`} {
				value := fmt.Sprintf(container, strings.Repeat("x", pad), inner, inner)
				if got := findJSON(t, `{"skip":`+value+`,"a":"yes"}`, "a")[0]; got != "yes" {
					t.Fatalf("%s: got %q", value, got)
				}
			}
		}
	}
}

func TestDeepNestingNeedsNoStack(t *testing.T) {
	const depth = 1 << 20
	doc := `{"x":` + strings.Repeat(`[`, depth) + strings.Repeat(`]`, depth) + `,"a":"1"}`
	p, err := NewJSONPaths([]string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.Find(BytesBody(doc)); err != nil || got[0] != "1" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestTooLongValuesCountAsMissing(t *testing.T) {
	p, err := NewJSONPaths([]string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		value  string
		absent bool
	}{
		"longest":         {strings.Repeat("x", maxJSONValue), false},
		"longer":          {strings.Repeat("x", maxJSONValue+1), true},
		"longer, escaped": {`\n` + strings.Repeat("x", maxJSONValue-1), true},
		"much longer":     {strings.Repeat(`\n`, maxJSONValue), true},
	} {
		for _, body := range []Body{BytesBody(`{"a":"` + c.value + `","b":"1"}`), chunkedBody{BytesBody(`{"a":"` + c.value + `","b":"1"}`), 1000}} {
			if got, err := p.Find(body); err != nil || (got[0] == "") != c.absent || got[1] != "1" {
				t.Errorf("%s: %.20q, %v", name, got, err)
			}
		}
	}
	digits := strings.Repeat("1", maxJSONValue+1)
	if got, err := p.Find(BytesBody(`{"a":` + digits + `,"b":1}`)); err != nil || got[0] != "" || got[1] != "1" {
		t.Errorf("a long number: %.20q, %v", got, err)
	}
}

func TestJSONReadErrorsAreReported(t *testing.T) {
	p, err := NewJSONPaths([]string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Find(brokenBody{}); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

func TestJSONPathsMustHaveNames(t *testing.T) {
	for _, path := range []string{"", ".", "a.", ".a", "a..b"} {
		if _, err := NewJSONPaths([]string{path}); err == nil {
			t.Errorf("%q is accepted as a path", path)
		}
	}
	if _, err := NewJSONPaths(make([]string, maxJSONPaths+1)); err == nil {
		t.Error("more than 64 paths are accepted")
	}
	many := make([]string, maxJSONPaths)
	for i := range many {
		many[i] = fmt.Sprint("k", i)
	}
	if got := findJSON(t, `{"k63":"last","k0":"first"}`, many...); got[63] != "last" || got[0] != "first" {
		t.Errorf("got %q", got)
	}
}

// lookUp finds a value with encoding/json. At every step, the first of several
// members with the same name counts.
func lookUp(doc []byte, path string) string {
	value := json.RawMessage(doc)
	for segment := range strings.SplitSeq(path, ".") {
		next, ok := child(value, segment)
		if !ok {
			return ""
		}
		value = next
	}
	var scalar any
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	if d.Decode(&scalar) != nil {
		return ""
	}
	switch scalar := scalar.(type) {
	case string:
		return scalar
	case json.Number:
		return scalar.String()
	case bool:
		return strconv.FormatBool(scalar)
	}
	return ""
}

// child returns the first member or the element of that name.
func child(value json.RawMessage, name string) (json.RawMessage, bool) {
	d := json.NewDecoder(bytes.NewReader(value))
	open, err := d.Token()
	if err != nil || (open != json.Delim('{') && open != json.Delim('[')) {
		return nil, false
	}
	for i := 0; d.More(); i++ {
		key := strconv.Itoa(i)
		if open == json.Delim('{') {
			token, err := d.Token()
			if err != nil {
				return nil, false
			}
			key = token.(string)
		}
		var raw json.RawMessage
		if d.Decode(&raw) != nil {
			return nil, false
		}
		if key == name {
			return raw, true
		}
	}
	return nil, false
}

func FuzzJSONPathsAgreeWithEncodingJSON(f *testing.F) {
	for _, doc := range []string{
		`{"id":"evt_1","type":"a.b","data":{"object":{"id":"x"}}}`,
		`{"a":[1,2,{"b":null}],"a":3}`, `[[["x"]],{"0":"y"}]`, `"s"`, `-0.1E+2`, `{"\ud83d\ude00":"\ud800"}`,
		`{"skip":"a\\\"}","skip2":["{",{"k":"]\\"}],"id":"z"}`, `{"":{"":1}}`, "{\"a\":\n[ ]\t,\"b\":{ } ,\"c\" : true}",
	} {
		for _, path := range []string{"id", "a.2.b", "0.0.0", "data.object.id", "c"} {
			f.Add([]byte(doc), path, uint8(3))
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte, path string, chunk uint8) {
		p, err := NewJSONPaths([]string{path, "id", "a.b"})
		if err != nil {
			return
		}
		found, err := p.Find(BytesBody(doc))
		if err != nil {
			t.Fatal(err)
		}
		streamed, err := p.Find(chunkedBody{doc, int(chunk) + 1})
		if err != nil || !slices.Equal(streamed, found) {
			t.Fatalf("in memory %q, streamed %q, %v", found, streamed, err)
		}
		if !json.Valid(doc) || !utf8.Valid(doc) {
			return
		}
		for i, path := range p.names {
			if want := lookUp(doc, path); len(want) <= maxJSONValue && len(doc) <= maxJSONValue && found[i] != want {
				t.Fatalf("%s: got %q, encoding/json has %q", path, found[i], want)
			}
		}
	})
}
