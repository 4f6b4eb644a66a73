/* Runs a program under a seccomp filter that refuses ptrace. usage: noptrace PROGRAM [ARG...] */
#include "check.h"
#include <sys/prctl.h>

struct filter {
	uint16_t code;
	uint8_t jt, jf;
	uint32_t k;
};

int main(int argc, char **argv)
{
	begin();
	CHECK(argc >= 2);
	struct filter f[] = {
		{0x20, 0, 0, 0},                      /* load the number */
		{0x15, 0, 1, SYS_ptrace},             /* ptrace? */
		{0x06, 0, 0, 0x00050000 | EPERM},     /* EPERM */
		{0x06, 0, 0, 0x7fff0000},             /* else allow */
	};
	struct {
		uint16_t len;
		struct filter *filter;
	} program = {sizeof f / sizeof f[0], f};
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(22 /* PR_SET_SECCOMP */, 2, &program) == 0);
	execvp(argv[1], argv + 1);
	CHECK(!"exec");
}
