package main

// entry is the program's first instruction when it is linked with
// -ldflags=-E=main.entry, as the Makefile does. The Go runtime opens /dev/null for
// each of the descriptors 0 to 2 that is closed when it starts, before any Go code
// runs; entry looks before it. It sets atStart and goes on to the runtime.
func entry()

// Only the linker refers to entry.
var _ = entry

// atStart has bit i set when descriptor i was closed at the start, for i < 3. Only
// entry writes it.
var atStart uint32

// closedAtStart reports whether descriptor fd was closed when the process started.
// In a program that was linked without the entry it is never known to be.
func closedAtStart(fd int) bool { return fd < 3 && atStart>>fd&1 != 0 }
