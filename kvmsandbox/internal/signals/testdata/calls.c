/*
 * calls.c: makes the calls that its input asks for, one a line, numbers in hexadecimal,
 * and prints the result of each and what is in force then.
 *
 *   action SIGNAL CHANGE HANDLER FLAGS RESTORER MASK SIZE
 *   mask HOW SET SIZE
 *   stack SP FLAGS SIZE
 */
#include "native.h"

int main(void)
{
	char what[16];
	uint64_t v[7];
	struct kernel_action plain = {0};
	for (int i = 1; i <= 64; i++)
		set_action(i, &plain, NULL);
	uint64_t none = 0;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8);
	stack_t disabled = {.ss_flags = SS_DISABLE};
	syscall(SYS_sigaltstack, &disabled, NULL);
	while (scanf("%15s", what) == 1) {
		const int n = *what == 'a' ? 7 : 3;
		for (int i = 0; i < n; i++)
			if (scanf("%lx", &v[i]) != 1)
				fail("input");
		errno = 0;
		if (*what == 'a') {
			struct kernel_action act = {v[2], v[3], v[4], v[5]}, old = {0};
			int sig = (int)v[0];
			long ret = syscall(SYS_rt_sigaction, sig, v[1] ? &act : NULL, &old, v[6]);
			printf("%d %lx %lx %lx %lx\n", ret ? errno : 0, old.handler, old.flags, old.restorer, old.mask);
		} else if (*what == 'm') {
			uint64_t now = 0;
			long ret = syscall(SYS_rt_sigprocmask, (int)v[0], &v[1], NULL, v[2]);
			int err = ret ? errno : 0;
			syscall(SYS_rt_sigprocmask, 0, NULL, &now, 8);
			printf("%d %lx\n", err, now);
		} else {
			stack_t st = {.ss_sp = (void *)v[0], .ss_flags = (int)v[1], .ss_size = v[2]}, now;
			long ret = syscall(SYS_sigaltstack, &st, NULL);
			int err = ret ? errno : 0;
			syscall(SYS_sigaltstack, NULL, &now);
			printf("%d %lx %x %lx\n", err, (uint64_t)(uintptr_t)now.ss_sp, (unsigned)now.ss_flags, now.ss_size);
		}
	}
	return 0;
}
