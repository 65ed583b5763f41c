package signature

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// multipartRequest returns a request with a multipart body.
func multipartRequest(boundary, body string) *Request {
	return &Request{Method: "POST", Header: http.Header{"Content-Type": {"multipart/form-data; boundary=" + boundary}}, Body: BytesBody(body)}
}

// formPart returns a field of a body.
func formPart(name, value string) string {
	return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
}

// TestMultipartFieldsAreReadAsWritten reads what the standard library writes, with
// the fields in every position and with other parts.
func TestMultipartFieldsAreReadAsWritten(t *testing.T) {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, field := range [][2]string{{"subject", "Grüße\r\n--" + w.Boundary() + "x\r\n"}, {"token", "tok"}, {"timestamp", "1"}, {"body-plain", strings.Repeat("a line\r\n", 5000)}} {
		if err := w.WriteField(field[0], field[1]); err != nil {
			t.Fatal(err)
		}
	}
	file, err := w.CreateFormFile("attachment-1", "a.bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(bytes.Repeat([]byte{0, '\n', '-', '-', '\r'}, 1<<18)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.WriteField("signature", "sig"), w.Close()); err != nil {
		t.Fatal(err)
	}
	r := multipartRequest(w.Boundary(), body.String())
	got, err := MultipartFields(r, "token", "timestamp", "signature", "missing")
	if err != nil || len(got) != 3 || got["token"] != "tok" || got["timestamp"] != "1" || got["signature"] != "sig" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestMultipartValuesAreReadExactly(t *testing.T) {
	for _, value := range []string{"", "a", "a\r\n", "\r\n", "a\nb", "a\n--b\nc", "-", "--", "--b", "--bb\r\n", "x--b", strings.Repeat("v", maxPartValue-2)} {
		body := formPart("token", value) + "--b--\r\n"
		if value == "--b" {
			continue // the boundary
		}
		got, err := MultipartFields(multipartRequest("b", body), "token")
		if err != nil || got["token"] != value {
			t.Errorf("%q: got %q, %v", value, got["token"], err)
		}
	}
}

// TestAmbiguousMultipartBodiesAreRefused checks bodies in which other parsers could
// find other fields.
func TestAmbiguousMultipartBodiesAreRefused(t *testing.T) {
	const end = "--b--\r\n"
	head := func(lines ...string) string { return "--b\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\nv\r\n" }
	const named = `Content-Disposition: form-data; name="token"`
	for what, body := range map[string]string{
		"a duplicate field":            formPart("token", "1") + formPart("token", "2") + end,
		"a duplicate in another case":  formPart("token", "1") + formPart("TOKEN", "2") + end,
		"a duplicate with brackets":    formPart("token[]", "2") + formPart("token", "1") + end,
		"a duplicate with white space": formPart(" token", "2") + formPart("token", "1") + end,
		"as a file":                    head(named+`; filename="x"`) + end,
		"encoded":                      head(named, "Content-Transfer-Encoding: quoted-printable") + end,
		"in base64":                    head(named, "content-transfer-encoding: base64") + end,
		"two names":                    head(named, `Content-Disposition: form-data; name="x"`) + end,
		"a folded header":              head("Content-Disposition: form-data;", ` name="token"`) + end,
		"no name":                      head("Content-Type: text/plain") + end,
		"another disposition":          head(`Content-Disposition: attachment; name="token"`) + end,
		"data before the first part":   "x\r\n" + formPart("token", "1") + end,
		"data after the end":           formPart("token", "1") + end + formPart("token", "2") + end,
		"no end":                       formPart("token", "1"),
		"an end inside a header":       "--b\r\n" + named,
		"only an end":                  end,
		"empty":                        "",
		"a value that is too long":     formPart("token", strings.Repeat("v", maxPartValue+1)) + end,
		"a long value in many lines":   formPart("token", strings.Repeat("v\r\n", maxPartValue)) + end,
		"a long header line":           head(named+"; x="+strings.Repeat("h", maxPartHeader)) + end,
		"many header lines":            head(append(make([]string, 0), strings.Split(strings.Repeat("A: b\n", 4000), "\n")...)...) + end,
		"too many parts":               strings.Repeat(formPart("x", ""), maxParts) + formPart("token", "1") + end,
		"line feeds only":              strings.ReplaceAll(formPart("token", "1")+end, "\r", ""),
		"a header with a line feed":    "--b\r\n" + named + "\n\r\nv\r\n" + end,
		"a header without a colon":     head(named, "nonsense") + end,
		"an additional extended name":  formPart("token", "1") + head(`Content-Disposition: form-data; name*=UTF-8''token`) + end,
		"a header in another case":     formPart("token", "1") + head(`CONTENT-DISPOSITION: FORM-DATA; NAME="Token"`) + end,
	} {
		got, err := MultipartFields(multipartRequest("b", body), "token")
		if _, refused := errors.AsType[*Refusal](err); !refused {
			t.Errorf("%s: got %v, %v", what, got, err)
		}
	}
	for _, kind := range []string{
		"multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=b", "text/plain", "", "multipart/form-data; boundary=" + strings.Repeat("b", maxBoundary+1),
		`multipart/form-data; boundary="b "`, "multipart/form-data; boundary=b; boundary=c", strings.Repeat("x", MaxContentType) + "/y",
	} {
		r := multipartRequest("b", formPart("token", "1")+end)
		r.Header.Set("Content-Type", kind)
		if got, err := MultipartFields(r, "token"); err == nil {
			t.Errorf("Content-Type %.40q: got %v", kind, got)
		}
	}
	twice := multipartRequest("b", formPart("token", "1")+end)
	twice.Header["Content-Type"] = append(twice.Header["Content-Type"], "multipart/form-data; boundary=c")
	if got, err := MultipartFields(twice, "token"); err == nil {
		t.Errorf("two Content-Types: got %v", got)
	}
}

// countingBody is a body that is not in memory.
type countingBody struct {
	BytesBody
	read int
}

func (c *countingBody) Bytes() []byte { return nil }

func (c *countingBody) Open() io.ReadCloser {
	return io.NopCloser(io.TeeReader(c.BytesBody.Open(), writerFunc(func(p []byte) { c.read += len(p) })))
}

type writerFunc func(p []byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

// TestInvariant12MultipartBodyIsReadOnceAndNotBuffered checks large bodies with
// different parts.
func TestInvariant12MultipartBodyIsReadOnceAndNotBuffered(t *testing.T) {
	for what, body := range map[string]string{
		"one large part":    formPart("attachment-1", strings.Repeat("x", 32<<20)) + formPart("token", "1") + "--b--\r\n",
		"many short lines":  formPart("attachment-1", strings.Repeat("\n", 32<<20)) + formPart("token", "1") + "--b--\r\n",
		"nearly boundaries": formPart("attachment-1", strings.Repeat("--\n", 8<<20)) + formPart("token", "1") + "--b--\r\n",
		"no end":            "--b\r\n" + strings.Repeat("x", 32<<20),
		"many parts":        strings.Repeat(formPart("x", ""), 200_000),
	} {
		counted := &countingBody{BytesBody: BytesBody(body)}
		r := multipartRequest("b", "")
		r.Body = counted
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = MultipartFields(r, "token")
		runtime.ReadMemStats(&after)
		allocated := after.TotalAlloc - before.TotalAlloc
		if allocated > 2<<20 {
			t.Errorf("%s: %d bytes are allocated for a body of %d", what, allocated, len(body))
		}
		if counted.read > len(body) {
			t.Errorf("%s: %d bytes are read of a body of %d", what, counted.read, len(body))
		}
	}
}

// FuzzMultipartFields checks that the standard library reads the same value, and only
// once.
func FuzzMultipartFields(f *testing.F) {
	f.Add("b", formPart("token", "1")+"--b--\r\n")
	f.Add("b", formPart("token", "a\nb")+formPart("x", "--bb\r\n")+"--b--")
	f.Add("b", "--b\r\nContent-Disposition: form-data; name=token; filename=x\r\n\r\n\r\n--b--")
	f.Add("b", "--b\nContent-Disposition: form-data; name=token\n\nv\n--b--\n")
	f.Fuzz(func(t *testing.T, boundary, body string) {
		r := multipartRequest(boundary, body)
		got, err := MultipartFields(r, "token")
		if err != nil {
			return
		}
		want := make(map[string][]string)
		parsed, err := multipartBoundary(r)
		if err != nil {
			t.Fatalf("fields without a boundary: %v", err)
		}
		parts := multipart.NewReader(strings.NewReader(body), parsed)
		for {
			p, err := parts.NextRawPart()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return // the standard library is stricter here
			}
			value, err := io.ReadAll(p)
			if err != nil {
				return
			}
			want[p.FormName()] = append(want[p.FormName()], string(value))
		}
		if token, known := got["token"]; fmt.Sprint(want["token"]) != fmt.Sprint(map[bool][]string{true: {token}}[known]) {
			t.Errorf("%q: got %q, the standard library reads %q", body, got, want["token"])
		}
	})
}

// TestInvariant12HeadersOfPartsAreBounded: each line and each parameter costs as much
// as hundreds of bytes of content. The limits do not apply to text in quotes, such as
// the name of a file.
func TestInvariant12HeadersOfPartsAreBounded(t *testing.T) {
	const end = "--b--\r\n"
	part := func(parameters string, lines int) string {
		return "--b\r\nContent-Disposition: form-data; name=\"x\"" + parameters + "\r\n" + strings.Repeat("A: b\r\n", lines) + "\r\nv\r\n"
	}
	long := part(`; filename="`+strings.Repeat("f", 7<<10)+`"`, 1)
	for _, c := range []struct {
		what, body string
		refused    bool
	}{
		{"as many parameters as are accepted", part(strings.Repeat(";a=b", maxPartParameters-1), 0), false},
		{"another parameter", part(strings.Repeat(";a=b", maxPartParameters), 0), true},
		{"semicolons in a file name", part(`; filename="`+strings.Repeat(`a;\";`, 1000)+`"`, 0), false},
		{"as many lines as are accepted", part("", maxPartLines-1), false},
		{"another line", part("", maxPartLines), true},
		{"headers as long as are accepted", strings.Repeat(long, maxPartHeaders/len(long)), false},
		{"longer headers", strings.Repeat(long, maxPartHeaders/len(long)+1), true},
	} {
		got, err := MultipartFields(multipartRequest("b", formPart("token", "1")+c.body+end), "token")
		if _, refused := errors.AsType[*Refusal](err); refused != c.refused || (!refused && got["token"] != "1") {
			t.Errorf("%s: got %v, %v", c.what, got, err)
		}
	}
}
