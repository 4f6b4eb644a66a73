// Package trace writes what a session did as a file in the Trace Event Format, which
// Perfetto (ui.perfetto.dev) and chrome://tracing open: variants are its processes, threads
// its threads, calls and waits its slices.
//
// The file is written as the session goes on, and can be opened whenever it ends; what is
// kept in memory are the names of the threads that live and a buffer.
package trace
