// Package svmvm runs commands in a machine that has a real SVM: QEMU emulates a
// processor of AMD, instruction by instruction, and a Debian kernel in it loads
// kvm_amd. So what needs hardware support for virtual machines can be tried on any
// host, although slowly.
//
// A machine boots, runs its commands one after the other and is gone. All it has is
// its initial file system: the files it is given, which therefore have to be static
// programs, and busybox. It has no disk and no network. Its first process is this
// package too, see [Init].
package svmvm
