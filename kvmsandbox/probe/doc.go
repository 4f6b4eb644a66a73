// Package probe tells what the host's /dev/kvm can do, by trying it: it opens the
// device, makes a virtual machine of a few pages and runs some instructions in its
// ring 3.
//
// There are two kinds of KVM that a program can run on, and processor flags do not
// tell them apart. With hardware support (VMX, SVM) a SYSCALL in ring 3 enters ring
// 0 at the address in LSTAR. Where the kernel runs ring 3 itself and emulates ring
// 0 (pvm), it arrives as a page fault: a user's fetch from LSTAR.
package probe
