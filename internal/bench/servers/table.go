package servers

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Quartiles are of a number of values.
type Quartiles struct{ Low, Median, High float64 }

// quartiles returns those of vs, between neighbours where they fall between two; NaN when
// there are none.
func quartiles(vs []float64) Quartiles {
	s := slices.Sorted(slices.Values(vs))
	at := func(part float64) float64 {
		if len(s) == 0 {
			return math.NaN()
		}
		x := part * float64(len(s)-1)
		i := int(x)
		if i+1 == len(s) {
			return s[i]
		}
		return s[i] + (x-float64(i))*(s[i+1]-s[i])
	}
	return Quartiles{at(0.25), at(0.5), at(0.75)}
}

// Rate returns the answers in a second of contender i.
func (r *Result) Rate(i int) Quartiles {
	var vs []float64
	for _, s := range r.Samples[i] {
		vs = append(vs, s.Own)
	}
	return quartiles(vs)
}

// Ratio returns how much contender i answers of what the first one does.
func (r *Result) Ratio(i int) Quartiles {
	var vs []float64
	for _, s := range r.Samples[i] {
		vs = append(vs, s.Own/s.First)
	}
	return quartiles(vs)
}

// RatioTo returns how much contender i answers of what contender other does in the same
// round, both as parts of what the first one did next to them.
func (r *Result) RatioTo(i, other int) Quartiles {
	var vs []float64
	for k, s := range r.Samples[i] {
		o := r.Samples[other][k]
		vs = append(vs, s.Own/s.First/(o.Own/o.First))
	}
	return quartiles(vs)
}

// Spent returns the processor time of an answer in contender i, in microseconds.
func (r *Result) Spent(i int) Quartiles {
	var vs []float64
	for _, s := range r.Samples[i] {
		vs = append(vs, float64(s.Spent.Nanoseconds())/1e3)
	}
	return quartiles(vs)
}

// Write writes the results as a Markdown table: of each contender its median rate in
// thousands, the processor time of an answer, the median of its ratios to the first one, and to contender other, with
// quartiles.
func Write(w io.Writer, results []Result, contenders []Contender, other int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "| | | k/s | µs | of %s | of %s |\n|---|---|---:|---:|---:|---:|\n", contenders[0].Name, contenders[other].Name)
	for k := range results {
		r := &results[k]
		for i, c := range contenders {
			name := r.Server
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(&b, "| %s | %s | %.3g | %.3g |", name, c.Name, r.Rate(i).Median/1e3, r.Spent(i).Median)
			if i == 0 {
				b.WriteString(" | |\n")
				continue
			}
			fmt.Fprintf(&b, " %s | %s |\n", r.Ratio(i), r.RatioTo(i, other))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// String returns the median, and the quartiles in parentheses.
func (q Quartiles) String() string {
	return fmt.Sprintf("%.3g (%.3g-%.3g)", q.Median, q.Low, q.High)
}
