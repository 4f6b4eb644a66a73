// Package loader decides what execve(2) would do with a program, without doing
// it: which error number it answers, or what it maps where and what it tells the
// program at its start. It is the part of Linux in fs/exec.c, fs/binfmt_script.c
// and fs/binfmt_elf.c that looks into files, for a front-end that executes
// programs itself. What precedes it stays the caller's: to find the file and to
// verify that it may be executed.
//
// [Load] returns a [Plan]. Nothing has to be mapped for it: its addresses are
// provisional, those that Linux chooses without randomisation, and a monitor
// answers the plan's image with a placement. [Plan.Place] says what to map in the
// end. Only a program that is linked to fixed addresses has its real ones at once.
//
// # Errors
//
// An [*Error] says what happens to the caller of execve, which is one of three
// things. Most errors are answered. Those that Linux finds after it has given up
// the old program are fatal: nothing is left that could be answered, and the
// process dies of SIGSEGV. A few programs Linux would execute but this engine
// cannot; they are refused with an error number of this package's choice:
//
//   - programs of other architectures that the processor could run, which have
//     32-bit addresses: ENOEXEC;
//   - programs whose file would give privileges: EACCES;
//   - programs that start outside of what is mapped, so that nobody could tell
//     what belongs to them: ENOEXEC;
//   - interpreters that are linked to fixed addresses, and such as Linux puts at
//     address 0 because their first segment has no part of the file: ELIBBAD.
//
// Formats that a system administrator has registered (binfmt_misc) are not known
// here: ENOEXEC.
//
// # Hostile input
//
// Files may hold anything and may change while they are read. What is read, kept
// and computed is bounded whatever they say: 256 bytes for each script, 128 KiB for
// each ELF file, and a plan of a few thousand segments. Segments are page aligned,
// do not overlap and lie below [TaskSize]. Whether memory suffices, and whether the
// file system maps files at such offsets, shows only when they are mapped; Linux
// treats that as a fatal error.
//
// The package makes no calls of the operating system, starts no goroutine and
// holds no state. Distinct calls may run at the same time.
package loader
