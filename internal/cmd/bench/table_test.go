//go:build linux && amd64

package main

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTable(t *testing.T) {
	var tab table
	for _, ns := range []float64{3000, 100, 200} {
		tab.add("native", []result{{"getcwd", ns}, {"rdtsc", 10}})
	}
	for _, ns := range []float64{40_000, 50_000} {
		tab.add("N=2", []result{{"getcwd", ns}})
	}
	var b strings.Builder
	if err := tab.write(&b, []string{"native", "N=2"}); err != nil {
		t.Fatal(err)
	}
	want := `| | native | N=2 |
|---|---:|---:|
| getcwd | 200 ns | 45.0 µs (225x) |
| rdtsc | 10.0 ns | - |
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

func TestParse(t *testing.T) {
	got, err := parse("read-64 300.5\nrdtsc 20.0\n")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]result{{"read-64", 300.5}, {"rdtsc", 20}}, got, cmp.AllowUnexported(result{})); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"", "read\n", "read x\n", "read 0\n", "read -1\n", "read NaN\n", "read +Inf\n"} {
		if _, err := parse(bad); err == nil {
			t.Errorf("parse(%q) succeeds", bad)
		}
	}
}

func TestDigits(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.123: "0.123", 1: "1.00", 12.34: "12.3", 123.4: "123", 12345: "12345"} {
		if got := digits(v); got != want {
			t.Errorf("digits(%v) = %s, want %s", v, got, want)
		}
	}
	if !math.IsNaN(median(nil)) || median([]float64{3, 1, 2}) != 2 || median([]float64{1, 2}) != 1.5 {
		t.Error("median")
	}
}
