//go:build linux && amd64

// Package ownfe is a front-end that is as small as one can be and still run the engine: its
// programs are Go functions, and what it catches are the calls that they make by
// [Process.Syscall]. docs/frontends.md goes through it step by step.
//
// It shows what every front-end has to do: start the variants and tell of their first
// programs, report each stop of a task once, carry out what the monitor answers, move memory
// to where the monitor wants it, give access to that memory, tell of ends, and leave nothing
// behind. What it cannot do (processes that fork, signals that are handled, threads) it
// does not claim, and answers with an error if it is asked for it all the same.
//
// A [FrontEnd] runs one session at a time. Nothing keeps a Go function from doing more than
// making calls, and nothing ends one that never makes any: this is an example, no sandbox.
package ownfe
