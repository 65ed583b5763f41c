package provider

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"regexp"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

var dropboxSignMembers, _ = signature.NewJSONPaths([]string{"event.event_hash", "event.event_time", "event.event_type"})

var eventWord = regexp.MustCompile(`^[a-z][a-z_]*$`)

// dropboxSignValues reads the part `json` of the form: the event holds its own
// signature, over its time and type.
// https://developers.hellosign.com/docs/events/walkthrough/
func dropboxSignValues(_ *Module, r *signature.Request) ([]map[string]string, error) {
	document, err := multipartField(r, "json")
	if err != nil {
		return nil, err
	}
	found, err := dropboxSignMembers.Find(signature.BytesBody(document))
	if err != nil {
		return nil, err
	}
	// Without anything between them, the time must be known by its length.
	if len(found[1]) != 10 || !decimal(found[1]) || !eventWord.MatchString(found[2]) {
		return nil, signature.Refuse(signature.Malformed, "the event has no time of ten digits, or no type that is a word")
	}
	return []map[string]string{{"hash": found[0], "time": found[1], "type": found[2], "document": string(document)}}, nil
}

const (
	// maxParts bounds the parts of a body; each costs more than a kilobyte.
	// Dropbox Sign sends one.
	maxParts = 32
	// maxPartHeader bounds the header of a part in bytes.
	maxPartHeader = 2 << 10
)

// checkParts bounds what multipart.Reader takes for the parts of a body and
// their headers, which is many times their size.
func checkParts(body []byte, boundary string) error {
	line := []byte("--" + boundary)
	for n := 0; ; n++ {
		_, rest, found := bytes.Cut(body, line)
		if !found {
			return nil
		}
		header := rest[:min(len(rest), maxPartHeader)]
		if n == maxParts || len(rest) > maxPartHeader && !bytes.Contains(header, []byte("\n\r\n")) && !bytes.Contains(header, []byte("\n\n")) {
			return signature.Refuse(signature.Malformed, "the body has more than %d parts, or one with a header of more than %d bytes", maxParts, maxPartHeader)
		}
		body = rest
	}
}

// multipartField returns a part of a multipart/form-data body, which must come
// exactly once.
func multipartField(r *signature.Request, name string) ([]byte, error) {
	declared := r.Header.Get("Content-Type")
	if len(declared) > signature.MaxContentType {
		return nil, signature.Refuse(signature.Malformed, "the Content-Type has more than %d bytes", signature.MaxContentType)
	}
	kind, params, err := mime.ParseMediaType(declared)
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return nil, signature.Refuse(signature.Malformed, "the body is not multipart/form-data")
	}
	body, err := wholeBody(r)
	if err != nil {
		return nil, err
	}
	var found []byte
	if err := checkParts(body, params["boundary"]); err != nil {
		return nil, err
	}
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) && found != nil {
			return found, nil
		}
		if err != nil {
			return nil, signature.Refuse(signature.Malformed, "the body has no part %s", name)
		}
		if part.FormName() != name {
			continue
		}
		if found != nil || strings.EqualFold(part.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
			return nil, signature.Refuse(signature.Malformed, "the part %s comes twice, or encoded", name)
		}
		content := bytes.NewBuffer(make([]byte, 0, len(body)+bytes.MinRead))
		if _, err := content.ReadFrom(part); err != nil {
			return nil, signature.Refuse(signature.Malformed, "the part %s is cut off", name)
		}
		found = content.Bytes()
	}
}
