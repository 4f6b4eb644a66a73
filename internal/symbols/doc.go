// Package symbols turns what the monitor saw of variants into what people read: it opens
// the files that were mapped, names functions and lines, follows stacks and disassembles.
//
// It works when the variants are gone, on copies. Files may have been replaced by an
// attacker since they were mapped; they are opened without waiting, within bounds, and
// their first bytes have to be those that were in memory. A file system that does not
// answer holds up whoever calls, so that callers do so within a time limit.
package symbols
