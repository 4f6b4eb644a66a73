//go:build linux && amd64

package kvmsandbox

import (
	"testing"
	"time"
)

// How long a spinner looks grows while that is of use, and shrinks while it is not.
func TestSpinner(t *testing.T) {
	const most = 50 * leastSpin
	w := spinner{most: most}
	looks := 0
	after := func(n int) func() bool {
		looks = 0
		return func() bool { looks++; return looks > n }
	}
	for i := range 10 {
		if !w.until(after(i)) {
			t.Fatalf("what is there after %d looks was not found", i)
		}
	}
	if w.patience != most {
		t.Errorf("after ten finds it looks for %v, not for %v", w.patience, most)
	}
	never := func() bool { return false }
	for range probeSpin {
		before := w.patience
		if w.until(never) || w.patience >= before {
			t.Fatalf("what is never there: %v after %v", w.patience, before)
		}
	}
	if w.patience > most/10 || w.vain != probeSpin {
		t.Errorf("after %d looks in vain it looks for %v", w.vain, w.patience)
	}
	// Now and then it is tried whether it has become of use.
	begun := time.Now()
	if w.until(never); time.Since(begun) < most || w.vain != 1 {
		t.Errorf("it was tried for %v", time.Since(begun))
	}
}

func TestSpinnerThatDoesNot(t *testing.T) {
	var w spinner
	looks := 0
	for _, want := range []bool{false, true} {
		if got := w.until(func() bool { looks++; return want }); got != want {
			t.Errorf("it says %v", got)
		}
	}
	if looks != 2 {
		t.Errorf("it has looked %d times", looks)
	}
}
