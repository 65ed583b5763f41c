package signature

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/textproto"
	"slices"
	"strings"
)

// The sender is unknown while a body is parsed, so everything here is limited: only
// the wanted fields of a body are kept, and each part costs no more than a header.
const (
	// maxParts limits the parts of a body, like maxFields the fields of a form:
	// Mailgun sends every header of a mail as a part.
	maxParts = maxFields
	// maxPartHeader limits the header of a part in bytes, and each of its lines.
	// A file name can be long.
	maxPartHeader = 8 << 10
	// maxPartValue limits a wanted field in bytes.
	maxPartValue = 1 << 10
	// maxPartHeaders limits the headers of all parts in bytes, maxPartLines the lines
	// of each and maxPartParameters the parameters of a part's name: each costs as much
	// as hundreds of bytes of content.
	maxPartHeaders    = 256 << 10
	maxPartLines      = 16
	maxPartParameters = 5
)

// MultipartFields returns the values of these fields of a multipart/form-data body,
// empty if absent. Each must be unique and plain: not a file, not encoded, and not
// under another name that some parsers treat as the same. The body is read once and
// not kept.
func MultipartFields(r *Request, names ...string) (map[string]string, error) {
	boundary, err := multipartBoundary(r)
	if err != nil {
		return nil, err
	}
	src := r.Body.Open()
	defer src.Close()
	reader := &multipartReader{in: bufio.NewReaderSize(src, maxPartHeader), delimiter: []byte("--" + boundary)}
	if err := reader.start(); err != nil {
		return nil, err
	}
	fields := make(map[string]string)
	for parts := 0; !reader.ended; parts++ {
		if parts == maxParts {
			return nil, Refuse(Malformed, "the body has more than %d parts", maxParts)
		}
		name, wanted, err := reader.header(names)
		if err != nil {
			return nil, err
		}
		if _, known := fields[name]; wanted && known {
			return nil, Refuse(Malformed, "duplicate part: %s", name)
		}
		value, err := reader.content(wanted)
		if err != nil {
			return nil, err
		}
		if wanted {
			fields[name] = value
		}
	}
	return fields, reader.finish()
}

// IsMultipart reports whether the body is declared to be multipart/form-data.
func IsMultipart(r *Request) bool { return mediaType(r) == multipartForm }

const multipartForm = "multipart/form-data"

// maxBoundary is the longest boundary that RFC 2046 allows.
const maxBoundary = 70

func multipartBoundary(r *Request) (string, error) {
	if !IsMultipart(r) {
		return "", Refuse(Malformed, "the body is not multipart/form-data")
	}
	_, params, err := mime.ParseMediaType(r.Header["Content-Type"][0])
	boundary := params["boundary"]
	if err != nil || boundary == "" || len(boundary) > maxBoundary || strings.ContainsAny(boundary, "\r\n") || strings.HasSuffix(boundary, " ") {
		return "", Refuse(Malformed, "the Content-Type has no boundary of at most %d bytes", maxBoundary)
	}
	return boundary, nil
}

// multipartReader reads a body line by line. A delimiter begins a line, and the
// line break before it, which is CR LF, belongs to it.
type multipartReader struct {
	in        *bufio.Reader
	delimiter []byte
	headers   int  // bytes of all headers
	ended     bool // the last delimiter was the closing one
}

var crlf = []byte("\r\n")

var errCutOff = Refuse(Malformed, "the body ends before its last boundary")

// line returns the next line with its line break, or as much of it as fits into the
// buffer; whole reports whether it is complete.
func (m *multipartReader) line() (text []byte, whole bool, err error) {
	text, err = m.in.ReadSlice('\n')
	switch {
	case err == nil:
		return text, true, nil
	case errors.Is(err, bufio.ErrBufferFull):
		return text, false, nil
	case errors.Is(err, io.EOF) && len(text) > 0:
		return text, true, nil
	case errors.Is(err, io.EOF):
		return nil, false, errCutOff
	}
	return nil, false, fmt.Errorf("rereading body: %w", err)
}

// isDelimiter reports whether a line is a delimiter, and whether it is the
// closing one. White space may follow it.
func (m *multipartReader) isDelimiter(line []byte) (is, closing bool) {
	rest, found := bytes.CutPrefix(line, m.delimiter)
	if !found {
		return false, false
	}
	rest, closing = bytes.CutPrefix(rest, []byte("--"))
	return len(bytes.Trim(rest, " \t\r\n")) == 0, closing
}

