package diagnose

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"net/url"
	"strings"
	"unicode/utf8"
)

const (
	rawBody  = "verify before anything changes the body, and record it unchanged: "
	maxVary  = 1 << 20 // larger bodies are not re-encoded
	maxPlain = 64 << 20
)

// bodyChanges are the ways in which a component between provider and handler
// changes a body. Each restores the signed body from the received one.
func bodyChanges(start variant) []change {
	body := start.body
	var changes []change
	add := func(kind string, signed []byte, cause, fix string) {
		if signed == nil || bytes.Equal(signed, body) {
			return
		}
		changes = append(changes, change{
			Finding{Kind: kind, Cause: cause, Change: fix},
			func(v variant) variant { v.body = signed; return v },
		})
	}
	lineBreaks(body, add)
	encodings(body, add)
	forms(body, add)
	if len(body) > maxVary {
		return changes
	}
	pretty := isIndented(body)
	for _, w := range serializations(body) {
		if pretty && !isIndented(w.text) {
			add("body_reformatted", w.text, "the secret is right, but the body was reformatted: it is pretty-printed, as a provider's page or a tool shows it. What was signed: "+w.how, reformattedFix)
			continue
		}
		add("json_rewritten", w.text, "the secret is right, but the body is JSON that was parsed and re-encoded in transit. What was signed: "+w.how,
			rawBody+"remove what parses JSON (an API gateway's mapping, a body parser, a tunnel's replay function)")
	}
	payloads(body, add)
	return changes
}

const reformattedFix = "nothing, if the record was copied from a page: use the body as it was sent (\"raw\"). If the request arrives like this, remove what parses JSON in transit (an API gateway's mapping, a body parser, a tunnel's replay function)"

// payloads are the forms around a document of which pages show only the document:
// GitHub's "payload=…".
func payloads(body []byte, add addChange) {
	document, err := parseJSON(body)
	if err != nil {
		return
	}
	for _, escape := range jsonEscapes {
		w := jsonWriter{style: jsonStyles[0], escape: escape}
		w.write(document, 0)
		add("body_reformatted", []byte("payload="+url.QueryEscape(w.out.String())), "the secret is right, but the body was reformatted: it was sent as a form, payload=…, and the record has the JSON in it", reformattedFix)
	}
}

type addChange func(kind string, signed []byte, cause, fix string)

func lineBreaks(body []byte, add addChange) {
	lf := bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))
	const file = rawBody + "an editor, Git (autocrlf) or the clipboard changes line breaks"
	add("crlf", lf, "line feeds (LF) in the body were changed to CRLF", file)
	add("crlf", bytes.ReplaceAll(lf, []byte("\n"), []byte("\r\n")), "CRLF in the body was changed to LF", file)
	add("body_end", bytes.TrimRight(body, "\r\n"), "the body has a line break at its end that was not signed", file)
	add("body_end", append(bytes.Clone(body), '\n'), "the line break at the end of the body is missing", file+"; or curl's -d removed it: use --data-binary")
	add("body_end", append(bytes.Clone(body), "\r\n"...), "the line break at the end of the body is missing", file)
	add("body_end", bytes.TrimSpace(body), "the body has white space around it that was not signed", file)
	bom := []byte("\xef\xbb\xbf")
	add("byte_order_mark", bytes.TrimPrefix(body, bom), "the body has a byte order mark that was not signed", file)
	add("byte_order_mark", append(bytes.Clone(bom), body...), "the byte order mark of the body is missing", file)
	add("body_empty", []byte{}, "the signed body is empty: the provider sent none", rawBody+"a body was added in transit")
}

func encodings(body []byte, add addChange) {
	if decoded, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(body))); err == nil && len(decoded) > 0 {
		add("body_base64", decoded, "the body is base64: it was encoded in transit (as by API Gateway with Lambda: isBase64Encoded)", "decode it before it reaches the handler")
	}
	if plain := gunzip(body); plain != nil {
		add("body_compressed", plain, "the body is compressed, but was signed before compression", "the sender must sign what it sends; if a proxy compresses, turn that off for requests")
	}
	if utf8.Valid(body) {
		add("charset", latin1(body), "the body was converted from ISO 8859-1 to UTF-8 in transit", rawBody+"a component converts the charset")
	} else {
		add("charset", fromLatin1(body), "the body was converted from UTF-8 to ISO 8859-1 in transit", rawBody+"a component converts the charset")
	}
	if text := string(body); strings.HasPrefix(text, `"`) && strings.HasSuffix(strings.TrimSpace(text), `"`) {
		add("json_string", []byte(unescaped(strings.Trim(strings.TrimSpace(text), `"`))), "the body was encoded as a JSON string", rawBody+"a component encodes it a second time")
	}
}

func gunzip(body []byte) []byte {
	zr, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil
	}
	plain, err := io.ReadAll(io.LimitReader(zr, maxPlain))
	if err != nil {
		return nil
	}
	return plain
}

// latin1 returns nil if the text does not fit into ISO 8859-1, or is ASCII.
func latin1(body []byte) []byte {
	out := make([]byte, 0, len(body))
	for _, c := range string(body) {
		if c > 0xff {
			return nil
		}
		out = append(out, byte(c))
	}
	return out
}

func fromLatin1(body []byte) []byte {
	var out strings.Builder
	for _, b := range body {
		out.WriteRune(rune(b))
	}
	return []byte(out.String())
}

// forms are the ways in which application/x-www-form-urlencoded is changed. The
// most common case is GitHub's "payload=…", which is signed as sent.
func forms(body []byte, add addChange) {
	text := string(body)
	const fix = rawBody + "remove what parses forms; or choose JSON as content type at the provider"
	const decodedCause = "the body was a form and was decoded in transit"
	for _, name := range []string{"payload", "data", "body", "event"} {
		add("form_decoded", []byte(name+"="+url.QueryEscape(text)), decodedCause+": it was signed as "+name+"=…, percent-encoded", fix)
	}
	if decoded, err := url.QueryUnescape(text); err == nil {
		add("form_encoded", []byte(decoded), "the body was percent-encoded in transit", fix)
	}
	if !strings.Contains(text, "=") || strings.HasPrefix(strings.TrimSpace(text), "{") {
		return
	}
	const again = decodedCause + ", or re-encoded"
	add("form_decoded", []byte(eachFormPart(text, url.QueryEscape)), decodedCause, fix)
	add("form_decoded", []byte(eachFormPart(text, escapePath)), again, fix)
	recoded := func(part string) string { return url.QueryEscape(decodeForm(part)) }
	add("form_decoded", []byte(eachFormPart(text, recoded)), again, fix)
	recodedPath := func(part string) string { return escapePath(decodeForm(part)) }
	add("form_decoded", []byte(eachFormPart(text, recodedPath)), again, fix)
}

// eachFormPart changes names and values of a form.
func eachFormPart(form string, change func(string) string) string {
	parts := strings.Split(form, "&")
	for i, part := range parts {
		name, value, _ := strings.Cut(part, "=")
		parts[i] = change(name) + "=" + change(value)
	}
	return strings.Join(parts, "&")
}

func decodeForm(text string) string {
	if decoded, err := url.QueryUnescape(text); err == nil {
		return decoded
	}
	return text
}

func escapePath(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}
