// Package unix is the one place of this project that speaks to the Linux kernel
// through golang.org/x/sys/unix: thin typed wrappers of ptrace(2), wait4(2),
// process_vm_readv(2), pidfd_getfd(2) and the few calls around them.
//
// Functions have no state and are safe for concurrent use; where the kernel
// ties a request to the calling thread (all of ptrace, the waits) the comment
// says so. Errors are plain [syscall.Errno] values, never wrapped, so that hot
// paths do not allocate. Calls that cannot sleep for long are made without
// telling the scheduler; the others are made the ordinary way.
package unix
