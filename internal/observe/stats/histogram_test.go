package stats

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Each duration is in the class whose bounds it lies between.
func TestClasses(t *testing.T) {
	for c := range classes - 1 {
		last := bound(c)
		if class(last) != c || class(last+1) != c+1 {
			t.Fatalf("class %d ends with %d, but that is in class %d and the next in %d", c, last, class(last), class(last+1))
		}
	}
	if got := class(1 << 62); got != classes-1 {
		t.Errorf("a very long time is in class %d", got)
	}
	if got := class(-1); got != 0 {
		t.Errorf("a negative time is in class %d", got)
	}
}

// Quantiles are not too small, and at most an eighth too large.
func TestQuantiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h histogram
	if h.quantile(0.5) != 0 {
		t.Error("a quantile of nothing")
	}
	var all []time.Duration
	for range 10000 {
		d := time.Duration(1) << rng.IntN(35)
		d += time.Duration(rng.Int64N(int64(d)))
		h.add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 1} {
		exact := all[max(int(q*float64(len(all))+0.5), 1)-1]
		if got := h.quantile(q); got < exact || float64(got) > float64(exact)*1.125 {
			t.Errorf("quantile %v is %v, exactly %v", q, got, exact)
		}
	}
}
