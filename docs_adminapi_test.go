package verifywebhook_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// TestEveryAdminEndpointIsDocumented compares the table in docs/operating.md with the
// endpoints that this module adds to Caddy's admin API.
func TestEveryAdminEndpointIsDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("docs", "operating.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## The admin API\n")
	section, _, _ = strings.Cut(section, "\n## ")
	documented := make(map[string]bool)
	for _, path := range regexp.MustCompile(`/verify_webhook/[a-z/]+`).FindAllString(section, -1) {
		documented[path] = true
	}
	served := make(map[string]bool)
	for id, typ := range registered(t) {
		info, err := caddy.GetModule(id)
		if err != nil {
			t.Fatal(err)
		}
		router, ok := info.New().(caddy.AdminRouter)
		if !ok {
			continue
		}
		for _, route := range router.Routes() {
			served[route.Pattern] = true
			if !documented[route.Pattern] {
				t.Errorf("docs/operating.md does not document %s of %s", route.Pattern, typ)
			}
		}
	}
	if len(served) < 10 {
		t.Errorf("found only %d endpoints", len(served))
	}
	for path := range documented {
		if !served[path] {
			t.Errorf("docs/operating.md documents %s, which does not exist", path)
		}
	}
}
