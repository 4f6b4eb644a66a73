// Package machine runs commands in a machine that QEMU emulates, instruction by
// instruction, with a Debian kernel in it. So what needs another processor than the
// host's can be tried on any host, although slowly. There are two kinds: [SVM] is an AMD
// processor with hardware support for virtual machines, whose kernel loads kvm_amd, and
// [ARM64] a processor with another instruction set.
//
// A machine boots, runs its commands one after the other and is gone. All it has is
// its initial file system: the files it is given, which therefore have to be static
// programs, and busybox. It has no disk and no network. Its first process is this
// package too, see [Init].
package machine
