package signature

import (
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
)

const (
	// maxFields bounds the fields of a form, as PHP and Django do. Parsed, a
	// field of 2 bytes costs more than 100.
	maxFields = 1000
	// maxParameters bounds the parameters of a query.
	maxParameters = 256
	// fieldCost is what a parsed field costs beside its text, in bytes.
	fieldCost = 160
)

// ParseQuery parses a query of at most 256 parameters.
func ParseQuery(raw string) (url.Values, error) {
	if strings.Count(raw, "&") >= maxParameters {
		return nil, fmt.Errorf("a query of more than %d parameters", maxParameters)
	}
	return url.ParseQuery(raw)
}

// writeFormSorted writes name and value of every form field, sorted by name, with
// nothing in between. Without separators `a=bc` and `ab=c` are signed alike,
// which is the provider's weakness; a field that comes twice is refused, since
// nobody agrees on which one would count.
func (v *values) writeFormSorted(w io.Writer, scratch []byte) ([]byte, error) {
	form, err := v.readForm()
	if err != nil {
		return scratch, err
	}
	if form == nil {
		return scratch, Refuse(Malformed, "the signature covers the fields of a form, but the body is none")
	}
	sorted := slices.Clone(form.fields)
	slices.SortFunc(sorted, func(a, b formField) int { return strings.Compare(a.name, b.name) })
	for i := range sorted {
		field := &sorted[i]
		if i > 0 && field.name == sorted[i-1].name {
			return scratch, Refuse(Malformed, "the form field %s comes more than once", field.name)
		}
		if scratch, err = put(w, scratch, field.name); err != nil {
			return scratch, err
		}
		if scratch, err = form.write(w, scratch, field); err != nil {
			return scratch, err
		}
	}
	return scratch, nil
}
