// Command swapfe runs a program under a monitor of its own, on whichever front-end.
//
//	swapfe [-frontend ptrace|inproc|kvm|fake] PROG [ARG...]
//
// The monitor is no engine and knows no variants. It lets the program open files to read
// them, notes their names, and answers EROFS when one is opened to write. It implements
// frontend.Monitor and uses frontend.Host, and nothing else: how calls are caught, by
// ptrace, by signals in the program's process, by a virtual machine, or by a script in memory,
// is the front-end's business. With -frontend fake PROG is a script, "script", that opens
// files and writes to one.
//
// The names that were opened, and those that were refused, go to standard error. The exit
// status is the program's.
package main
