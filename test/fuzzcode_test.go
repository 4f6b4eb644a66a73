//go:build linux && amd64

package test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// fuzzSeeds is how many pages of random code one run of hostile_random executes.
const fuzzSeeds = 200

// fuzzSeed is the variable that repeats a run of the fuzzer: the first seed.
const fuzzSeed = "MV_FUZZ_SEED"

// fuzzTime is how long the fuzzer runs, that of MV_FUZZ_TIME if it is set: a minute
// where the processor's exceptions pass through the front-end, less in short and where the
// kernel handles them as it does natively.
func fuzzTime(t *testing.T) time.Duration {
	t.Helper()
	if text := os.Getenv("MV_FUZZ_TIME"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if frontEnd == "kvm" && !testing.Short() {
		return time.Minute
	}
	return 5 * time.Second
}

// fuzzRun compares one run from seed first on with the same run natively.
func fuzzRun(t *testing.T, first uint64, n int) (good bool) {
	return t.Run(fmt.Sprintf("pages/from_%d/N=%d", first, n), func(t *testing.T) {
		c := Case{Args: []string{
			program(t, "hostile_random", dynamic), "DIR", strconv.FormatUint(first, 10), strconv.Itoa(fuzzSeeds),
		}}
		c.check(t, Run{N: n}, c.natively(t, Run{}))
		if t.Failed() {
			t.Errorf("again by %s=%d", fuzzSeed, first)
		}
	})
}

// fuzzCode executes the random bytes of at most so many seeds, from first on, for at
// most so long, and returns how many pages that were; so many failures end it.
func fuzzCode(t *testing.T, first, most uint64, d time.Duration) (pages uint64) {
	t.Helper()
	const enough = 10
	failures := 0
	for end, n := time.Now().Add(d), 1; pages < most && time.Now().Before(end) && failures < enough; n = n%3 + 1 {
		if !fuzzRun(t, first+pages, n) {
			failures++
		}
		pages += fuzzSeeds
	}
	return pages
}

// fuzzPages bounds what TestFuzzCode executes.
const fuzzPages = 1600

// TestFuzzCode executes random bytes in ring 3: what becomes of them is what becomes of
// them natively. They are the same each time, so that a failure is the change's; the
// soak test executes new ones.
func TestFuzzCode(t *testing.T) {
	if text := os.Getenv(fuzzSeed); text != "" {
		first, err := strconv.ParseUint(text, 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		for n := 1; n <= 3; n++ {
			fuzzRun(t, first, n)
		}
		return
	}
	t.Logf("%d pages", fuzzCode(t, 1, fuzzPages, fuzzTime(t)))
}
