/* mprotect and munmap in the middle of a mapping, seen by faults and by the kernel. */
#include "check.h"
#include <setjmp.h>

static sigjmp_buf back;
static char *volatile fault_at;

static void handler(int sig, siginfo_t *si, void *ctx)
{
	UNUSED(ctx);
	fault_at = si->si_addr;
	siglongjmp(back, sig);
}

/* Whether a byte can be read and written without a fault; faults are checked for place. */
static int can(char *p, int write_it)
{
	if (sigsetjmp(back, 1) == 0) {
		volatile char c = *(volatile char *)p;
		if (write_it)
			*(volatile char *)p = c;
		return 1;
	}
	CHECK(fault_at == p);
	return 0;
}

int main(void)
{
	begin();
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	CHECK(sigaction(SIGSEGV, &sa, NULL) == 0);
	char *p = mmap(NULL, 9 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	memset(p, 1, 9 * PAGE);
	CHECK(mprotect(p + 2 * PAGE, 2 * PAGE, PROT_READ) == 0);
	CHECK(mprotect(p + 5 * PAGE, PAGE, PROT_NONE) == 0);
	CHECK(munmap(p + 7 * PAGE, PAGE) == 0);
	for (int i = 0; i < 9; i++)
		printf("page %d: read %d write %d\n", i, can(p + (size_t)i * PAGE, 0), can(p + (size_t)i * PAGE, 1));
	CHECK(mprotect(p, 7 * PAGE, PROT_READ | PROT_WRITE) == 0);
	for (int i = 0; i < 7; i++)
		CHECK(can(p + (size_t)i * PAGE, 1) && p[(size_t)i * PAGE] == 1);
	ok("contents stay");

	CHECK_ERR(mprotect(p, 9 * PAGE, PROT_READ), ENOMEM);
	CHECK_ERR(syscall(SYS_mprotect, p + 1, PAGE, PROT_READ), EINVAL);
	CHECK_ERR(mprotect(p, PAGE, 0x7777), EINVAL);
	CHECK(mprotect(p, 0, PROT_READ) == 0);
	ok("errors");

	union {
		char *p;
		int (*f)(void);
	} code = {.p = p + 8 * PAGE};
	static const unsigned char ret5[] = CODE_RETURNS(5), ret6[] = CODE_RETURNS(6);
	memcpy(code.p, ret5, sizeof ret5);
	__builtin___clear_cache(code.p, code.p + sizeof ret5);
	CHECK(mprotect(code.p, PAGE, PROT_READ | PROT_EXEC) == 0);
	CHECK(code.f() == 5);
	CHECK(mprotect(code.p, PAGE, PROT_READ | PROT_WRITE) == 0);
	memcpy(code.p, ret6, sizeof ret6);
	__builtin___clear_cache(code.p, code.p + sizeof ret6);
	if (sigsetjmp(back, 1) == 0) {
		code.f();
		CHECK(!"ran code that is not executable");
	}
	CHECK(fault_at == code.p);
	CHECK(mprotect(code.p, PAGE, PROT_READ | PROT_EXEC) == 0 && code.f() == 6);
	ok("code made at run time");

	/* The processor reads what is writable or executable, whether or not the
	 * program has asked for that; the kernel does so for the program. */
	int fds[2];
	CHECK(pipe(fds) == 0);
	static const int prots[] = {PROT_WRITE, PROT_EXEC, PROT_NONE};
	for (int i = 0; i < 3; i++) {
		char back_again[4] = "";
		CHECK(mprotect(p, 2 * PAGE, PROT_READ | PROT_WRITE) == 0);
		memcpy(p + PAGE - 2, "data", 4);
		CHECK(mprotect(p, 2 * PAGE, prots[i]) == 0);
		long wrote = write(fds[1], p + PAGE - 2, 4);
		long got = wrote > 0 ? read(fds[0], back_again, 4) : -1;
		printf("protection %d: wrote %ld, %.4s\n", prots[i], wrote, back_again);
		CHECK(got == wrote);
		CHECK(write(fds[1], "text", 4) == 4);
		got = read(fds[0], p + PAGE - 2, 4);
		if (got < 0)
			CHECK(read(fds[0], back_again, 4) == 4);
		CHECK(mprotect(p, 2 * PAGE, PROT_READ) == 0);
		printf("protection %d: read %ld, %.4s\n", prots[i], got, p + PAGE - 2);
	}
	ok("memory that is not to be read");
	return 0;
}
