// Package calllog prints system calls and other events one per line, in the
// manner of strace(1).
//
// What it prints comes from a program that may be hostile: every byte that a
// terminal could take for a command is escaped, and long data are shortened. All
// functions are pure and safe for concurrent use.
package calllog
