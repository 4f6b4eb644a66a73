//go:build linux && amd64

// Command witness runs a command and counts what it and its descendants ask of the
// kernel, process by process. It watches in the kernel, by two eBPF programs, and
// believes nobody: not the command, and not a sandbox that the command may be.
//
//	witness kvmsandbox -n 2 --frontend kvm cat /etc/hostname
//
// It tells whether a sandbox keeps its promise: a process of a variant makes the
// calls that were ordered, and no other. The test of this package compares its
// figures with kvmsandbox's own log.
//
// It runs on x86-64, needs CAP_BPF and CAP_PERFMON, as root has them, and a mounted
// tracefs, and must not be in a process id namespace other than the first.
package main
