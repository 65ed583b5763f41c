package signature

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// spooledForm is a body in a file.
type spooledForm struct{ BytesBody }

func (b spooledForm) Bytes() []byte { return nil }

func (b spooledForm) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(b.BytesBody).ReadAt(p, off)
}

// WriteTo writes in pieces of 7 bytes, so that every field is split somewhere.
func (b spooledForm) WriteTo(w io.Writer) (int64, error) {
	for at := 0; at < len(b.BytesBody); at += 7 {
		if _, err := w.Write(b.BytesBody[at:min(at+7, len(b.BytesBody))]); err != nil {
			return int64(at), err
		}
	}
	return b.Size(), nil
}

// formOf parses a form as url.ParseQuery does, which is what Form must return.
func formOf(text []byte, kind string) (form url.Values, refused bool) {
	start := bytes.TrimLeft(text, formSpace)
	if len(start) == 0 || strings.IndexByte(`{["<`, start[0]) >= 0 {
		return nil, false
	}
	form, err := url.ParseQuery(string(text))
	if err != nil || bytes.Count(text, []byte{'&'}) >= maxFields {
		return nil, kind == formKinds[0]
	}
	return form, false
}

// checkForm compares Form, in memory and in a file, with url.ParseQuery.
func checkForm(t *testing.T, text []byte, kind string) {
	t.Helper()
	want, refused := formOf(text, kind)
	for _, b := range []Body{BytesBody(text), spooledForm{text}} {
		r := &Request{Method: "POST", Header: http.Header{"Content-Type": {kind}}, Body: b}
		got, err := r.Form()
		if (err != nil) != refused || (got == nil) != (want == nil) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%.100q as %s, %T: %.100q, error %v; want %.100q, refused %t", text, kind, b, got, err, want, refused)
		}
		checkUnchecked(t, text, b)
	}
}

// checkUnchecked compares the values of url.ParseQuery with those whose escapes are
// checked only when they are read.
func checkUnchecked(t *testing.T, text []byte, b Body) {
	t.Helper()
	form, err := readFields(b, true)
	if errors.Is(err, errNoForm) || errors.Is(err, errManyFields) {
		return
	}
	got := make(url.Values)
	for i := 0; err == nil && i < len(form.fields); i++ {
		var value string
		value, err = form.text(&form.fields[i])
		got[form.fields[i].name] = append(got[form.fields[i].name], value)
	}
	want, wantErr := url.ParseQuery(string(text))
	if (err != nil) != (wantErr != nil) || (err == nil && !reflect.DeepEqual(got, want)) {
		t.Errorf("%.100q in %T: %.100q, error %v; want %.100q, error %v", text, b, got, err, want, wantErr)
	}
}

var formKinds = []string{"application/x-www-form-urlencoded", "text/plain"}

func TestFormAgreesWithURLParseQuery(t *testing.T) {
	texts := []string{
		"", "&", "a", "=", "=b", "a=", "a=b", "a=b&", "&a=b", "a&a", "a=b&a=c&b=a", "a=b=c", "a==", "a;b=c", "a=b;c",
		"%", "%4", "%41", "%4g", "a=%", "a=%4", "a=%41", "a=%4g", "a=%g4", "a=%%41", "a=%4%41", "%zz=a", "%41=%42&a+b=c+d", "a=%&b=1", "a=%4&1",
		"+=+", "a=++++++++", "a=+++++++%20+", "a=12345678+12345678", "a=x%41%42x%43", "a=" + strings.Repeat("%2B", 40), "a=" + strings.Repeat("x%41", 40),
		" ", " \r\n\ta=b", `{"a":1}`, ` [`, "<a=b>", strings.Repeat("&", 999), strings.Repeat("&", 1000), strings.Repeat("a&", 999) + "a", strings.Repeat("a&", 1000),
		"a=" + strings.Repeat("%41", 30) + "%4", "a=" + strings.Repeat("%41", 30) + "%g1", "a=" + strings.Repeat("x%41+", 30) + "%", "a=12345678%", "a=12345678%4", "a=1234567%41", "a=123456%1g8",
		"a=é%C3%A9", "a=\x00\xff", "a=" + strings.Repeat("y", 3*maxGathered) + "%41", "a=" + strings.Repeat("%41", 2*maxGathered),
	}
	for _, text := range texts {
		for _, kind := range formKinds {
			checkForm(t, []byte(text), kind)
		}
	}
}

func FuzzFormFields(f *testing.F) {
	f.Add([]byte("a=%41+b&c=d"), true)
	f.Add([]byte("payload=%7B%22a%22%3A1%7D"), true)
	f.Fuzz(func(t *testing.T, text []byte, declared bool) {
		kind := formKinds[1]
		if declared {
			kind = formKinds[0]
		}
		if len(text) < maxFieldNames {
			checkForm(t, text, kind)
		}
	})
}

// TestLargeFormsAreNotCopied checks that the allocated memory does not grow with the
// form.
func TestLargeFormsAreNotCopied(t *testing.T) {
	text := []byte("a=1&b=" + strings.Repeat("x%41+", 1<<20) + "&c=2")
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			form, err := readFields(spooledForm{text}, false)
			if err != nil {
				b.Fatal(err)
			}
			for i := range form.fields {
				scratch, err := form.write(io.Discard, nil, &form.fields[i])
				if err != nil || flush(io.Discard, scratch) != nil {
					b.Fatal(err)
				}
			}
		}
	}).AllocedBytesPerOp()
	if allocated > 256<<10 {
		t.Errorf("%d bytes were allocated for a form of %d", allocated, len(text))
	}
}
