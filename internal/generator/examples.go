package generator

import (
	"bytes"
	"crypto/rand"
	"embed"
	"encoding/json"
	"math/big"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// events are the example events of the providers' documentation: NAME.json,
// NAME.form or NAME.xml, and NAME.VARIANT.json for a variant with another format.
// Placeholders mark what differs between deliveries: see [example.render].
//
//go:embed events
var events embed.FS

// headerEvents are example event types of providers that send them in a header.
var headerEvents = func() (types map[string]string) {
	raw, err := events.ReadFile("events/header-events.json")
	if err == nil {
		err = json.Unmarshal(raw, &types)
	}
	if err != nil {
		panic(err) // an error in a bundled file
	}
	return types
}()

// example is the template of a body.
type example struct {
	contentType string
	text        []byte
}

const formType = "application/x-www-form-urlencoded"

var contentTypes = map[string]string{".json": "application/json", ".form": formType, ".xml": "application/xml", ".cloudevents": "application/cloudevents+json"}

// Generic events.
var (
	genericJSON = &example{contentTypes[".json"], []byte(`{"created":{{unix}},"data":{"object":{"id":"obj_{{hex 12}}","amount":4200,"currency":"eur"}}}`)}
	genericForm = &example{formType, []byte(`From=%2B15551234567&To=%2B15557654321&Body=Hello&Sid=SM{{hex 32}}`)}
)

// exampleOf returns the provider's example, nil if there is none.
func exampleOf(name, variant string) *example {
	for _, base := range []string{name + "." + variant, name} {
		for extension, contentType := range contentTypes {
			if text, err := events.ReadFile(path.Join("events", base+extension)); err == nil {
				return &example{contentType, bytes.TrimSpace(text)}
			}
		}
	}
	return nil
}

// Examples returns the names of the bundled examples, without extension.
func Examples() ([]string, error) {
	entries, err := events.ReadDir("events")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), path.Ext(e.Name())))
	}
	return names, nil
}

var placeholder = regexp.MustCompile(`\{\{([a-z0-9_]+)(?: (\d+))?\}\}`)

// varies reports whether no two renderings are equal.
func (e *example) varies() bool {
	return e != nil && regexp.MustCompile(`\{\{(uuid|hex|digits|letters|upper)`).Match(e.text)
}

// render fills in the placeholders: {{uuid}}, {{hex N}}, {{digits N}},
// {{letters N}}, {{upper N}}, which are random, and {{unix}}, {{unix_ms}},
// {{rfc3339}} and {{rfc3339_ms}}, which are the time.
func (e *example) render(now time.Time) []byte {
	if e == nil {
		return nil
	}
	return placeholder.ReplaceAllFunc(e.text, func(found []byte) []byte {
		parts := placeholder.FindSubmatch(found)
		n, _ := strconv.Atoi(string(parts[2]))
		return []byte(fill(string(parts[1]), n, now))
	})
}

func fill(kind string, n int, now time.Time) string {
	switch kind {
	case "unix":
		return strconv.FormatInt(now.Unix(), 10)
	case "unix_ms":
		return strconv.FormatInt(now.UnixMilli(), 10)
	case "rfc3339":
		return now.UTC().Format(time.RFC3339)
	case "rfc3339_ms":
		return now.UTC().Format("2006-01-02T15:04:05.000Z")
	case "uuid":
		h := random("0123456789abcdef", 32)
		return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
	case "hex":
		return random("0123456789abcdef", n)
	case "digits":
		return "1" + random("0123456789", n-1) // a number has no leading zero
	case "letters":
		return random("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", n)
	case "upper":
		return random("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", n)
	}
	panic("unknown placeholder in a bundled example: " + kind)
}

func random(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		at, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			panic(err) // never (crypto/rand)
		}
		b[i] = alphabet[at.Int64()]
	}
	return string(b)
}
