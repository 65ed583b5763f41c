package inspector

import (
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/internal/shellquote"
)

// textFile is a response that is not JSON.
type textFile struct{ name, text string }

func headerNames(h http.Header) iter.Seq[string] { return maps.Keys(h) }

// connectionHeaders are headers that a client sets automatically.
var connectionHeaders = []string{"Content-Length", "Connection", "Accept-Encoding", "Transfer-Encoding", "Host"}

// serveCurl returns a delivery as a curl command, without credentials and with
// masked signatures.
func serveCurl(r *http.Request) (any, error) {
	one, err := numbered(r.URL.Query().Get("number"))
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	target := one.o.Scheme + "://" + one.o.Host + one.shownURI()
	fmt.Fprintf(&b, "curl -X %s%s %s", shellquote.QuoteHostile(one.o.Method), shellquote.CurlFlags(target), shellquote.QuoteHostile(target))
	for name, value := range one.sentHeaders() {
		fmt.Fprintf(&b, " \\\n  -H %s", shellquote.QuoteHostile(name+": "+value))
	}
	if body, note := one.shownBody(); body != "" {
		fmt.Fprintf(&b, " \\\n  --data-raw %s", shellquote.QuoteHostile(body))
	} else if note != "" && one.o.Size != 0 {
		fmt.Fprintf(&b, "\n# body: %s", note)
	}
	return textFile{text: b.String() + "\n"}, nil
}

// sentHeaders are the headers as shown, without those that a client sets automatically.
func (r *record) sentHeaders() iter.Seq2[string, string] {
	shown := r.shownHeader()
	return func(yield func(string, string) bool) {
		for _, name := range slices.Sorted(maps.Keys(shown)) {
			if slices.Contains(connectionHeaders, name) {
				continue
			}
			for _, value := range shown[name] {
				if !yield(name, value) {
					return
				}
			}
		}
	}
}

// serveHTTPFile returns a delivery as the text of an HTTP request.
func serveHTTPFile(r *http.Request) (any, error) {
	one, err := numbered(r.URL.Query().Get("number"))
	if err != nil {
		return nil, err
	}
	line := func(text string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(text) }
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", line(one.o.Method), line(one.shownURI()), line(one.o.Host))
	for name, value := range one.sentHeaders() {
		fmt.Fprintf(&b, "%s: %s\r\n", line(name), line(value))
	}
	body, _ := one.shownBody()
	b.WriteString("\r\n" + body)
	return textFile{name: fmt.Sprintf("delivery-%d.http", one.number), text: b.String()}, nil
}
