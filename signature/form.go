package signature

import (
	"maps"
	"slices"
	"strings"
)

// formSorted returns name and value of every form field, sorted by name, with
// nothing in between. Without separators `a=bc` and `ab=c` are signed alike,
// which is the provider's weakness; a field that comes twice is refused, since
// nobody agrees on which one would count.
func (v *values) formSorted() (string, error) {
	form, err := v.readForm()
	if err != nil {
		return "", err
	}
	if form == nil {
		return "", Refuse(Malformed, "the signature covers the fields of a form, but the body is none")
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(form)) {
		value, err := single(form[name], "form field", name)
		if err != nil {
			return "", err
		}
		b.WriteString(name)
		b.WriteString(value)
	}
	return b.String(), nil
}
