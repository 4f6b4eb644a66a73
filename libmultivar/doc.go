// Package libmultivar is the back-end of the multi-variant execution engine: a
// state machine that decides what every variant of a program may do next.
//
// An [Engine] implements [frontend.Monitor]. It takes reports of what variants
// do, compares what they ask of the kernel, and returns actions. It makes no
// system calls, starts no goroutines and never blocks: a variant that must wait
// is simply given no action yet. The same engine therefore serves a ptrace
// tracer, a hypervisor and a scripted test, and all interleavings of variants
// can be tested in memory.
//
// # How a call flows
//
// Each thread of the program has one stream of events. The leader's arrival at a
// call appends an event with everything that the call asks for, encoded without
// addresses and padding. A follower that arrives at the event encodes its own
// request and compares bytes. Depending on the policy the leader waits for all
// followers before the kernel sees the call, or runs ahead; either way every
// request is compared. When the leader's call is done, its result and its output
// complete the event, and followers are answered from it, or run the call too
// where it concerns their own memory or life.
//
// # Embedding
//
// [Run] puts a front-end, a program and an engine together. [Hooks] have a say in what the
// program asks of the kernel: they see each call once, as it is compared, and their verdict
// holds in all variants. docs/embedding.md is a guide.
//
// An Engine is not safe for concurrent use; the front-end calls it from one
// goroutine.
package libmultivar
