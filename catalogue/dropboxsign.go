package catalogue

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"regexp"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

var dropboxSignMembers, _ = signature.NewJSONPaths([]string{"event.event_hash", "event.event_time", "event.event_type"})

var eventWord = regexp.MustCompile(`^[a-z][a-z_]*$`)

// dropboxSignValues reads the part `json` of the form. The event contains its own
// signature, over its time and type.
// https://developers.hellosign.com/docs/events/walkthrough/
func dropboxSignValues(_ *provider.Module, r *signature.Request) ([]map[string]string, error) {
	document, err := multipartField(r, "json")
	if err != nil {
		return nil, err
	}
	found, err := dropboxSignMembers.Find(signature.BytesBody(document))
	if err != nil {
		return nil, err
	}
	// There is no separator, so the time must have a fixed length.
	if len(found[1]) != 10 || !decimal(found[1]) || !eventWord.MatchString(found[2]) {
		return nil, signature.Refuse(signature.Malformed, "invalid event: the time must have ten digits and the type must be a word")
	}
	return []map[string]string{{"hash": found[0], "time": found[1], "type": found[2], "document": string(document)}}, nil
}

const (
	// maxParts is the maximum number of parts in a body. Each needs more than a
	// kilobyte. Dropbox Sign sends one.
	maxParts = 32
	// maxPartHeader is the maximum length of a part's header, in bytes.
	maxPartHeader = 2 << 10
)

// checkParts limits the parts and their headers, because multipart.Reader needs many
// times their size.
func checkParts(body []byte, boundary string) error {
	line := []byte("--" + boundary)
	for n := 0; ; n++ {
		_, rest, found := bytes.Cut(body, line)
		if !found {
			return nil
		}
		header := rest[:min(len(rest), maxPartHeader)]
		if n == maxParts || len(rest) > maxPartHeader && !bytes.Contains(header, []byte("\n\r\n")) && !bytes.Contains(header, []byte("\n\n")) {
			return signature.Refuse(signature.Malformed, "the body has more than %d parts, or a part header longer than %d bytes", maxParts, maxPartHeader)
		}
		body = rest
	}
}

// multipartField returns a part of a multipart/form-data body. It must occur exactly
// once.
func multipartField(r *signature.Request, name string) ([]byte, error) {
	declared := r.Header.Get("Content-Type")
	if len(declared) > signature.MaxContentType {
		return nil, signature.Refuse(signature.Malformed, "the Content-Type is longer than %d bytes", signature.MaxContentType)
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
			return nil, signature.Refuse(signature.Malformed, "missing part in the body: %s", name)
		}
		if part.FormName() != name {
			continue
		}
		if found != nil || strings.EqualFold(part.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
			return nil, signature.Refuse(signature.Malformed, "duplicate or encoded part: %s", name)
		}
		content := bytes.NewBuffer(make([]byte, 0, len(body)+bytes.MinRead))
		if _, err := content.ReadFrom(part); err != nil {
			return nil, signature.Refuse(signature.Malformed, "truncated part: %s", name)
		}
		found = content.Bytes()
	}
}
