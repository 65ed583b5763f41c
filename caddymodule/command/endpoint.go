package command

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// configuredEndpoint is an endpoint of a config.
type configuredEndpoint struct {
	// Provider is the provider's name, Namespace the option of that name.
	Provider, Namespace string
	// Paths are the path patterns of the innermost route with path matchers.
	Paths []string
	// Options is the provider's JSON, as in the config.
	Options json.RawMessage
	// Secrets are not resolved: they are usually placeholders.
	Secrets []provider.Secret
}

// name is the operator's name for the endpoint.
func (e *configuredEndpoint) name() string {
	switch {
	case e.Namespace != "":
		return e.Namespace
	case len(e.Paths) > 0:
		return e.Paths[0]
	default:
		return e.Provider
	}
}

// resolved returns the secrets and their labels, with placeholders replaced.
func (e *configuredEndpoint) resolved() (secrets, labels []string, err error) {
	for i, s := range e.Secrets {
		text, err := provider.Resolve(s.Secret)
		if err != nil {
			return nil, nil, fmt.Errorf("secret %d of the endpoint %s cannot be read here: %w; give it with --secret", i+1, e.name(), err)
		}
		secrets, labels = append(secrets, text), append(labels, s.Label)
	}
	return secrets, labels, nil
}

// endpointsIn returns the endpoints of a config in JSON.
func endpointsIn(config []byte) ([]configuredEndpoint, error) {
	var document any
	if err := json.Unmarshal(config, &document); err != nil {
		return nil, fmt.Errorf("reading the config: %w", err)
	}
	var found []configuredEndpoint
	walkConfig(document, nil, &found)
	return found, nil
}

// walkConfig finds handlers at any depth. paths are the path patterns of the
// enclosing route.
func walkConfig(node any, paths []string, found *[]configuredEndpoint) {
	switch n := node.(type) {
	case []any:
		for _, inner := range n {
			walkConfig(inner, paths, found)
		}
	case map[string]any:
		if n["handler"] == "verify_webhook" {
			*found = append(*found, endpointOf(n, paths))
			return
		}
		if own := matchedPaths(n["match"]); own != nil {
			paths = own
		}
		for _, name := range slices.Sorted(maps.Keys(n)) {
			walkConfig(n[name], paths, found)
		}
	}
}

func endpointOf(handler map[string]any, paths []string) configuredEndpoint {
	e := configuredEndpoint{Paths: paths}
	e.Namespace, _ = handler["namespace"].(string)
	raw, err := json.Marshal(handler["provider"])
	if err != nil {
		return e
	}
	var p struct {
		Name    string            `json:"name"`
		Secrets []provider.Secret `json:"secrets"`
	}
	if json.Unmarshal(raw, &p) == nil {
		e.Provider, e.Secrets, e.Options = p.Name, p.Secrets, raw
	}
	return e
}

// matchedPaths returns the path patterns of a route's matchers.
func matchedPaths(match any) []string {
	sets, _ := match.([]any)
	var paths []string
	for _, set := range sets {
		matchers, _ := set.(map[string]any)
		patterns, _ := matchers["path"].([]any)
		for _, pattern := range patterns {
			if text, ok := pattern.(string); ok {
				paths = append(paths, text)
			}
		}
	}
	return paths
}

// matches reports whether the endpoint is called name.
func (e *configuredEndpoint) matches(name string) bool {
	return name == e.Namespace || name == e.Provider || slices.ContainsFunc(e.Paths, func(pattern string) bool {
		return pattern == name || strings.TrimSuffix(pattern, "*") == name || pathMatches(pattern, name)
	})
}

// pathMatches reports whether a path pattern of the config matches a path. Only
// a star at the end is supported.
func pathMatches(pattern, path string) bool {
	begin, star := strings.CutSuffix(strings.ToLower(pattern), "*")
	path = strings.ToLower(path)
	return path == begin || star && strings.HasPrefix(path, begin)
}

// chooseEndpoint returns the endpoint of a provider that is called name or, if
// name is empty, that the request was for.
func chooseEndpoint(all []configuredEndpoint, providerName, name, requestPath string) (*configuredEndpoint, error) {
	var known []string
	var fits []*configuredEndpoint
	for i := range all {
		e := &all[i]
		known = append(known, e.name())
		if e.Provider == providerName && (name == "" || e.matches(name)) {
			fits = append(fits, e)
		}
	}
	if len(fits) > 1 && name == "" {
		byPath := slices.DeleteFunc(slices.Clone(fits), func(e *configuredEndpoint) bool {
			return !slices.ContainsFunc(e.Paths, func(pattern string) bool { return pathMatches(pattern, requestPath) })
		})
		if len(byPath) > 0 {
			fits = byPath
		}
	}
	switch {
	case len(all) == 0:
		return nil, errors.New("the config has no verify_webhook endpoint")
	case len(fits) == 0 && name != "":
		return nil, fmt.Errorf("the config has no endpoint %s of %s%s", name, providerName, didYouMean(name, known))
	case len(fits) == 0:
		return nil, fmt.Errorf("the config has no endpoint of %s; available: %s", providerName, strings.Join(known, ", "))
	case len(fits) > 1:
		names := make([]string, len(fits))
		for i, e := range fits {
			names[i] = e.name()
		}
		return nil, fmt.Errorf("the config has several endpoints of %s: add --endpoint with one of: %s", providerName, strings.Join(names, ", "))
	}
	return fits[0], nil
}

// didYouMean suggests the closest name for a misspelled one, or lists all names.
func didYouMean(name string, known []string) string {
	if near := option.Nearest(strings.ToLower(name), known); near != "" {
		return ": did you mean " + near + "?"
	}
	if len(known) == 0 {
		return ""
	}
	return "; available: " + strings.Join(known, ", ")
}

// config returns the config of the file that --config names or, without it, of
// the running Caddy instance.
func (a *adminClient) loadConfig() ([]byte, error) {
	if a.config != "" {
		return adaptFile(a.config, a.adapter)
	}
	address, err := caddycmd.DetermineAdminAPIAddress(a.address, nil, "", "")
	if err != nil {
		return nil, fmt.Errorf("finding the admin API: %w", err)
	}
	resp, err := caddycmd.AdminAPIRequest(address, http.MethodGet, "/config/", nil, nil)
	if err != nil {
		return nil, fmt.Errorf("querying the running Caddy instance: %w", err)
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, maxConfig))
}

// adaptFile returns a config file as JSON. It silences Caddy's own function, which
// logs to the terminal.
func adaptFile(file, adapter string) ([]byte, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the config: %w", err)
	}
	if adapter == "" && json.Valid(raw) {
		return raw, nil
	}
	name := cmp.Or(adapter, "caddyfile")
	a := caddyconfig.GetAdapter(name)
	if a == nil {
		return nil, usagef("unrecognized config adapter: %s", name)
	}
	config, _, err := a.Adapt(raw, map[string]any{"filename": file})
	if err != nil {
		return nil, fmt.Errorf("reading the config: %w", err)
	}
	return config, nil
}

// maxConfig is the maximum size of a config read from the admin API, in bytes.
const maxConfig = 64 << 20
