package signature

import (
	"errors"
	"mime"
	"slices"
)

// Condition selects the requests of a scheme. Its inputs are unsigned, so it must
// choose between equally strong schemes.
type Condition struct {
	// The methods: `GET`. Default: any.
	Methods []string `json:"methods,omitempty"`
	// The media type of the body, without parameters. Default: any.
	ContentType string `json:"content_type,omitempty"`
}

func (c *Condition) check() error {
	if c != nil && len(c.Methods) == 0 && c.ContentType == "" {
		return errors.New("when: missing methods and content type: write, for example, when method POST")
	}
	return nil
}

// Applies reports whether a scheme is for this request. Without a condition it is
// for all.
func (s *Scheme) Applies(r *Request) bool {
	c := s.When
	if c == nil {
		return true
	}
	if len(c.Methods) > 0 && !slices.Contains(c.Methods, r.Method) {
		return false
	}
	return c.ContentType == "" || c.ContentType == mediaType(r)
}

// MaxContentType is the longest Content-Type that is parsed, in bytes: each
// parameter costs a hundred bytes of memory.
const MaxContentType = 1 << 10

// mediaType returns the media type of the body, empty if there is none or
// more than one.
func mediaType(r *Request) string {
	values := r.Header["Content-Type"]
	if len(values) != 1 || len(values[0]) > MaxContentType {
		return ""
	}
	t, _, err := mime.ParseMediaType(values[0])
	if err != nil {
		return ""
	}
	return t
}
