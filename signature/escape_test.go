package signature

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// fileBody is a body that is not in memory and is written in small pieces.
type fileBody struct{ BytesBody }

func (fileBody) Bytes() []byte { return nil }

func (b fileBody) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(struct{ io.Writer }{w}, iotest.OneByteReader(b.Open()))
}

func TestBodyIsEscapedLikeJSONStringify(t *testing.T) {
	for _, text := range []string{
		"", "a", `{"a":"b"}`, `"""`, `\\\`, "\t\r\n", "{\n\t\"é\": \"日本語\"\n}", "😀", strings.Repeat(`x"`, 20000), strings.Repeat("é", 30000), strings.Repeat(`"`, 50000) + "a",
	} {
		var want strings.Builder
		encoder := json.NewEncoder(&want)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(text); err != nil {
			t.Fatal(err)
		}
		for _, b := range []Body{BytesBody(text), fileBody{BytesBody(text)}} {
			var got strings.Builder
			if err := writeEscaped(&got, b); err != nil {
				t.Fatalf("%.40q: %v", text, err)
			}
			if `"`+got.String()+"\"\n" != want.String() {
				t.Errorf("%.40q is escaped as %.60q", text, got.String())
			}
		}
	}
	for _, text := range []string{"\xff", "a\xc3", "\xe6\x97", "\x00", "a\x01b", "\xed\xa0\x80"} {
		for _, b := range []Body{BytesBody(text), fileBody{BytesBody(text)}} {
			if err := writeEscaped(io.Discard, b); err == nil {
				t.Errorf("%q counts as JSON", text)
			}
		}
	}
}

// TestStringsAreUnescapedLikeEncodingJSON compares with the standard library.
func TestStringsAreUnescapedLikeEncodingJSON(t *testing.T) {
	paths, err := NewJSONPaths([]string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	for _, inner := range []string{
		`\n`, `a\"b`, `\u0041`, `\u00e9`, `\ud83d\ude00`, `\ud83d`, `\ud83dx`, `\ude00`, `\ud83d\ud83d\ude00`, `\u12`, `\x`, `\`, `\/\b\f\n\r\t\\`, "é\\n", "\\n\xff", "\\n\x01", `\uD83D\uDE00`, `\u0000`,
	} {
		for _, pad := range []int{0, 2000} {
			text := inner + strings.Repeat("x", pad)
			want := struct {
				A string `json:"a"`
			}{}
			document := fmt.Sprintf(`{"a":"%s"}`, text)
			if json.Unmarshal([]byte(document), &want) != nil {
				want.A = ""
			}
			for _, b := range []Body{BytesBody(document), fileBody{BytesBody(document)}} {
				if got, err := paths.Find(b); err != nil || got[0] != want.A {
					t.Errorf("%q: got %q, %v, want %q", document[:min(40, len(document))], got[0], err, want.A)
				}
			}
		}
	}
}
