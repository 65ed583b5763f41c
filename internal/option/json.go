package option

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// StrictJSON decodes a JSON object into the struct that to points to. An unknown
// member is an error with a suggestion. to must not implement json.Unmarshaler.
func StrictJSON(raw []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err := d.Decode(to)
	if err == nil {
		return nil
	}
	if _, name, found := strings.Cut(err.Error(), "json: unknown field "); found {
		name = strings.Trim(name, `"`)
		known := memberNames(reflect.TypeOf(to))
		if near := Nearest(name, known); near != "" {
			return fmt.Errorf("unknown field %q; did you mean %s?", name, near)
		}
		return fmt.Errorf("unknown field %q; write one of %s", name, strings.Join(known, ", "))
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return fmt.Errorf("invalid %s: a JSON %s is not a %s", wrong.Field, wrong.Value, wrong.Type)
	}
	return err
}

// memberNames returns the names of the members of a struct and its embedded structs.
func memberNames(t reflect.Type) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case f.Anonymous && name == "":
			names = append(names, memberNames(f.Type)...)
		case f.IsExported() && name != "":
			names = append(names, name)
			if f.Type.Kind() == reflect.Struct || f.Type.Kind() == reflect.Pointer || f.Type.Kind() == reflect.Slice {
				names = append(names, memberNames(f.Type)...)
			}
		}
	}
	return names
}
