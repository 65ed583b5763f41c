package signature

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
)

// Place writes a value into the place of a field, to make deliveries: a header, a
// query parameter, a form field or a JSON member.
func Place(r *Request, f Field, value string) error { return (&signer{r: r}).place(f, value) }

// place writes a value into the place of a field.
func (s *signer) place(f Field, value string) error {
	switch f.From {
	case "header":
		if f.Name == "Host" {
			s.r.Host = value
			return nil
		}
		s.r.Header[textproto.CanonicalMIMEHeaderKey(strings.Replace(f.Name, "#", "1", 1))] = []string{value}
		return nil
	case "query":
		s.r.RequestURI = withQuery(s.r.RequestURI, f.Name, value)
		if s.r.PublicURL != "" {
			s.r.PublicURL = withQuery(s.r.PublicURL, f.Name, value)
		}
		return nil
	case "element":
		s.placeElement(f.Name, value)
		return nil
	case "form":
		return s.placeInForm(f.Name, value)
	case "json":
		return s.placeInJSON(f.Name, value)
	}
	return fmt.Errorf("the %s cannot be written", f)
}

func (s *signer) placeElement(name, value string) {
	for i := range s.elements {
		if s.elements[i].name == name {
			s.elements[i].value = value
			return
		}
	}
	s.elements = append(s.elements, namedElement{name, value})
}

// withQuery sets one parameter and leaves the others unchanged.
func withQuery(target, name, value string) string {
	path, query, _ := strings.Cut(target, "?")
	var kept []string
	for part := range strings.SplitSeq(query, "&") {
		key, _, _ := strings.Cut(part, "=")
		if decoded, err := url.QueryUnescape(key); part == "" || err == nil && decoded == name {
			continue
		}
		kept = append(kept, part)
	}
	kept = append(kept, url.QueryEscape(name)+"="+url.QueryEscape(value))
	return path + "?" + strings.Join(kept, "&")
}

func (s *signer) placeInForm(name, value string) error {
	raw, err := BodyBytes(s.r.Body)
	if err != nil {
		return err
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil || bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		return fmt.Errorf("the %s is in a form: the body must be a form, such as a=b&c=d", name)
	}
	form.Set(name, value)
	s.r.Body = BytesBody(form.Encode())
	s.r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return nil
}

func (s *signer) placeInJSON(path, value string) error {
	raw, err := BodyBytes(s.r.Body)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		raw = []byte("{}")
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var document any
	if err := decoder.Decode(&document); err != nil {
		return fmt.Errorf("%s is in the body, which is not JSON: %w", path, err)
	}
	document, err = withJSON(document, strings.Split(path, "."), value)
	if err != nil {
		return fmt.Errorf("writing %s in the body: %w", path, err)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(document); err != nil {
		return err
	}
	s.r.Body = BytesBody(bytes.TrimRight(out.Bytes(), "\n"))
	if s.r.Header.Get("Content-Type") == "" {
		s.r.Header.Set("Content-Type", "application/json")
	}
	return nil
}

// withJSON returns the document with a value at the path, and creates missing
// objects. A number stays a number.
func withJSON(document any, path []string, value string) (any, error) {
	if len(path) == 0 {
		if _, number := document.(json.Number); number && json.Valid([]byte(value)) {
			return json.Number(value), nil
		}
		return value, nil
	}
	switch d := document.(type) {
	case nil:
		inner, err := withJSON(nil, path[1:], value)
		return map[string]any{path[0]: inner}, err
	case map[string]any:
		inner, err := withJSON(d[path[0]], path[1:], value)
		d[path[0]] = inner
		return d, err
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(d) {
			return nil, fmt.Errorf("the list has no element %s", path[0])
		}
		d[i], err = withJSON(d[i], path[1:], value)
		return d, err
	}
	return nil, fmt.Errorf("%s is neither an object nor a list", path[0])
}
