package provider

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Content says whether two different deliveries can have the same signed content.
type Content string

// The kinds of content.
const (
	// ContentUnique means that no two deliveries have the same content, because it
	// contains an ID, a time or a version. Equal content is the same delivery.
	ContentUnique Content = "unique"
	// ContentRepeats means that different deliveries can have equal content
	// ("something changed"). Equal content is the same delivery only if the delivery
	// ID is equal, too.
	ContentRepeats Content = "repeats"
)

// Distinction says how deliveries are distinguished, apart from a signed delivery ID.
type Distinction struct {
	// Whether two different deliveries can have the same content, which is
	// what the signature covers: `unique` or `repeats`. Default: `unique`.
	Content Content `json:"content,omitempty"`
	// Members of the signed content, or fields of a signed form, that mark
	// deliveries whose content can repeat, if the content of others is unique.
	// Default: none.
	RepeatsWhen []signature.Field `json:"repeats_when,omitempty"`
	// Members of the signed content, or fields of a signed form, that mark
	// deliveries whose content is unique, if the content of others can repeat.
	// Default: none.
	UniqueWhen []signature.Field `json:"unique_when,omitempty"`
	// Unsigned headers that distinguish deliveries with the same content, such
	// as the topic. A retry has the same values. Default: none.
	Varies []string `json:"varies,omitempty"`

	// Documents are the form fields, or the query parameters of a request without a
	// body, that contain the JSON document if the body does not.
	Documents []signature.Field `json:"-"`

	// members are RepeatsWhen or UniqueWhen, compiled, or nil.
	members *signature.Members
}

// compile prepares the distinction for use.
func (t *Distinction) compile() error {
	fields := t.RepeatsWhen
	if t.Content == ContentRepeats {
		fields = t.UniqueWhen
	}
	if len(fields) == 0 {
		return nil
	}
	var err error
	t.members, err = signature.NewMembers(fields)
	return err
}

// Varying returns a copy that adds unsigned headers to the content.
func (t Distinction) Varying(headers ...string) Distinction {
	t.Varies = headers
	return t
}

// DocumentIn returns a copy that also looks for the members of RepeatsWhen or
// UniqueWhen in these form fields, or query parameters of a request without a body.
func (t Distinction) DocumentIn(fields ...signature.Field) Distinction {
	t.Documents = fields
	return t
}

// check returns an error if the options contradict each other.
func (t *Distinction) check() error {
	switch {
	case t.Content != "" && t.Content != ContentUnique && t.Content != ContentRepeats:
		return fmt.Errorf("unrecognized content: %s; write unique or repeats", t.Content)
	case t.Content == ContentRepeats && len(t.RepeatsWhen) > 0:
		return errors.New("repeats_when requires content unique: remove repeats_when, or write content unique")
	case t.Content != ContentRepeats && len(t.UniqueWhen) > 0:
		return errors.New("unique_when requires content repeats: remove unique_when, or write content repeats")
	}
	for name, fields := range map[string][]signature.Field{"repeats_when": t.RepeatsWhen, "unique_when": t.UniqueWhen} {
		for _, f := range fields {
			if f.Name == "" || !slices.Contains([]string{"json", "form", "query"}, f.From) {
				return fmt.Errorf("%s %s: write json, form or query and a name", name, f)
			}
		}
	}
	for _, name := range t.Varies {
		if name == "" || strings.ContainsAny(name, " \t\r\n:") {
			return fmt.Errorf("varies: invalid header name: %q; write, for example, X-Topic", name)
		}
	}
	return nil
}

// distinguish completes a verified delivery: it sets whether the content repeats, and
// adds the headers that vary to its digests. families are the prefixes that replace
// the mark at the beginning of header names.
func (t *Distinction) distinguish(r *signature.Request, d *signature.Delivery, families []string) error {
	d.Repeats = t.Content == ContentRepeats
	exceptional, err := t.exceptional(r)
	if err != nil {
		return err
	}
	if exceptional {
		d.Repeats = !d.Repeats
	}
	t.coverVarying(r.Header, d, families)
	return nil
}

// exceptional reports whether a delivery has one of the fields that mark the other
// kind of content.
func (t *Distinction) exceptional(r *signature.Request) (bool, error) {
	if t.members == nil {
		return false, nil
	}
	if found, err := t.members.In(r); found || err != nil {
		return found, err
	}
	for _, f := range t.Documents {
		document, err := documentIn(r, f)
		if err != nil {
			return false, err
		}
		if document == "" {
			continue
		}
		if found, err := t.members.InJSON(signature.BytesBody(document)); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// documentIn returns the text of a form field, or of a query parameter if the body is
// empty: if there is a body, the query is not signed. It ignores a form that is too
// large to parse, because the delivery is genuine.
//
// The Content-Type has no effect, because no signature covers it: otherwise a copy
// with another one would count as another kind of content than the delivery.
func documentIn(r *signature.Request, f signature.Field) (string, error) {
	if f.From == "form" {
		if bytes.HasPrefix(r.Body.Bytes(), []byte("{")) {
			return "", nil // JSON
		}
		withoutHeaders := *r
		withoutHeaders.Header = nil
		form, err := withoutHeaders.Form()
		if _, refused := errors.AsType[*signature.Refusal](err); refused {
			return "", nil
		}
		return form.Get(f.Name), err
	}
	if r.Body.Size() > 0 {
		return "", nil
	}
	return Query(r).Get(f.Name), nil
}

// coverVarying adds the headers that vary to every digest.
func (t *Distinction) coverVarying(header http.Header, d *signature.Delivery, families []string) {
	if len(t.Varies) == 0 {
		return
	}
	for _, matches := range [][]signature.Match{d.Matches, d.Contents} {
		for i := range matches {
			matches[i].Digest = t.varied(header, matches[i].Digest, families)
		}
	}
}

// varied returns the digest of a digest and the headers that vary. Each part is
// preceded by its length, so that different lists of values have different digests.
func (t *Distinction) varied(header http.Header, digest []byte, families []string) []byte {
	h := sha256.New()
	write := func(part string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	write(string(digest))
	for _, name := range t.Varies {
		values := valuesIn(header, name, families)
		write(name)
		write(strconv.Itoa(len(values)))
		for _, value := range values {
			write(value)
		}
	}
	return h.Sum(nil)
}

// valuesIn returns the values of a header. If its name begins with the mark, it
// returns those of the first family that the request contains.
func valuesIn(header http.Header, name string, families []string) []string {
	rest, marked := strings.CutPrefix(name, familyMark)
	if !marked {
		return header[textproto.CanonicalMIMEHeaderKey(name)]
	}
	for _, family := range families {
		if values := header[textproto.CanonicalMIMEHeaderKey(family+rest)]; len(values) > 0 {
			return values
		}
	}
	return nil
}

// checkDistinctions returns an error unless the preset sets Content.
func (p *Preset) checkDistinctions() error {
	all := []*Distinction{&p.Distinction}
	for _, v := range p.Variants {
		if v.Distinction != nil {
			all = append(all, v.Distinction)
		}
	}
	for _, t := range all {
		if t.Content == "" {
			return errors.New("missing content: write unique or repeats")
		}
		if err := t.check(); err != nil {
			return err
		}
	}
	return nil
}
