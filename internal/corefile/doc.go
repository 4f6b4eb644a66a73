// Package corefile writes core dumps of variants, as elf(5) and the kernel's
// fs/binfmt_elf.c describe them, for debuggers to read. It asks a front-end for registers
// and memory, so that those of a program in a virtual machine are the program's own.
package corefile
