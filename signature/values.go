package signature

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sync"
)

// values reads signature lists, fields and body of one request. It computes each
// value at most once, however many secrets and signatures there are, and its memory
// is reused by later requests.
type values struct {
	req   *Request
	paths *JSONPaths // every JSON path of the scheme

	lists   []signatureList
	current *signatureList // the list that elements are read from
	key     *key           // the current secret
	merge   bool           // all signatures go into one list
	allForm bool           // every field of the form is read
	parts   int            // of all lists
	decoded []byte         // the bytes of all signatures

	query     url.Values
	queryRead bool
	form      *formFields
	formRead  bool
	json      []string
	jsonRead  bool
	scan      jsonScan

	bodySum     [sha256.Size]byte
	bodySummed  bool
	content     []byte // the signed content of the current list, for public keys
	contentRead bool
	scratch     []byte
}

var valuesPool = sync.Pool{New: func() any { return new(values) }}

// keptScratch is the largest buffer that is kept for the next request.
const keptScratch = 64 << 10

func newValues(r *Request, v *Verifier) *values {
	vals := valuesPool.Get().(*values)
	vals.req, vals.paths, vals.merge, vals.allForm = r, v.paths, !v.perList, v.allForm
	return vals
}

// release drops the request and keeps the memory. It clears field by field, because
// assigning the whole struct costs more than everything else.
func (v *values) release() {
	for i := range v.lists {
		v.lists[i].forget()
	}
	v.lists, v.current, v.parts, v.decoded = v.lists[:0], nil, 0, v.decoded[:0]
	if v.queryRead {
		v.query, v.queryRead = nil, false
	}
	if v.formRead {
		v.form, v.formRead = nil, false
	}
	if v.jsonRead {
		clear(v.json)
		v.json, v.jsonRead = v.json[:0], false
	}
	if cap(v.scan.found)+cap(v.scan.text)+cap(v.scan.plain) > keptScratch {
		v.scan = jsonScan{}
	}
	if cap(v.content) > keptScratch {
		v.content = nil
	}
	if cap(v.decoded) > keptScratch {
		v.decoded = nil
	}
	if cap(v.scratch) > keptScratch {
		v.scratch = nil
	}
	v.bodySummed, v.contentRead = false, false
	v.req, v.paths, v.key = nil, nil, nil
	valuesPool.Put(v)
}

// get returns the value of a field, empty if absent.
func (v *values) get(f Field) (string, error) {
	switch f.From {
	case "header":
		if f.Name == "Host" {
			return v.req.Host, nil // net/http keeps it there
		}
		return headerValue(v.req.Header, f.Name)
	case "query":
		return v.queryValue(f.Name)
	case "element":
		if v.current == nil {
			return "", nil
		}
		return v.current.single(f.Name)
	case "value":
		return v.req.Values[f.Name], nil
	case "form":
		form, field, err := v.formField(f.Name)
		if err != nil || field == nil || field.end-field.start > maxFieldText {
			return "", err
		}
		return form.text(field)
	case "json":
		return v.jsonValue(f.Name)
	}
	return "", nil
}

// queryValue returns a single-valued parameter of the signed URL.
func (v *values) queryValue(name string) (string, error) {
	if !v.queryRead {
		_, _, raw := v.req.target()
		query, err := ParseQuery(raw)
		if err != nil {
			return "", Refuse(Malformed, "the query string cannot be parsed")
		}
		v.query, v.queryRead = query, true
	}
	if v.query.Has(name) {
		if err := checkLookalikes(maps.Keys(v.query), "query parameter", name); err != nil {
			return "", err
		}
	}
	return single(v.query[name], "query parameter", name)
}

// readForm finds the fields of the form, once.
func (v *values) readForm() (*formFields, error) {
	if !v.formRead {
		form, err := v.req.formFields(v.allForm)
		if err != nil {
			return nil, err
		}
		v.form, v.formRead = form, true
	}
	return v.form, nil
}

// formField returns a single-valued field of the form, nil if there is none.
func (v *values) formField(name string) (*formFields, *formField, error) {
	form, err := v.readForm()
	if err != nil || form == nil {
		return nil, nil, err
	}
	field, err := form.single(name)
	if err == nil && field != nil {
		err = checkLookalikes(form.names(), "form field", name)
	}
	return form, field, err
}

func (v *values) jsonValue(path string) (string, error) {
	if !v.jsonRead {
		found, err := v.scan.find(v.json[:0], v.paths, v.req.Body)
		if err != nil {
			return "", fmt.Errorf("rereading body: %w", err)
		}
		v.json, v.jsonRead = found, true
	}
	return v.json[slices.Index(v.paths.names, path)], nil
}

// bodySHA256 returns the SHA-256 of the body.
func (v *values) bodySHA256() ([]byte, error) {
	if !v.bodySummed {
		h := sha256.New()
		if err := writeBody(h, v.req.Body); err != nil {
			return nil, err
		}
		h.Sum(v.bodySum[:0])
		v.bodySummed = true
	}
	return v.bodySum[:], nil
}

// signedContent returns the input for checking a signature of algorithm a: the signed
// content of the current list for Ed25519, otherwise its hash.
func (v *values) signedContent(a Algorithm, t *template) ([]byte, error) {
	if v.contentRead {
		return v.content, nil
	}
	if a == Ed25519 {
		content, err := v.gather(t)
		v.content, v.contentRead = content, err == nil
		return content, err
	}
	h := newHash(a.hash())()
	var err error
	if v.scratch, err = t.write(h, v, v.scratch); err != nil {
		return nil, err
	}
	v.content, v.contentRead = h.Sum(v.content[:0]), true
	return v.content, nil
}

// gather writes the signed content to memory, once.
func (v *values) gather(t *template) ([]byte, error) {
	size := int64(0)
	if t.holdsBody() {
		size = v.req.Body.Size()
		if err := Charge(v.req.Body, size); err != nil {
			return nil, err
		}
	}
	buf := bytes.NewBuffer(slices.Grow(v.content[:0], int(size)+256))
	var err error
	v.scratch, err = t.write(buf, v, v.scratch)
	return buf.Bytes(), err
}

// holdsBody reports whether the body itself is a part, and not only its hash.
func (t *template) holdsBody() bool {
	return slices.ContainsFunc(t.parts, func(p part) bool {
		return p.name == "body" || p.name == "body_base64" || p.name == "body_escaped" || p.name == "body_inflated"
	})
}

// turnTo makes list the current one, from which elements are read.
func (v *values) turnTo(list *signatureList) {
	v.current, v.contentRead = list, false
}
