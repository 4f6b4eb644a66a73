//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"testing"
)

func BenchmarkExit(b *testing.B) {
	d, err := MeasureExits(b.N)
	if errors.Is(err, ErrUnavailable) {
		b.Skip(err)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(d.Nanoseconds()), "ns/exit")
}
