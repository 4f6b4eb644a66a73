/* A process that stops before each of its instructions. */
#ifndef TRACED_H
#define TRACED_H

#include "check.h"

/* Waits until a traced process stops, which is for a trap here. */
void await_trap(int pid);
/* Lets a traced process run to its end and returns its exit status. */
int let_run(int pid);
/* Looks at a traced process's next instruction: is it a breakpoint? */
bool at_breakpoint(int pid, u64 *ip);
/* Is it a system call? */
bool at_syscall(int pid, u64 ip);
void step(int pid);
void be_traced(void);

#endif
