// Package sysabi is the table of Linux system calls that everything else in
// this project derives from: one [Row] per call with its number on every
// architecture, the kind and direction of each argument, who executes the
// call, what is replicated and what an unsupported call answers.
//
// The engine interprets the rows, the call log prints with them and the
// documentation is generated from them. A special case belongs into the row of
// its call first; a handler exists only where a row cannot say it.
//
// The table holds every call of Linux 6.18 for amd64 and arm64. The numbers are
// generated from golang.org/x/sys/unix, which takes them from the headers of
// the newest kernel; distributions' headers stop years earlier. Arguments,
// directions and layouts come from the manual pages and, where those are
// silent, from the kernel's source.
//
// All values of this package are immutable after initialisation and safe for
// concurrent use.
package sysabi

//go:generate go run ../../internal/cmd/gensysnr -o zz_numbers.go
//go:generate go run ../../internal/cmd/gensysdoc -tests ../../test/calls.txt -commands ../../test/commands.txt -o ../../docs/syscalls.md
