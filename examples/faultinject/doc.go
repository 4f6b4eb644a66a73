// Command faultinject runs a program as variants whose input and output now and then go
// wrong, in ways in which the kernel lets them: reads and writes that are interrupted before
// they have done anything, reads that return less than was asked for, a disk that is full.
//
//	faultinject [-short-read P] [-eintr P] [-enospc-after BYTES] [-seed N] [-spare DIRS]
//	            [-n N] [-kvm] PROG [ARG...]
//
// A fault happens to the program, not to a variant: the leader's call is answered, or made
// with a smaller length, and the followers get what the leader got. P is a probability from
// 0 to 1. What happens to a thread's calls is a function of the seed, of the thread's place
// in the order in which threads were made, and of its own calls, so a run can be repeated
// for as long as the program makes the same calls.
//
// BYTES counts what all processes write to files on disks. The write that does not fit is
// cut short, as on a full disk, and those behind it fail with ENOSPC. What goes to a file
// through memory does not count.
//
// No fault happens to files in the directories of -spare, by default those of libraries: the
// dynamic loader gives up when a read is interrupted, which does not happen to files on a
// disk, and no program would get any further.
package main
