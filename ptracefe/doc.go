// Package ptracefe is the front-end that catches what variants do with
// ptrace(2) and a seccomp(2) filter.
//
// Variants are children of the monitor's process. A filter makes every system
// call of theirs an event; the monitor's decision is carried out by changing
// the stopped thread's registers and by running calls in its place. The
// variants cannot reach the monitor's memory, and the kernel kills them when
// the monitor dies.
//
// A session runs on one goroutine that keeps its operating system thread,
// because the kernel ties a tracee to the thread that traces it. Run must not
// be called from a goroutine that needs that thread for anything else. Other
// children of an embedding program are never waited for.
//
// The package needs Linux 5.9 or later on amd64 or arm64 and the right to trace its own
// children; [ErrForbidden] says that the system refuses it.
package ptracefe
