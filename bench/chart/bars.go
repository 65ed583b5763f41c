package chart

import "slices"

// Bar is one row of a bar chart.
type Bar struct {
	Name             string
	Value, Low, High float64 // the range is drawn only if High > Low
	Color            int     // 0 to 5
}

// Bars is a chart of horizontal bars.
type Bars struct {
	Title string
	X     string // axis label, including the unit
	Rows  []Bar
}

// SVG returns the chart as an SVG document.
func (b Bars) SVG() string {
	values := make([]float64, 0, 2*len(b.Rows)+1)
	for _, row := range b.Rows {
		values = append(values, row.Value, row.High)
	}
	scale := axis{start: barsLeft, end: barsRight, high: 1}
	if len(values) > 0 {
		scale.high = max(slices.Max(values), 1e-9)
	}
	var d drawing
	d.begin(barsTop+len(b.Rows)*(barHeight+barGap)+barsMargin, b.Title)
	d.text(16, 46, "start", "quiet", b.X)
	for i, row := range b.Rows {
		top := float64(barsTop + i*(barHeight+barGap) + barGap)
		middle, end := top+barHeight/2, scale.at(row.Value)
		d.text(barsLeft-10, middle+4, "end", "", row.Name)
		d.printf(`<g class="c%d"><rect class="ink" x="%d" y="%.1f" width="%.1f" height="%d" rx="2"/></g>`, row.Color, barsLeft, top, end-barsLeft, barHeight)
		if row.High > row.Low {
			d.printf(`<line class="range" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, scale.at(row.Low), middle, scale.at(row.High), middle)
			end = max(end, scale.at(row.High))
		}
		d.text(end+8, middle+4, "start", "quiet", Number(row.Value))
	}
	return d.end()
}
