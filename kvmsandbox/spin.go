//go:build linux && amd64

package kvmsandbox

import "time"

// spinner says for how long the monitor looks for something before it sleeps. To be woken costs the
// monitor, and whoever wakes it, more than what most tasks do between two reports; to look in vain
// takes a processor from them. So for how long follows how often it has been of use lately.
type spinner struct {
	// most is for how long at most, 0 for not at all; patience is for how long now.
	most, patience time.Duration
	// vain is how often it was of no use since it was last tried for as long as can be.
	vain int
}

const (
	// leastSpin is below what a sleep costs by far.
	leastSpin = 8 * time.Microsecond
	// probeSpin is how often it may be of no use until it is tried for long again.
	probeSpin = 16
)

// until looks whether there is what the caller waits for, and says whether there was in time.
func (w *spinner) until(there func() bool) bool {
	if w.most == 0 {
		return there()
	}
	limit := max(w.patience, min(leastSpin, w.most))
	if w.vain >= probeSpin {
		w.vain, limit = 0, w.most
	}
	for end := time.Now().Add(limit); ; {
		for range 64 {
			if there() {
				w.patience = min(2*w.patience+leastSpin, w.most)
				return true
			}
		}
		if !time.Now().Before(end) {
			break
		}
	}
	w.vain++
	w.patience -= w.patience / 4
	return false
}
