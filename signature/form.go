package signature

import (
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
)

const (
	// maxFields limits the fields of a form, as in PHP and Django. A parsed field
	// of 2 bytes costs more than 100.
	maxFields = 1000
	// maxParameters limits the parameters of a query.
	maxParameters = 256
	// fieldCost is the memory of a parsed field in addition to its text, in bytes.
	fieldCost = 160
)

// ParseQuery parses a query of at most 256 parameters.
func ParseQuery(raw string) (url.Values, error) {
	if strings.Count(raw, "&") >= maxParameters {
		return nil, fmt.Errorf("a query of more than %d parameters", maxParameters)
	}
	return url.ParseQuery(raw)
}

// writeFormSorted writes name and value of every form field, sorted by name, without
// separators. `a=bc` and `ab=c` therefore have the same signature, which is the
// provider's weakness. A duplicate field is refused, because parsers differ in
// which one they use.
func (v *values) writeFormSorted(w io.Writer, scratch []byte) ([]byte, error) {
	form, err := v.readForm()
	if err != nil {
		return scratch, err
	}
	if form == nil {
		return scratch, Refuse(Malformed, "the signature covers the fields of a form, but the body is not a form")
	}
	sorted := slices.Clone(form.fields)
	slices.SortFunc(sorted, func(a, b formField) int { return strings.Compare(a.name, b.name) })
	for i := range sorted {
		field := &sorted[i]
		if i > 0 && field.name == sorted[i-1].name {
			return scratch, Refuse(Malformed, "duplicate form field: %s", field.name)
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
