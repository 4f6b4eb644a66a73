/* What tests of interruptible calls have in common. */
#ifndef INTERRUPT_H
#define INTERRUPT_H

#include "check.h"

/* Block 1 with one call that reads a byte of fd into byte while SIGUSR1 may come. */
struct block *reading(int fd);
extern char byte;

bool readable(int fd);
bool pending(int sig);
void queue(int pid, int sig, int value);
/* The block has kept this signal. */
void check_kept(const struct block *b, int sig, int value);
/* All signals are blocked; those in but may be. */
void check_all_blocked(u64 but);

#endif
