package frontend

// Counter is a Host that counts how variants come to the monitor.
type Counter interface {
	// Counts returns what has been counted of a variant since the session began.
	Counts(variant int) Counts
}

// Counts is what a Counter has counted of all tasks of a variant.
type Counts struct {
	// Stops is how often their program has come to the monitor, by calls, faults and signals.
	// Under ptrace that is each stop.
	Stops uint64
	// Sleeps is how often they have slept until the monitor, or another variant beside it, was
	// as far as they: each costs a wake-up. Where each stop is a sleep there are none beside.
	Sleeps uint64
}
