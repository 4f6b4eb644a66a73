package durations_test

import (
	"fmt"
	"time"

	"github.com/multivar/multivar/frontend/durations"
)

func Example() {
	var timed durations.Histogram
	for range 9 {
		timed.Add(100 * time.Microsecond)
	}
	timed.Add(time.Second)

	// One call in sixteen was timed.
	var all durations.Histogram
	all.Merge(&timed, 16*timed.Count())
	fmt.Println(all.Count(), all.Quantile(0.5), all.Quantile(0.99) > time.Second)
	// Output: 160 106.495µs true
}
