// Package sites finds, in the text of a program, the system calls that can be exchanged for
// a jump. It looks for what compilers and C libraries write around a system call
// instruction, makes sure that this is where an instruction begins, and that no direct
// branch of the text leads into what the jump would overwrite.
//
// Text is hostile: it may hold anything.
package sites
