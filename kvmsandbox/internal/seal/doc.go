// Package seal makes sure that what runs in a variant's process makes no call that gives
// it power, unless the monitor has ordered just that call.
//
// Where the program runs in the process that makes the calls (Syscall User Dispatch), it
// can jump to the variant host's own system call instruction. A filter (seccomp(2)), which
// every task of the variant has from before its first instruction of the program's, and
// for ever, makes this worthless: calls from outside of the variant host's image kill the
// process, whatever has become of the dispatch; those from inside that the table of calls
// says are tame are made; all others wait until the monitor, which is told of them, finds
// them among what it has ordered of that task and not seen yet.
//
// What a call's pointers lead to is not compared here: the program can write to where the
// monitor has put it.
package seal
