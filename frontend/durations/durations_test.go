package durations_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend/durations"
)

// Each duration is in the class whose bounds it lies between.
func TestClasses(t *testing.T) {
	for c := range durations.Classes - 1 {
		last := durations.Bound(c)
		if durations.Class(last) != c || durations.Class(last+1) != c+1 {
			t.Fatalf("class %d ends with %d, but that is in class %d and the next in %d", c, last, durations.Class(last), durations.Class(last+1))
		}
	}
	if got := durations.Class(1 << 62); got != durations.Classes-1 {
		t.Errorf("a very long time is in class %d", got)
	}
	if got := durations.Class(-1); got != 0 {
		t.Errorf("a negative time is in class %d", got)
	}
}

// Quantiles are not too small, and at most an eighth too large.
func TestQuantiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h durations.Histogram
	if h.Quantile(0.5) != 0 {
		t.Error("a quantile of nothing")
	}
	var all []time.Duration
	for range 10000 {
		d := time.Duration(1) << rng.IntN(35)
		d += time.Duration(rng.Int64N(int64(d)))
		h.Add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 1} {
		exact := all[max(int(q*float64(len(all))+0.5), 1)-1]
		if got := h.Quantile(q); got < exact || float64(got) > float64(exact)*1.125 {
			t.Errorf("quantile %v is %v, exactly %v", q, got, exact)
		}
	}
}

// What stands for more has that weight, and nothing that was there is lost.
func TestMerge(t *testing.T) {
	var few, all durations.Histogram
	all.Merge(&few, 1000)
	if all.Count() != 0 {
		t.Errorf("%d of nothing", all.Count())
	}
	for range 3 {
		few.Add(time.Second)
	}
	few.Add(time.Minute)
	for range 100 {
		all.Add(time.Millisecond)
	}
	all.Merge(&few, 400)
	if all.Count() != 500 {
		t.Errorf("%d durations", all.Count())
	}
	for q, want := range map[float64]time.Duration{0.19: time.Millisecond, 0.5: time.Second, 0.79: time.Second, 0.9: time.Minute} {
		if got := all.Quantile(q); durations.Class(got) != durations.Class(want) {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	// As many as there can be.
	few.AddClass(0, 1<<62)
	all.Merge(&few, 1<<62)
	if all.Count() < 1<<62 || all.Quantile(0.5) != 0 {
		t.Errorf("%d durations, half of them at most %v", all.Count(), all.Quantile(0.5))
	}
}
