package capture

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, []byte("one\ntwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, record      string
		method, url, body string
		header, value     string
		notes             int
		wantErr           string
	}{
		{
			name: "HTTP", record: "POST /in?a=1 HTTP/1.1\r\nHost: example.com\r\nX-Sig: abc\r\n\r\n{\"a\":\r\n1}",
			method: "POST", url: "://example.com/in?a=1", body: "{\"a\":\r\n1}", header: "X-Sig", value: "abc",
		},
		{name: "HTTP saved with LF", record: "\nPOST /in HTTP/1.1\nHost: example.com\n\nbody\n", method: "POST", url: "://example.com/in", body: "body\n"},
		{name: "HTTP with an absolute URL", record: "POST https://example.com/in HTTP/1.1\nHost: example.com\n\nbody", method: "POST", url: "https://example.com/in", body: "body"},
		{name: "a line break added by an editor", record: "POST / HTTP/1.1\nHost: h\nContent-Length: 4\n\nbody\n", method: "POST", url: "://h/", body: "body", notes: 1},
		{name: "a body of another length", record: "POST / HTTP/1.1\nHost: h\nContent-Length: 9\n\nbody", method: "POST", url: "://h/", body: "body", notes: 1},
		{name: "chunked", record: "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", method: "POST", url: "://h/", body: "body"},
		{name: "chunked once", record: "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{\"a\":1}", method: "POST", url: "://h/", body: `{"a":1}`},
		{name: "no body", record: "GET /?hub.challenge=1 HTTP/1.1\nHost: h\n\n", method: "GET", url: "://h/?hub.challenge=1"},
		{name: "not HTTP", record: "hello\nworld", wantErr: "not HTTP"},
		{name: "nothing", record: " \n", wantErr: "empty"},

		{
			name: "HAR entry", record: `{"startedDateTime":"2024-05-01T10:00:00.000Z","request":{"method":"POST","url":"https://example.com/in?a=%20b","headers":[{"name":":authority","value":"x"},{"name":"x-sig","value":"abc"}],"postData":{"text":"{\"a\":\"ü\"}"}}}`,
			method: "POST", url: "https://example.com/in?a=%20b", body: `{"a":"ü"}`, header: "X-Sig", value: "abc",
		},
		{
			name: "HAR file: the last POST", record: `{"log":{"entries":[{"request":{"method":"POST","url":"https://a/1"}},{"request":{"method":"POST","url":"https://a/2","postData":{"text":"Ym9keQ==","encoding":"base64"}}},{"request":{"method":"GET","url":"https://a/3"}}]}}`,
			method: "POST", url: "https://a/2", body: "body",
		},
		{
			name: "HAR with fields only", record: `{"request":{"method":"POST","url":"https://a/","postData":{"params":[{"name":"From","value":"+1"},{"name":"b","value":"x y"}]}}}`,
			method: "POST", url: "https://a/", body: "From=%2B1&b=x+y", notes: 1,
		},
		{name: "other JSON", record: `{"a":1}`, wantErr: "without a `request`"},
		{name: "broken JSON", record: `{"request":`, wantErr: "not JSON"},

		{
			name: "curl from a browser", record: "curl 'https://example.com/in?x=1' \\\n  -X 'POST' \\\n  -H 'X-Sig: abc' \\\n  --data-raw $'{\"a\":\"it\\'s \\u0021\\n\"}' \\\n  --compressed",
			method: "POST", url: "https://example.com/in?x=1", body: "{\"a\":\"it's !\n\"}", header: "X-Sig", value: "abc",
		},
		{
			name: "curl, short", record: `$ curl -sS -d a=1 -d'b=2' -u user:pw -H "Host: other.example" example.com/in`,
			method: "POST", url: "http://other.example/in", body: "a=1&b=2", header: "Authorization", value: "Basic dXNlcjpwdw==",
		},
		{name: "curl with --option=value", record: `curl --request=PUT --url=https://h/ --json='{}'`, method: "PUT", url: "https://h/", body: "{}", header: "Content-Type", value: "application/json"},
		{name: "curl -d @file loses line breaks", record: "curl -d @" + file + " https://h/", method: "POST", url: "https://h/", body: "onetwo", notes: 1},
		{name: "curl --data-binary @file keeps line breaks", record: "curl --data-binary @" + file + " -o /dev/null https://h/", method: "POST", url: "https://h/", body: "one\ntwo\n"},
		{name: "curl -G", record: "curl -G --data-urlencode 'a=x y' https://h/?b=1", method: "GET", url: "https://h/?b=1&a=x+y"},
		{name: "curl with a form of files", record: "curl -F a=@b https://h/", wantErr: "are unknown"},
		{name: "curl that runs a command", record: "curl -d \"$(cat /etc/passwd)\" https://h/", wantErr: "variables or commands"},
		{name: "curl with a variable", record: "curl -H \"X-Token: $TOKEN\" https://h/", wantErr: "variables or commands"},
		{name: "curl with a process substitution", record: "curl <() https://h/", wantErr: "variables or commands"},
		{name: "curl with an open quote", record: "curl 'https://h/", wantErr: "split into words"},
		{name: "curl with escapes", record: "curl -d 'it'\\''s' -d a\\ b https://h/", method: "POST", url: "https://h/", body: "it's&a b"},
		{name: "curl with braces, which are not expanded", record: "curl -d a={1..1000000000} https://h/", method: "POST", url: "https://h/", body: "a={1..1000000000}"},
		{
			name: "curl copied for Windows", record: "curl ^\"https://example.com/in?a=1^&b=2^\" ^\r\n  -H ^\"X-Sig: abc^\" ^\r\n  --data-raw ^\"^{^\\^\"a^\\^\":^\\^\"$HOME 5^%^\\^\"^}^\"",
			method: "POST", url: "https://example.com/in?a=1&b=2", body: `{"a":"$HOME 5%"}`, header: "X-Sig", value: "abc",
		},
		{
			name: "curl for Windows, older", record: "curl \"https://example.com/in\" ^\n  -H \"X-Sig: abc\" ^\n  --data-binary \"{\\\"a\\\":1}\"",
			method: "POST", url: "https://example.com/in", body: `{"a":1}`, header: "X-Sig", value: "abc",
		},
		{name: "curl for Windows, incomplete", record: "curl ^\"https://h/", wantErr: "inside quotes"},
		{name: "PowerShell", record: "Invoke-WebRequest -Uri \"https://h/\"", wantErr: "PowerShell"},
		{
			name: "a page of GitHub", record: "Request URL: https://example.com/in?a=1\nRequest method: POST\nAccept: */*\ncontent-type: application/json\nX-Hub-Signature-256: sha256=ab\n\n{\n  \"a\": 1\n}\n",
			method: "POST", url: "https://example.com/in?a=1", body: "{\n  \"a\": 1\n}", header: "X-Hub-Signature-256", value: "sha256=ab", notes: 1,
		},
		{
			name: "a page with headings", record: "Headers\n\nRequest URL: https://example.com/in\nX-Sig: abc\n\nPayload\n\n{\"a\":1}",
			method: "POST", url: "https://example.com/in", body: `{"a":1}`, header: "X-Sig", value: "abc", notes: 1,
		},
		{name: "headers without a request line", record: "X-Sig: abc\nHost: h\n\n{}", method: "POST", url: "://h/", body: "{}", header: "X-Sig", value: "abc", notes: 1},
		{name: "a body alone", record: `{"id":"evt_1"}`, wantErr: "may be a body"},
		{name: "curl that reads a device", record: "curl -d @/dev/zero https://h/", wantErr: "not a regular file"},
		{name: "curl without URL", record: "curl -s", wantErr: "no URL"},
		{name: "curl, incomplete", record: "curl https://h/ -H", wantErr: "ends after -H"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := Parse([]byte(test.record))
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) {
					t.Fatalf("got %v, want %s", err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if url := r.Scheme + "://" + r.Host + r.RequestURI; r.Method != test.method || url != test.url || string(r.Body) != test.body {
				t.Errorf("got %s %s %q, want %s %s %q", r.Method, url, r.Body, test.method, test.url, test.body)
			}
			if test.header != "" && r.Header.Get(test.header) != test.value {
				t.Errorf("%s is %q, want %q", test.header, r.Header.Get(test.header), test.value)
			}
			if len(r.Notes) != test.notes {
				t.Errorf("notes: %q", r.Notes)
			}
		})
	}
}

func TestHARContainsTheTimeOfTheRequest(t *testing.T) {
	r, err := Parse([]byte(`{"startedDateTime":"2024-05-01T12:00:00.5+02:00","request":{"method":"POST","url":"https://h/"}}`))
	if err != nil || r.Received.UnixMilli() != 1714557600500 {
		t.Errorf("got %s, %v", r.Received, err)
	}
}

// FuzzParse checks that any record is parsed or rejected with an error.
func FuzzParse(f *testing.F) {
	f.Add([]byte("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"))
	f.Add([]byte(`{"log":{"entries":[{"request":{"method":"POST","url":"https://a/2","postData":{"text":"Ym9keQ==","encoding":"base64"}}}]}}`))
	f.Add([]byte("curl 'https://h/?a=1' -H 'A: b' --data-raw $'{\\'a\\u0021'"))
	f.Fuzz(func(t *testing.T, record []byte) {
		if strings.Contains(string(record), "@") {
			return // reads files
		}
		r, err := Parse(record)
		if err == nil && (r == nil || r.Header == nil) {
			t.Errorf("no request and no error")
		}
	})
}
