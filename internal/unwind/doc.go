// Package unwind finds the callers of a function from a copy of its stack: by the call
// frame information in the .eh_frame sections of x86-64 programs (System V ABI for AMD64,
// LSB's chapter on exception frames, DWARF 4's section 6.4), else by frame pointers.
//
// Sections and stacks are hostile input: nothing here panics, reads beyond what it is
// given, takes steps without a bound or allocates what they ask for.
package unwind
