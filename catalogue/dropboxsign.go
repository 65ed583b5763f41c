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

// dropboxSignNames are the members that are read.
var dropboxSignNames = knownNames(1, "event", "event_hash", "event_time", "event_type")

// checkDropboxSign refuses an event with duplicate signed members, of which the app could
// read another one than the signed one.
func checkDropboxSign(r *signature.Request) error {
	if err := checkNames([]byte(r.Values["document"]), dropboxSignNames); err != nil {
		return signature.Refuse(signature.Malformed, "%v", err)
	}
	return nil
}

const (
	// maxParts is the maximum number of parts in a body. Each needs more than a
	// kilobyte. Dropbox Sign sends one.
	maxParts = 32
	// maxPartHeader is the maximum length of a part's header, in bytes.
	maxPartHeader = 2 << 10
)

// checkParts limits the parts and their headers, because multipart.Reader needs many
// times their size. It refuses boundaries that some parsers find and others do not: in
// the middle of a line, after a bare LF, and after the last boundary.
func checkParts(body []byte, boundary string) error {
	line := []byte("--" + boundary)
	for n := 0; ; n++ {
		before, rest, found := bytes.Cut(body, line)
		switch {
		case !found && n > 0 && !bytes.Equal(bytes.TrimRight(body, "\r\n"), []byte("--")):
			return signature.Refuse(signature.Malformed, "the body does not end with its last boundary")
		case !found:
			return nil
		case n == 0 && len(before) > 0 && !bytes.Equal(before, crlf), n > 0 && (!bytes.HasPrefix(before, crlf) || !bytes.HasSuffix(before, crlf)):
			return signature.Refuse(signature.Malformed, "a boundary is not a line of its own")
		}
		header := rest[:min(len(rest), maxPartHeader)]
		if n == maxParts || len(rest) > maxPartHeader && !bytes.Contains(header, []byte("\n\r\n")) && !bytes.Contains(header, []byte("\n\n")) {
			return signature.Refuse(signature.Malformed, "the body has more than %d parts, or a part header longer than %d bytes", maxParts, maxPartHeader)
		}
		body = rest
	}
}

var crlf = []byte("\r\n")

// checkPart refuses a part that some parser could read as the one with this name, and
// the one with this name if some parser could read other content in it.
func checkPart(part *multipart.Part, name string) error {
	disposition := part.Header.Get("Content-Disposition")
	_, parameters, err := mime.ParseMediaType(disposition)
	named, file := 0, 0
	if _, ok := parameters["name"]; ok {
		named = 1
	}
	if _, ok := parameters["filename"]; ok {
		file = 1
	}
	found := part.FormName()
	switch {
	case err != nil, named == 0, len(parameters) != named+file, len(part.Header["Content-Disposition"]) > 1,
		strings.ContainsAny(disposition, "*\\\n"), strings.Count(strings.ToLower(disposition), "name") != named+file:
		return signature.Refuse(signature.Malformed, "the name of a part can be read in several ways")
	case found != name && (signature.SameToSomeParser(found, name) || signature.SameToSomeParser(found, "_charset_")):
		return signature.Refuse(signature.Malformed, "a second part could be read instead of %s, or changes it", name)
	case found != name:
		return nil
	case file > 0, !plainPart(part):
		return signature.Refuse(signature.Malformed, "the part %s is a file, or encoded", name)
	}
	return nil
}

// plainPart reports whether the content of a part is sent as it is, in a superset of ASCII.
func plainPart(part *multipart.Part) bool {
	switch strings.ToLower(strings.Join(part.Header["Content-Transfer-Encoding"], ",")) {
	case "", "7bit", "8bit", "binary":
	default:
		return false
	}
	if len(part.Header["Content-Type"]) == 0 {
		return true
	}
	_, parameters, err := mime.ParseMediaType(strings.Join(part.Header["Content-Type"], ","))
	switch strings.ToLower(parameters["charset"]) {
	case "", "utf-8", "us-ascii", "iso-8859-1":
		return err == nil
	}
	return false
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
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) && found != nil {
			return found, nil
		}
		if err != nil {
			return nil, signature.Refuse(signature.Malformed, "missing part in the body: %s", name)
		}
		if err := checkPart(part, name); err != nil {
			return nil, err
		}
		if part.FormName() != name {
			continue
		}
		if found != nil {
			return nil, signature.Refuse(signature.Malformed, "duplicate part: %s", name)
		}
		content := bytes.NewBuffer(make([]byte, 0, len(body)+bytes.MinRead))
		if _, err := content.ReadFrom(part); err != nil {
			return nil, signature.Refuse(signature.Malformed, "truncated part: %s", name)
		}
		found = content.Bytes()
	}
}
