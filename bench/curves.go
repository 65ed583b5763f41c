//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/bench/chart"
)

// curve is a line of a chart. Files in bench/results have one JSON object per line.
type curve struct {
	Curve  string       `json:"curve"`
	Unit   string       `json:"unit"`
	Points [][2]float64 `json:"points"`
}

// line returns the curve as JSON, rounded to the precision of the measurements.
func (c curve) line() (string, error) {
	rounded := curve{Curve: c.Curve, Unit: c.Unit}
	for _, p := range c.Points {
		y, err := strconv.ParseFloat(strconv.FormatFloat(p[1], 'g', 4, 64), 64)
		if err != nil {
			return "", err
		}
		rounded.Points = append(rounded.Points, [2]float64{p[0], y})
	}
	data, err := json.Marshal(rounded)
	return string(data), err
}

// growth is a file of curves and a description of its charts.
type growth struct {
	file string
	x    string
	// titles are the chart titles by unit.
	titles map[string]string
}

var growths = []growth{
	{inConnections, "connections", map[string]string{
		"deliveries a second":  "Throughput by connections, 1 KiB, two cores shared with sender and app",
		"µs of CPU a delivery": "CPU time of the server by connections, 1 KiB",
	}},
	{inEndpoints, "endpoints", map[string]string{
		"ms":                   "Start and reload by number of endpoints",
		"µs of CPU a delivery": "CPU time of a delivery by number of endpoints, 1 KiB",
		"MiB":                  "Memory of Caddy by number of endpoints",
	}},
	{"growth-stores.json", "remembered keys", map[string]string{"µs": "Replay stores: time by remembered keys"}},
	{"growth-queue.json", "waiting deliveries", map[string]string{"µs": "webhook_queue file: time by waiting deliveries"}},
}

// drawCurves draws one chart for each file and unit in bench/results of the
// repository.
func drawCurves(root string) error {
	for _, g := range growths {
		curves, err := readCurves(filepath.Join(root, "bench", "results", g.file))
		if errors.Is(err, os.ErrNotExist) {
			fmt.Fprintf(os.Stderr, "skipped %s: not measured yet\n", g.file)
			continue
		}
		if err != nil {
			return err
		}
		for unit, svg := range g.charts(curves) {
			if err := writeImage(root, imageName(g.file, unit), svg); err != nil {
				return err
			}
		}
	}
	return nil
}

func readCurves(path string) ([]curve, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var all []curve
	decoder := json.NewDecoder(f)
	decoder.DisallowUnknownFields()
	for {
		var c curve
		err := decoder.Decode(&c)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		all = append(all, c)
	}
}

// mostLinear is the largest ratio of maximum to minimum value for which the value
// axis is linear.
const mostLinear = 30

// charts returns the charts by unit.
func (g growth) charts(curves []curve) map[string]string {
	byUnit := make(map[string]*chart.Chart)
	for _, c := range curves {
		if byUnit[c.Unit] == nil {
			title := g.titles[c.Unit]
			if title == "" {
				title = strings.TrimSuffix(strings.ReplaceAll(g.file, "-", " "), ".json")
			}
			byUnit[c.Unit] = &chart.Chart{Title: title, X: g.x, Y: c.Unit, LogX: true}
		}
		byUnit[c.Unit].Lines = append(byUnit[c.Unit].Lines, chart.Line{Name: c.Curve, Points: c.Points})
	}
	pictures := make(map[string]string, len(byUnit))
	for unit, c := range byUnit {
		c.LogY = spansDecades(c.Lines)
		pictures[unit] = c.SVG()
	}
	return pictures
}

// spansDecades reports whether small values would be invisible on a linear axis.
func spansDecades(lines []chart.Line) bool {
	least, most := math.Inf(1), 0.0
	for _, line := range lines {
		for _, point := range line.Points {
			least, most = min(least, point[1]), max(most, point[1])
		}
	}
	return least > 0 && most/least > mostLinear
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// imageName returns the image name for a file and a unit, like growth-stores-us.svg.
func imageName(file, unit string) string {
	unit = strings.ReplaceAll(strings.ToLower(unit), "µ", "u")
	return strings.TrimSuffix(file, ".json") + "-" + strings.Trim(notInNames.ReplaceAllString(unit, "-"), "-") + ".svg"
}

func writeImage(root, name, svg string) error {
	folder := filepath.Join(root, "docs", "images")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return fmt.Errorf("writing a chart: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, name), []byte(svg), 0o644); err != nil {
		return fmt.Errorf("writing a chart: %w", err)
	}
	return nil
}
