package caddymodule

import (
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// checkAppReads refuses a verified delivery that an app could take for another one,
// because of what the signature does not cover: the method, and the headers that describe
// the body.
func checkAppReads(d *delivery) error {
	if err := checkMethod(d); err != nil {
		return err
	}
	return checkBodyHeaders(&d.signed)
}

// checkBodyHeaders refuses duplicate headers that describe the body, of which parsers
// use the first or the last, and a character set in which the body is another text: in
// UTF-7, text that a customer has entered can contain quotation marks and end the string
// that it is in.
func checkBodyHeaders(r *signature.Request) error {
	for _, name := range []string{"Content-Type", "Content-Encoding"} {
		if len(r.Header[name]) > 1 {
			return &refusal{outcome: Malformed, reason: "duplicate header: " + name}
		}
	}
	for _, value := range r.Header["Content-Type"] {
		if !plainCharset(value) {
			return &refusal{outcome: Malformed, reason: "the Content-Type has a charset in which apps could read another body: send UTF-8, ISO 8859, Windows-125x, KOI8 or EUC"}
		}
	}
	return nil
}

// plainCharset reports whether a Content-Type has no charset, or one in which ASCII
// characters are their own bytes, and no other characters contain these bytes. Parsers
// differ in how they find the parameter, so every place where one could is checked.
func plainCharset(contentType string) bool {
	const parameter = "charset"
	rest := strings.ToLower(contentType)
	for {
		_, after, found := strings.Cut(rest, parameter)
		if !found {
			return true
		}
		rest = after
		value := strings.TrimLeft(after, " \t")
		if strings.HasPrefix(value, "*") {
			return false // RFC 2231: encoded, or in several pieces
		}
		value, assigned := strings.CutPrefix(value, "=")
		if !assigned {
			continue // a part of another word
		}
		value = strings.TrimLeft(value, " \t\"'")
		if end := strings.IndexAny(value, "; \t\"',"); end >= 0 {
			value = value[:end]
		}
		if !asciiSuperset(value) {
			return false
		}
	}
}

func asciiSuperset(charset string) bool {
	switch charset {
	case "", "utf-8", "utf8", "us-ascii", "ascii", "koi8-r", "koi8-u", "latin1", "latin-1", "euc-jp", "euc-kr", "euc-tw", "euc-cn", "windows-874":
		return true
	}
	for _, family := range []string{"iso-8859-", "iso8859-", "iso_8859-", "windows-125", "cp125"} {
		if strings.HasPrefix(charset, family) {
			return true
		}
	}
	return false
}
