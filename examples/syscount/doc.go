// Command syscount runs a program as variants and tells how often it, with all its
// processes, made each system call, and how often in vain.
//
//	syscount [-n N] [-kvm] PROG [ARG...]
//
// It is the smallest use of the engine's hooks: one that looks and changes nothing. The
// calls are the program's: what N variants ask for together counts once. The execution with
// which the session begins is not the program's. The table goes to standard error, and the
// exit status is the program's.
package main
