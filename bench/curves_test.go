//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCurvesRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results", "growth.json")
	var points samples
	for _, y := range []float64{3, 1, 200} {
		points.add("memory", "µs", 10_000_000, y)
	}
	points.add("memory", "µs", 10, 0.41234567)
	points.add("memory", "MiB", 10, 5)
	if err := writeCurves(path, points.curves()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if want := `{"curve":"memory","unit":"µs","points":[[10,0.4123],[10000000,3]]}` + "\n" + `{"curve":"memory","unit":"MiB","points":[[10,5]]}` + "\n"; err != nil || string(text) != want {
		t.Errorf("%v\n%s", err, text)
	}
	curves, err := readCurves(path)
	if err != nil || len(curves) != 2 || !slices.Equal(curves[0].Points, [][2]float64{{10, 0.4123}, {1e7, 3}}) {
		t.Errorf("%v, %+v", err, curves)
	}
	if err := os.WriteFile(path, []byte(`{"curve":"memory","points":[[1,"a"]]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readCurves(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

func TestEveryUnitHasAChart(t *testing.T) {
	g := growth{"growth-test.json", "keys", map[string]string{"µs": "Time by keys"}}
	charts := g.charts([]curve{
		{"memory", "µs", [][2]float64{{10, 1}, {1000, 2}}},
		{"file", "µs", [][2]float64{{10, 100}, {1000, 200}}},
		{"memory", "bytes a key", [][2]float64{{10, 100}}},
	})
	if len(charts) != 2 {
		t.Fatalf("%d charts", len(charts))
	}
	for unit, want := range map[string][]string{"µs": {"Time by keys", "memory", "file", "keys"}, "bytes a key": {"growth test", "memory"}} {
		for _, text := range want {
			if !strings.Contains(charts[unit], ">"+text+"<") {
				t.Errorf("%s: no %q", unit, text)
			}
		}
	}
	if name := imageName(g.file, "µs of CPU a delivery"); name != "growth-test-us-of-cpu-a-delivery.svg" {
		t.Errorf("%s", name)
	}
}

// TestDocumentationChartsMatchTheirData redraws the charts and compares them.
func TestDocumentationChartsMatchTheirData(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("results", "growth-*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		i := slices.IndexFunc(growths, func(g growth) bool { return g.file == filepath.Base(file) })
		if i < 0 {
			t.Errorf("nothing is drawn of %s", file)
			continue
		}
		curves, err := readCurves(file)
		if err != nil {
			t.Fatal(err)
		}
		for unit, svg := range growths[i].charts(curves) {
			path := filepath.Join("..", "docs", "images", imageName(growths[i].file, unit))
			if committed, err := os.ReadFile(path); err != nil || string(committed) != svg {
				t.Errorf("%s is not what its data say: run make curves (%v)", path, err)
			}
		}
	}
}
