package capture

import (
	"errors"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"strings"
)

// pageLine is a line of a request on a provider's page: a label or a header, and
// its value.
var pageLine = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9 _-]{0,80}):(?:\s+(.*))?$`)

// isPage reports whether a record has headers, but no request line.
func isPage(start []byte) bool {
	first, _, _ := strings.Cut(string(start), "\n")
	first = strings.TrimSpace(first)
	return pageHeading(first) || pageLine.MatchString(first)
}

// pageHeading reports whether a line is a heading of such a page.
func pageHeading(line string) bool {
	switch strings.ToLower(strings.TrimRight(line, ":")) {
	case "request", "headers", "request headers", "payload", "body", "request body":
		return true
	}
	return false
}

// parsePage reads text copied from a provider's page of recent deliveries, such as
// GitHub's: labels, headers and the body.
func parsePage(text string) (*Request, error) {
	r := &Request{Method: http.MethodPost, RequestURI: "/", Header: make(http.Header)}
	lines := strings.Split(text, "\n")
	i := 0
	for ; i < len(lines); i++ {
		line := strings.TrimRight(lines[i], "\r")
		if trimmed := strings.TrimSpace(line); trimmed == "" || pageHeading(trimmed) {
			continue
		}
		match := pageLine.FindStringSubmatch(line)
		if match == nil || strings.HasPrefix(line, "{") || strings.HasPrefix(line, "[") {
			break // the body begins
		}
		if err := r.addPageLine(match[1], strings.TrimSpace(match[2])); err != nil {
			return nil, err
		}
	}
	r.Body = []byte(strings.TrimRight(strings.Join(lines[i:], "\n"), "\r\n"))
	if len(r.Header) == 0 {
		return nil, errNoHTTP
	}
	r.Notes = append(r.Notes, "the record has no request line: it is read as a POST copied from a page, where bodies are often reformatted")
	return r, nil
}

var errNoHTTP = errors.New("the record is not HTTP: it must start with a line such as `POST /path HTTP/1.1`, followed by the headers, an empty line and the body")

func (r *Request) addPageLine(name, value string) error {
	switch strings.ToLower(name) {
	case "request url", "url":
		u, err := url.Parse(value)
		if err != nil {
			return errors.New("the URL of the record cannot be parsed")
		}
		r.Scheme, r.Host, r.RequestURI = u.Scheme, u.Host, u.RequestURI()
	case "request method", "method":
		r.Method = value
	case "host":
		r.Host = value
	default:
		if !strings.Contains(name, " ") {
			r.Header.Add(textproto.CanonicalMIMEHeaderKey(name), value)
		}
	}
	return nil
}
