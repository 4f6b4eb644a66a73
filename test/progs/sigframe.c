/*
 * Handlers that change what their frame says of the program behind them, as code that makes
 * frames of its own does to an attacked program:
 *
 * sigframe DIR [taken]
 *
 * Built with -DMUT=other_mask it blocks another signal than -DMUT=none. With "taken" the handler
 * leads to a function at the address that it has in the leader, which makes a file in DIR.
 */
#include "check.h"
#include <ucontext.h>

enum mutation { none, other_mask };

#ifndef MUT
#define MUT none
#endif

static const volatile enum mutation mutation = MUT;

/* Where the function is to be found, 0 for where the program goes on anyway. */
static uintptr_t target;

static void blocks(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *u = ctx;
	UNUSED(sig);
	UNUSED(si);
	CHECK(sigaddset(&u->uc_sigmask, mutation == other_mask ? SIGHUP : SIGUSR2) == 0);
	if (target)
		u->uc_mcontext.gregs[REG_RIP] = (greg_t)target;
}

static void reached(void)
{
	_exit(mkdir("reached", 0700) == 0 ? 0 : 1);
}

/* The first address of a line of /proc/self/maps that names this program: the leader's, whoever reads it. */
static uintptr_t leaders(const char *name)
{
	char line[PATH_MAX + 128];
	FILE *f = fopen("/proc/self/maps", "r");
	CHECK(f);
	do
		CHECK(fgets(line, sizeof line, f));
	while (!strstr(line, name));
	CHECK(fclose(f) == 0);
	return strtoul(line, NULL, 16);
}

extern const char __executable_start[];

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_sigaction = blocks, .sa_flags = SA_SIGINFO};
	sigset_t s;
	begin_in(argc, argv);
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	if (argc > 2)
		target = leaders(strrchr(argv[0], '/')) + ((uintptr_t)reached - (uintptr_t)__executable_start);
	CHECK(raise(SIGUSR1) == 0);
	CHECK(sigprocmask(SIG_BLOCK, NULL, &s) == 0 && sigismember(&s, SIGUSR2) && !sigismember(&s, SIGUSR1));
	ok("sigframe");
	return 0;
}
