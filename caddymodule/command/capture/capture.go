// Package capture reads recorded requests: as raw HTTP, as
// an entry of a HAR file, or as a curl command line.
package capture

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Request is a recorded request, as its sender sent it.
type Request struct {
	Method string
	// Scheme is http or https, empty if the record does not contain it.
	Scheme string
	Host   string
	// RequestURI is path and query as written.
	RequestURI string
	Header     http.Header
	Body       []byte
	// Received is when the request came, the zero time if unknown.
	Received time.Time
	// Notes list differences between the record and the original request.
	Notes []string
}

// Parse reads a record in any of the supported formats.
func Parse(raw []byte) (*Request, error) {
	start := bytes.TrimSpace(raw)
	switch {
	case len(start) == 0:
		return nil, errors.New("the record is empty")
	case start[0] == '{':
		return parseHAR(start)
	case bytes.HasPrefix(start, []byte("curl ")), bytes.HasPrefix(start, []byte("curl.exe ")), bytes.HasPrefix(start, []byte("$ curl ")):
		return parseCurl(strings.TrimPrefix(string(start), "$ "))
	case bytes.HasPrefix(start, []byte("Invoke-WebRequest")), bytes.HasPrefix(start, []byte("$session")):
		return nil, errors.New("the record is for PowerShell: copy the request as \"cURL (bash)\" or as HAR instead")
	case isPage(start):
		return parsePage(string(start))
	}
	return parseHTTP(raw)
}

// parseHTTP reads a request in wire format. Header lines may end in LF; everything
// after the empty line is the body.
func parseHTTP(raw []byte) (*Request, error) {
	head, body := splitHead(raw)
	r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(bytes.NewReader(head), strings.NewReader("\r\n\r\n"))))
	if err != nil {
		return nil, errNoHTTP
	}
	out := &Request{Method: r.Method, Host: r.Host, RequestURI: r.RequestURI, Header: r.Header, Body: body}
	if i := strings.Index(out.RequestURI, "://"); i > 0 { // as in requests to proxies
		out.Scheme, out.RequestURI = out.RequestURI[:i], r.URL.RequestURI()
	}
	if len(r.TransferEncoding) > 0 {
		out.unchunk(raw)
		return out, nil
	}
	out.checkLength(r.ContentLength)
	return out, nil
}

func splitHead(raw []byte) (head, body []byte) {
	raw = bytes.TrimLeft(raw, "\r\n")
	crlf, lf := bytes.Index(raw, []byte("\r\n\r\n")), bytes.Index(raw, []byte("\n\n"))
	switch {
	case crlf >= 0 && (lf < 0 || crlf < lf):
		return raw[:crlf], raw[crlf+4:]
	case lf >= 0:
		return raw[:lf], raw[lf+2:]
	}
	return bytes.TrimRight(raw, "\r\n"), nil
}

// unchunk removes the framing of a chunked body, unless it was removed when the
// request was recorded.
func (r *Request) unchunk(raw []byte) {
	whole, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(bytes.TrimLeft(raw, "\r\n"))))
	if err != nil {
		return
	}
	if body, err := io.ReadAll(whole.Body); err == nil {
		r.Body = body
	}
}

// checkLength removes a line break that an editor has added after the body.
func (r *Request) checkLength(declared int64) {
	if r.Header.Get("Content-Length") == "" || declared == int64(len(r.Body)) {
		return
	}
	extra := int64(len(r.Body)) - declared
	if extra > 0 && strings.Trim(string(r.Body[declared:]), "\r\n") == "" {
		r.Body = r.Body[:declared]
		r.Notes = append(r.Notes, "the record has a line break after the body that was not part of the request (Content-Length); it was removed")
		return
	}
	r.Notes = append(r.Notes, fmt.Sprintf("the record's body has %d bytes, but its Content-Length is %s: it differs from the original request", len(r.Body), strconv.FormatInt(declared, 10)))
}
