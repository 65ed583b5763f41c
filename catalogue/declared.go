package catalogue

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// checkDeclared refuses a JSON document that is declared to be a form. It is for
// providers that sign both with one key: a member with text that a customer has entered
// can be a whole form, such as &command=x&, which an app for their forms would read.
func checkDeclared(r *signature.Request) error {
	if !declaredForm(r) {
		return nil
	}
	body := r.Body.Open()
	defer body.Close()
	first, err := firstCharacter(bufio.NewReader(body))
	if err == nil && (first == '{' || first == '[') {
		return signature.Refuse(signature.Malformed, "the Content-Type is that of a form, but the body is JSON")
	}
	return err
}

// firstCharacter returns the first byte that is not white space, 0 if there is none.
func firstCharacter(r io.ByteReader) (byte, error) {
	for {
		switch c, err := r.ReadByte(); {
		case errors.Is(err, io.EOF):
			return 0, nil
		case err != nil:
			return 0, fmt.Errorf("rereading body: %w", err)
		case strings.IndexByte(" \t\r\n", c) < 0:
			return c, nil
		}
	}
}

// declaredForm reports whether an app could take the body for a form because of its
// Content-Type. Many parsers ignore what follows the media type.
func declaredForm(r *signature.Request) bool {
	for _, value := range r.Header["Content-Type"] {
		kind := strings.ToLower(strings.TrimSpace(value))
		if strings.HasPrefix(kind, "application/x-www-form-urlencoded") || strings.HasPrefix(kind, "multipart/") {
			return true
		}
	}
	return false
}

// checkAdyen refuses an item in a form that apps do not read as this form, and an item in
// JSON that is declared to be a form: an item can be sent in both with one signature.
func checkAdyen(r *signature.Request) error {
	form, err := r.HasForm()
	switch {
	case err != nil:
		return err
	case form:
		return signature.CheckSignedForm(r)
	}
	return checkDeclared(r)
}
