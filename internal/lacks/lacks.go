// Package lacks is for tests that need what not every machine has: it leaves them out
// loudly and counts them.
package lacks

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"testing"
)

// Counter counts the tests that did not run. The zero value is ready for use. Its methods
// are safe for concurrent use.
type Counter struct{ absent atomic.Int64 }

// End ends a test for want of something: loudly, counted, and as a failure where the
// environment variable required, if it is not empty, is 1.
func (c *Counter) End(t testing.TB, what, required string) {
	t.Helper()
	c.absent.Add(1)
	fmt.Fprintf(os.Stderr, "MISSING: %s: %s\n", t.Name(), what)
	if required != "" && os.Getenv(required) == "1" {
		t.Fatalf("MISSING: %s", what)
	}
	t.Skipf("MISSING: %s", what)
}

// Tell writes how many tests did not run, if there are any.
func (c *Counter) Tell(w io.Writer) {
	if n := c.absent.Load(); n > 0 {
		fmt.Fprintf(w, "MISSING: %d tests did not run because the machine lacks what they need\n", n)
	}
}
