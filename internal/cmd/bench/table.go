//go:build linux && amd64

package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// result is one measurement: nanoseconds for one turn of a loop.
type result struct {
	name string
	ns   float64
}

// parse reads the program's output.
func parse(out string) ([]result, error) {
	var rs []result
	for line := range strings.Lines(out) {
		name, number, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		ns, err := strconv.ParseFloat(number, 64)
		if err != nil || !(ns > 0) || math.IsInf(ns, 0) {
			return nil, fmt.Errorf("unexpected output %q", line)
		}
		rs = append(rs, result{name, ns})
	}
	if len(rs) == 0 {
		return nil, errors.New("no output")
	}
	return rs, nil
}

// table collects the results of all runs. The zero value is empty.
type table struct {
	// rows are the names of measurements in the order of their first appearance.
	rows  []string
	cells map[cell][]float64
}

type cell struct{ row, column string }

// add takes the results of one run of a contender.
func (t *table) add(contender string, results []result) {
	if t.cells == nil {
		t.cells = map[cell][]float64{}
	}
	for _, r := range results {
		if !slices.Contains(t.rows, r.name) {
			t.rows = append(t.rows, r.name)
		}
		key := cell{r.name, contender}
		t.cells[key] = append(t.cells[key], r.ns)
	}
}

// write writes the medians as a Markdown table with a column per contender; each
// but the first also shows how many times the first's cost it is.
func (t *table) write(w io.Writer, contenders []string) error {
	var b strings.Builder
	b.WriteString("| |")
	for _, c := range contenders {
		fmt.Fprintf(&b, " %s |", c)
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(contenders)) + "\n")
	for _, row := range t.rows {
		fmt.Fprintf(&b, "| %s |", row)
		base := median(t.cells[cell{row, contenders[0]}])
		for i, c := range contenders {
			m := median(t.cells[cell{row, c}])
			switch {
			case math.IsNaN(m):
				b.WriteString(" - |")
			case i == 0 || math.IsNaN(base):
				fmt.Fprintf(&b, " %s |", duration(m))
			default:
				fmt.Fprintf(&b, " %s (%s) |", duration(m), ratio(m/base))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// median returns the middle of vs, NaN when there are none.
func median(vs []float64) float64 {
	if len(vs) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(vs))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// duration prints nanoseconds with three digits and a unit.
func duration(ns float64) string {
	switch {
	case ns >= 1e6:
		return digits(ns/1e6) + " ms"
	case ns >= 1e3:
		return digits(ns/1e3) + " µs"
	}
	return digits(ns) + " ns"
}

func ratio(r float64) string { return digits(r) + "x" }

// digits prints v with three significant digits, never in scientific notation.
func digits(v float64) string {
	places := 0
	if v > 0 && v < 100 {
		places = 2 - int(math.Floor(math.Log10(v)))
	}
	return strconv.FormatFloat(v, 'f', max(places, 0), 64)
}
