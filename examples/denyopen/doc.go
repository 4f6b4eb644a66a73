// Command denyopen runs a program as variants and answers EACCES to every call that names a
// file below a directory: opens, and whatever else takes a path.
//
//	denyopen -prefix DIR [-n N] [-kvm] PROG [ARG...]
//
//	$ denyopen -prefix /etc cat /etc/passwd
//	cat: /etc/passwd: Permission denied
//
// It shows a hook that decides. The verdict is given once, for the leader's call, and holds
// in all variants: nothing of a refused call reaches the kernel, and the variants see the
// same error. Which arguments are paths the table of system calls says, so the example names
// no call.
//
// It judges by names, which is enough for programs that do not try to get around it. A
// symbolic link elsewhere that leads below DIR does get around it, and so does a file
// that was open from the start. Against those there are mount namespaces and landlock(7).
package main
