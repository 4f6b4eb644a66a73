// Package inprocfe is the front-end that runs variants in processes of their own, without a
// tracer and without virtual machines.
//
// Each process of a variant is the variant host (package vhost), and the program runs in it.
// The kernel turns the program's system calls into signals (Syscall User Dispatch); the
// variant host tells the monitor what happened, in memory that both have, and makes the
// calls that the monitor lets through. All that a program and its processes are otherwise is
// decided by the code that the front-end on virtual machines has as well.
//
// It detects and does not contain: the memory by which the variant host and the monitor talk
// is in reach of the program. What is in it is hostile input to the monitor, as is
// everything else of a variant. A program that is written to get around the front-end can
// act for a variant unseen, which an attack on one variant's layout is not; docs/security.md
// of the module says what that means. Who has to contain a program takes another front-end.
//
// The package needs Linux 6.1 or later on amd64 and the processor's FSGSBASE;
// [ErrUnavailable] says that something is missing, [Probe] what.
package inprocfe