// start reads the first delimiter, which must be at the start.
func (m *multipartReader) start() error {
	line, whole, err := m.line()
	if err != nil {
		return err
	}
	is, closing := m.isDelimiter(line)
	if !whole || !is || closing || !bytes.HasSuffix(line, crlf) {
		return Refuse(Malformed, "the body does not start with its boundary")
	}
	return nil
}

// header reads the header of a part and returns its name, if it is a wanted one.
func (m *multipartReader) header(names []string) (name string, wanted bool, err error) {
	var disposition, encoding string
	for total, lines := 0, 0; ; lines++ {
		line, whole, err := m.line()
		if err != nil {
			return "", false, err
		}
		m.headers += len(line)
		switch total += len(line); {
		case total > maxPartHeader || !whole:
			return "", false, Refuse(Malformed, "a part has a header longer than %d bytes", maxPartHeader)
		case m.headers > maxPartHeaders:
			return "", false, Refuse(Malformed, "the headers of all parts are longer than %d bytes", maxPartHeaders)
		case lines > maxPartLines:
			return "", false, Refuse(Malformed, "a part has a header of more than %d lines", maxPartLines)
		}
		text, found := strings.CutSuffix(string(line), "\r\n")
		if !found || strings.Contains(text, "\r") {
			return "", false, Refuse(Malformed, "a part has a header whose lines do not end in CR LF")
		}
		if text == "" {
			break
		}
		field, value, found := strings.Cut(text, ":")
		if !found || !isToken(field) {
			return "", false, Refuse(Malformed, "a part has a header that is not a list of names and values")
		}
		switch textproto.CanonicalMIMEHeaderKey(field) {
		case "Content-Disposition":
			if disposition != "" {
				return "", false, Refuse(Malformed, "a part has two names")
			}
			disposition = value
		case "Content-Transfer-Encoding":
			encoding = strings.ToLower(strings.TrimSpace(value))
		}
	}
	return wantedPart(names, disposition, encoding)
}

// wantedPart returns the wanted name of a part, and whether it has one.
func wantedPart(names []string, disposition, encoding string) (string, bool, error) {
	if parameters(disposition) > maxPartParameters {
		return "", false, Refuse(Malformed, "the name of a part has more than %d parameters", maxPartParameters)
	}
	kind, params, err := mime.ParseMediaType(disposition)
	if err != nil || kind != "form-data" {
		return "", false, Refuse(Malformed, "a part has no name")
	}
	name := params["name"]
	for _, other := range names {
		if name != other && SameToSomeParser(name, other) {
			return "", false, Refuse(Malformed, "a second part could be read instead of %s", other)
		}
	}
	if !slices.Contains(names, name) {
		return name, false, nil
	}
	if _, file := params["filename"]; file || (encoding != "" && encoding != "7bit" && encoding != "8bit" && encoding != "binary") {
		return "", false, Refuse(Malformed, "the part %s is a file, or encoded", name)
	}
	return name, true, nil
}

// parameters returns the number of semicolons outside quotes.
func parameters(disposition string) (n int) {
	quoted := false
	for i := 0; i < len(disposition); i++ {
		switch c := disposition[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++ // the next one is escaped
		case c == ';' && !quoted:
			n++
		}
	}
	return n
}

// content reads a part up to the next delimiter, and returns it if it is wanted.
func (m *multipartReader) content(wanted bool) (string, error) {
	var value []byte
	for begins := true; ; {
		line, whole, err := m.line()
		if err != nil {
			return "", err
		}
		if is, closing := m.isDelimiter(line); begins && whole && is {
			m.ended = closing
			return string(bytes.TrimSuffix(value, crlf)), nil
		}
		if wanted {
			if len(value)+len(line) > maxPartValue {
				return "", Refuse(Malformed, "a signed part is longer than %d bytes", maxPartValue)
			}
			value = append(value, line...)
		}
		begins = whole && bytes.HasSuffix(line, crlf)
	}
}

// finish refuses data after the closing delimiter: a parser that does not stop there
// would read more parts.
func (m *multipartReader) finish() error {
	for {
		line, _, err := m.line()
		if errors.Is(err, errCutOff) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(bytes.Trim(line, " \t\r\n")) > 0 {
			return Refuse(Malformed, "the body continues after its last boundary")
		}
	}
}
