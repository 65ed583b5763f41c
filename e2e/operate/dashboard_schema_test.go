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

// v1 is the format that files have and that Grafana imports; its second version is
// for Grafana's API alone.
type v1 = schema.Dashboard //nolint:staticcheck // deprecated for programs that make dashboards

// Grafana's own types, which its developers make from the schemas of dashboards,
// panels and queries, accept every member of the dashboard. A mistyped option of a
// panel would otherwise show nowhere: Grafana ignores it.
func TestTheDashboardIsOfGrafanasSchema(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	raw, err := os.ReadFile(filepath.Join(monitoring, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	// A panel without an error returns an empty list of them, which is not nil.
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
			t.Errorf("%s: it does not fit into 24 columns", *panel.Title)
		}
		if len(panel.Targets) == 0 || panel.Datasource == nil {
			t.Errorf("%s: no query, or no data source", *panel.Title)
		}
	}
}
