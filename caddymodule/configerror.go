package caddymodule

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// configError adds the location of a config error: the line of the Caddyfile, the
// provider and the path. Caddy prefixes errors with the names of the modules that
// it was loading, so the error is also logged without them.
func (h *Handler) configError(p caddyPlace, err error) error {
	text := withoutModules(err.Error())
	name := strings.TrimSpace("verify_webhook " + p.provider)
	if p.path != "" {
		name += " at " + p.path
	}
	if p.line != "" {
		name = p.line + ": " + name
	}
	text = strings.TrimPrefix(text, p.provider+": ")
	h.logger.Error(name+": "+text, zap.String("provider", p.provider), zap.String("path", p.path), zap.String("line", p.line))
	return &endpointError{text: name + ": " + text, err: err}
}

// endpointError is a config error with its location.
type endpointError struct {
	text string
	err  error
}

// Error implements error.
func (e *endpointError) Error() string { return e.text }

// Unwrap returns the error without its location.
func (e *endpointError) Unwrap() error { return e.err }

// moduleLevels matches Caddy's prefix of module errors.
var moduleLevels = regexp.MustCompile(`^(?:loading (?:provider|replay store): |loading module '[^']*': |provision [\w.-]+: |decoding module config: [\w.-]+: |[\w.-]+: invalid configuration: )+`)

// withoutModules returns the text of an error without the names of modules.
func withoutModules(text string) string {
	text = moduleLevels.ReplaceAllString(text, "")
	if name, found := strings.CutPrefix(text, "unknown module: "+provider.Namespace+"."); found {
		near := suggestion(name, provider.Names())
		name = option.Shown(name)
		return "unrecognized provider: " + name + near + "; `caddy list-modules` lists them, and `custom` describes any other (unknown module " + provider.Namespace + "." + name + ")"
	}
	if name, found := strings.CutPrefix(text, "unknown module: "+StoreNamespace+"."); found {
		var names []string
		for _, m := range caddy.GetModules(StoreNamespace) {
			names = append(names, m.ID.Name())
		}
		near := suggestion(name, names)
		name = option.Shown(name)
		return "unrecognized store: " + name + near + "; write one of " + strings.Join(names, ", ") + " (unknown module " + StoreNamespace + "." + name + ")"
	}
	return text
}

// caddyPlace is the location of an endpoint in the config; unknown parts are empty.
type caddyPlace struct{ line, path, provider string }

// placeInConfig returns the location of an endpoint that is being provisioned. Call
// it before the provider is loaded, which clears ProviderRaw.
func (h *Handler) placeInConfig(ctx caddy.Context) caddyPlace {
	var named struct {
		Name string `json:"name"`
	}
	_ = json.Unmarshal(h.ProviderRaw, &named) // a missing name is not shown
	p := caddyPlace{line: sources.lineOf(h), provider: named.Name}
	for _, m := range ctx.Modules() {
		switch m := m.(type) {
		case *caddyhttp.App:
			for _, s := range m.Servers {
				p.path = cmp.Or(pathBeingLoaded(s.Routes, h.ProviderRaw), p.path)
			}
		case *caddyhttp.Subroute:
			p.path = cmp.Or(pathBeingLoaded(m.Routes, h.ProviderRaw), p.path)
		}
	}
	return p
}

// pathBeingLoaded returns the path of the route whose handlers are being loaded and
// include the provider.
func pathBeingLoaded(list caddyhttp.RouteList, raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	for i := range list {
		for _, handler := range list[i].HandlersRaw {
			if bytes.Contains(handler, raw) {
				return place{}.narrow(list[i].MatcherSets).path
			}
		}
	}
	return ""
}

// sourceLines records the Caddyfile lines of the endpoints that this process has
// read, because a config in JSON has no lines.
type sourceLines struct {
	mu    sync.Mutex
	lines map[[sha256.Size]byte]string
}

var sources sourceLines

// maxSourceLines limits the recorded lines over all adapted configs.
const maxSourceLines = 10_000

// remember records the line of an endpoint.
func (s *sourceLines) remember(h *Handler, token caddyfile.Token) {
	raw, err := json.Marshal(h)
	if err != nil || token.File == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lines == nil || len(s.lines) >= maxSourceLines {
		s.lines = make(map[[sha256.Size]byte]string)
	}
	s.lines[sha256.Sum256(raw)] = fmt.Sprintf("%s:%d", token.File, token.Line)
}

// lineOf returns the line of an endpoint, empty if unknown.
func (s *sourceLines) lineOf(h *Handler) string {
	raw, err := json.Marshal(h)
	if err != nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines[sha256.Sum256(raw)]
}

// UnmarshalJSON implements json.Unmarshaler: an unknown member is an error with a
// suggestion.
func (h *Handler) UnmarshalJSON(raw []byte) error {
	type plain Handler
	return option.StrictJSON(raw, (*plain)(h))
}

// errDuplicateStatus is the error for a status that cannot be intended for a copy.
var errDuplicateStatus = errors.New("the provider would retry without end: write a success status, for example 200")
