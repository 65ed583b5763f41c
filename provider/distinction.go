package provider

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
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
	// Members of the signed content, or fields of a signed form, that only
	// deliveries have whose content can repeat, although that of others is
	// unique.
	RepeatsWhen []signature.Field `json:"repeats_when,omitempty"`
	// Unsigned headers with which the provider sends the same content as
	// different deliveries, such as the topic. A retry has the same ones.
	Varies []string `json:"varies,omitempty"`
}

// check refuses what contradicts itself.
func (t *Distinction) check() error {
	switch {
	case t.Content != "" && t.Content != ContentUnique && t.Content != ContentRepeats:
		return fmt.Errorf("unrecognized content: %s; write unique or repeats", t.Content)
	case t.Content == ContentRepeats && len(t.RepeatsWhen) > 0:
		return errors.New("repeats_when is for content that is unique otherwise: remove it, or write content unique")
	}
	for _, f := range t.RepeatsWhen {
		if f.Name == "" || !slices.Contains([]string{"json", "form", "query"}, f.From) {
			return fmt.Errorf("repeats_when %s: write json, form or query and a name", f)
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
// digests that cover the headers that vary.
func (t *Distinction) distinguish(r *signature.Request, d *signature.Delivery) error {
	d.Repeats = t.Content == ContentRepeats
	for _, f := range t.RepeatsWhen {
		if d.Repeats {
			break
		}
		var err error
		if d.Repeats, err = r.Has(f); err != nil {
			return err
		}
	}
	t.coverVarying(r.Header, d)
	return nil
}

// coverVarying makes the headers that vary a part of every digest.
func (t *Distinction) coverVarying(header http.Header, d *signature.Delivery) {
	if len(t.Varies) == 0 {
		return
	}
	for _, matches := range [][]signature.Match{d.Matches, d.Contents} {
		for i := range matches {
			matches[i].Digest = t.varied(header, matches[i].Digest)
		}
	}
}

// varied returns the digest of a digest and the headers that vary, each part
// with its length, so that no two lists of values are hashed alike.
func (t *Distinction) varied(header http.Header, digest []byte) []byte {
	h := sha256.New()
	write := func(part string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	write(string(digest))
	for _, name := range t.Varies {
		values := header[textproto.CanonicalMIMEHeaderKey(name)]
		write(name)
		write(fmt.Sprint(len(values)))
		for _, value := range values {
			write(value)
		}
	}
	return h.Sum(nil)
}
