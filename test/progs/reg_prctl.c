/* prctl: names live at different addresses, flags are per process. */
#include "check.h"
#include <sys/prctl.h>

int main(void)
{
	begin();
	char name[17] = {0};
	const char *const names[] = {"short", "exactly-fifteen", "longer than the kernel keeps", ""};
	for (size_t i = 0; i < 4; i++) {
		char *p = strdup(names[i]);
		CHECK(prctl(PR_SET_NAME, p) == 0);
		free(p);
		memset(name, 'x', 16);
		CHECK(prctl(PR_GET_NAME, name) == 0);
		char comm[32] = {0};
		size_t n = get_file("/proc/self/comm", comm, sizeof comm - 1);
		CHECK(n > 0 && comm[n - 1] == '\n');
		comm[n - 1] = 0;
		CHECK(strcmp(comm, name) == 0);
		printf("name '%s'\n", name);
	}
	CHECK_ERR(prctl(PR_SET_NAME, bad_address), EFAULT);
	CHECK_ERR(prctl(PR_GET_NAME, bad_address), EFAULT);
	ok("name");

	int sig = -1;
	CHECK(prctl(PR_GET_PDEATHSIG, &sig) == 0 && sig == 0);
	CHECK(prctl(PR_SET_PDEATHSIG, SIGTERM) == 0);
	CHECK(prctl(PR_GET_PDEATHSIG, &sig) == 0 && sig == SIGTERM);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(prctl(PR_GET_PDEATHSIG, &sig) == 0 && sig == 0);
		CHECK(prctl(PR_GET_NAME, name) == 0 && name[0] == 0);
		_exit(0);
	}
	reap_exit(child, 0);
	CHECK(prctl(PR_SET_PDEATHSIG, 0) == 0);
	ok("parent-death signal");

	SHOW("dumpable", prctl(PR_GET_DUMPABLE));
	SHOW("keepcaps", prctl(PR_GET_KEEPCAPS));
	CHECK_ERR(prctl(-7, 0), EINVAL);
	return 0;
}
