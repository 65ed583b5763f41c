package provider

import (
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

// Content says whether two different deliveries of a provider can have the same
// content, which is what the signature covers.
type Content string

// The kinds of content.
const (
	// ContentUnique: no two deliveries have the same content, because it
	// holds an ID, a time or a version. The same content is the same
	// delivery.
	ContentUnique Content = "unique"
	// ContentRepeats: deliveries with equal content are sent in the ordinary
	// course of events ("something changed"). The same content is the same
	// delivery only together with the same delivery ID.
	ContentRepeats Content = "repeats"
)

// Distinction is what distinguishes one delivery from another, beside a
// delivery ID that is signed.
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

	// Documents are the form fields, or the query parameters of a request
	// without a body, that hold the JSON document where the body does not.
	Documents []signature.Field `json:"-"`

	// members are RepeatsWhen or UniqueWhen, compiled; nil if there are none.
	members *signature.Members
}

// compile makes the distinction ready for requests.
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

// Varying adds unsigned headers to the content.
func (t Distinction) Varying(headers ...string) Distinction {
	t.Varies = headers
	return t
}

// DocumentIn adds the places of the JSON document that has the members of
// RepeatsWhen or UniqueWhen, beside the body: form fields, or query parameters
// of a request without a body.
func (t Distinction) DocumentIn(fields ...signature.Field) Distinction {
	t.Documents = fields
	return t
}

// check refuses what contradicts itself.
func (t *Distinction) check() error {
	switch {
	case t.Content != "" && t.Content != ContentUnique && t.Content != ContentRepeats:
		return fmt.Errorf("unrecognized content: %s; write unique or repeats", t.Content)
	case t.Content == ContentRepeats && len(t.RepeatsWhen) > 0:
		return errors.New("repeats_when is for content that is unique otherwise: remove it, or write content unique")
	case t.Content != ContentRepeats && len(t.UniqueWhen) > 0:
		return errors.New("unique_when is for content that repeats otherwise: remove it, or write content repeats")
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
			return fmt.Errorf("varies: %q cannot be the name of a header", name)
		}
	}
	return nil
}

// distinguish completes a verified delivery: whether its content repeats, and
// digests that cover the headers that vary. families are the prefixes of
// header names that begin with the mark.
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

// exceptional reports whether a delivery has a field that says that its content
// is not of the usual kind.
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

// documentIn returns the text of a form field, or of a query parameter if the
// body is empty: beside a body, the query is not signed. A form that is too
// large to look into counts as none, since the delivery is genuine.
func documentIn(r *signature.Request, f signature.Field) (string, error) {
	if f.From == "form" {
		if !strings.Contains(strings.ToLower(r.Header.Get("Content-Type")), "form") {
			return "", nil // as most deliveries say
		}
		form, err := r.Form()
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

// coverVarying makes the headers that vary a part of every digest.
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

// varied returns the digest of a digest and the headers that vary, each part
// with its length, so that no two lists of values are hashed alike.
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

// valuesIn returns the values of a header; where its name begins with the mark,
// those of the first family that the request has.
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

// checkDistinctions requires a preset to say whether its content repeats.
func (p *Preset) checkDistinctions() error {
	all := []*Distinction{&p.Distinction}
	for _, v := range p.Variants {
		if v.Distinction != nil {
			all = append(all, v.Distinction)
		}
	}
	for _, t := range all {
		if t.Content == "" {
			return errors.New("no content: write unique or repeats")
		}
		if err := t.check(); err != nil {
			return err
		}
	}
	return nil
}
