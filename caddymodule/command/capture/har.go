package capture

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// harEntry is the part of a HAR entry that matters here.
type harEntry struct {
	Started string      `json:"startedDateTime"`
	Request *harRequest `json:"request"`
}

type harRequest struct {
	Method  string    `json:"method"`
	URL     string    `json:"url"`
	Headers []harPair `json:"headers"`
	Post    *struct {
		Text     string    `json:"text"`
		Encoding string    `json:"encoding"`
		Params   []harPair `json:"params"`
	} `json:"postData"`
}

type harPair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// parseHAR reads a HAR file, of which the last POST counts, or one of its
// entries.
func parseHAR(raw []byte) (*Request, error) {
	var file struct {
		harEntry
		Log struct {
			Entries []harEntry `json:"entries"`
		} `json:"log"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		return nil, errors.New("the record starts like a HAR entry, but is not JSON: use raw HTTP, with request line and headers before the body, or a whole HAR file")
	}
	entry := file.harEntry
	for _, e := range file.Log.Entries {
		if e.Request != nil && (entry.Request == nil || e.Request.Method == http.MethodPost) {
			entry = e
		}
	}
	if entry.Request == nil {
		return nil, errors.New("the record is JSON without a `request`, so it is not HAR but may be a body: add the request line and the headers, or use a HAR file or one of its entries")
	}
	return entry.read()
}

func (e *harEntry) read() (*Request, error) {
	u, err := url.Parse(e.Request.URL)
	if err != nil {
		return nil, errors.New("the `url` of the HAR entry cannot be parsed")
	}
	r := &Request{Method: e.Request.Method, Scheme: u.Scheme, Host: u.Host, RequestURI: u.RequestURI(), Header: make(http.Header)}
	r.Received, _ = time.Parse(time.RFC3339Nano, e.Started) // the zero time if unknown
	for _, h := range e.Request.Headers {
		switch {
		case strings.HasPrefix(h.Name, ":"): // of HTTP/2
		case strings.EqualFold(h.Name, "Host"):
			r.Host = h.Value
		default:
			r.Header.Add(h.Name, h.Value)
		}
	}
	return r, e.readBody(r)
}

func (e *harEntry) readBody(r *Request) error {
	post := e.Request.Post
	if post == nil {
		return nil
	}
	if post.Encoding == "base64" {
		body, err := base64.StdEncoding.DecodeString(post.Text)
		r.Body = body
		return err
	}
	r.Body = []byte(post.Text)
	if post.Text == "" && len(post.Params) > 0 {
		form := make([]string, 0, len(post.Params))
		for _, p := range post.Params {
			form = append(form, url.QueryEscape(p.Name)+"="+url.QueryEscape(p.Value))
		}
		r.Body = []byte(strings.Join(form, "&"))
		r.Notes = append(r.Notes, "the HAR entry has the form's fields, not its bytes: the form was re-encoded")
	}
	if length := r.Header.Get("Content-Length"); length != "" && length != strconv.Itoa(len(r.Body)) {
		r.Notes = append(r.Notes, fmt.Sprintf("the HAR entry's body has %d bytes, but its Content-Length is %s: it differs from the original request", len(r.Body), length))
	}
	return nil
}
