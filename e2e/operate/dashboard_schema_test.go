package operate

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	schema "github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// v1 is the file format that Grafana imports. Version 2 exists only in Grafana's API.
type v1 = schema.Dashboard //nolint:staticcheck // deprecated for programs that generate dashboards

// TestTheDashboardMatchesGrafanasSchema decodes the dashboard with Grafana's types, which
// are generated from the schemas of dashboards, panels and queries. Grafana itself
// ignores a mistyped option of a panel.
func TestTheDashboardMatchesGrafanasSchema(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	raw, err := os.ReadFile(filepath.Join(monitoring, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	// A panel without errors returns an empty list that is not nil.
	if err := new(v1).UnmarshalJSONStrict(raw); err != nil && err.Error() != "" {
		t.Fatalf("dashboard.json: %v", err)
	}
	var d v1
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatalf("dashboard.json: %v", err)
	}
	if err := d.Validate(); err != nil && err.Error() != "" {
		t.Fatalf("dashboard.json: %v", err)
	}
	var ids []uint32
	for _, p := range d.Panels {
		panel := p.Panel
		if panel == nil || panel.Id == nil || panel.Title == nil {
			t.Fatalf("a panel without id or title: %+v", p)
		}
		if slices.Contains(ids, *panel.Id) {
			t.Errorf("%s: another panel has the id %d", *panel.Title, *panel.Id)
		}
		ids = append(ids, *panel.Id)
		if panel.GridPos == nil || panel.GridPos.X+panel.GridPos.W > 24 {
			t.Errorf("%s: wider than 24 columns", *panel.Title)
		}
		if len(panel.Targets) == 0 || panel.Datasource == nil {
			t.Errorf("%s: missing query or data source", *panel.Title)
		}
	}
}
