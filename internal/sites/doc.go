// Package sites finds, in the text of a program, instructions that can be exchanged for others.
//
// Of system calls it finds those that can be exchanged for a jump. It looks for what compilers and
// C libraries write around a system call instruction, makes sure that this is where an instruction
// begins, and that no direct branch of the text leads into what the jump would overwrite. Reads of
// random numbers (RDRAND, RDSEED) and CPUID it finds as they are written, and exchanges for an
// instruction of the same length that raises an exception.
//
// Text is hostile: it may hold anything.
package sites
