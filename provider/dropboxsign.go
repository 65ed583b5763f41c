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

// multipartField returns a part of a multipart/form-data body, which must come
// exactly once.
func multipartField(r *signature.Request, name string) ([]byte, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return nil, signature.Refuse(signature.Malformed, "the body is not multipart/form-data")
	}
	body, err := wholeBody(r)
	if err != nil {
		return nil, err
	}
	var found []byte
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
		if found, err = io.ReadAll(part); err != nil {
			return nil, signature.Refuse(signature.Malformed, "the part %s is cut off", name)
		}
	}
}
