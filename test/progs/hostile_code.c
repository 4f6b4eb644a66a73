/*
 * Code that changes under the program: written, moved, replaced by a file,
 * readable by nobody, or gone.
 */
#include "hostile.h"
#include <sys/auxv.h>

/* mov eax, edi; mov rdi, rsi ...: makes call edi with up to five arguments. */
static const unsigned char caller[] = {
	0x48, 0x89, 0xf8,       /* mov rax, rdi */
	0x48, 0x89, 0xf7,       /* mov rdi, rsi */
	0x48, 0x89, 0xd6,       /* mov rsi, rdx */
	0x48, 0x89, 0xca,       /* mov rdx, rcx */
	0x4d, 0x89, 0xc2,       /* mov r10, r8 */
	0x4d, 0x89, 0xc8,       /* mov r8, r9 */
	0x45, 0x31, 0xc9,       /* xor r9d, r9d */
	0x0f, 0x05,             /* syscall */
	0xc3,                   /* ret */
};
typedef long (*call_t)(long nr, long a, long b, long c, long d, long e);

static unsigned char *page(int prot)
{
	unsigned char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	memcpy(p, caller, sizeof caller);
	CHECK(mprotect(p, 2 * PAGE, prot) == 0);
	return p;
}

static int file(void)
{
	int fd = open("code", O_RDONLY);
	CHECK(fd >= 0);
	return fd;
}

static int written(void)
{
	unsigned char *p = page(PROT_READ | PROT_WRITE | PROT_EXEC);
	CHECK(((call_t)p)(SYS_getpid, 0, 0, 0, 0, 0) == getpid());
	memset(p, 0x90, PAGE - sizeof caller);
	memcpy(p + PAGE - sizeof caller, caller, sizeof caller);
	CHECK(((call_t)p)(SYS_getppid, 0, 0, 0, 0, 0) == getppid());
	return 0;
}

static int execute_only(void)
{
	unsigned char *p = page(PROT_EXEC);
	CHECK(((call_t)p)(SYS_getpid, 0, 0, 0, 0, 0) == getpid());
	long m = ((call_t)p)(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, file());
	CHECK(m > 0 && memcmp((void *)m, "code", 4) == 0);
	char *argv[] = {"true", NULL};
	return (int)((call_t)p)(SYS_execve, (long)"/bin/true", (long)argv, (long)argv, 0, 0);
}

/* The page that holds the call is replaced by a file that holds the same. */
static int mapped_over(void)
{
	unsigned char *p = page(PROT_READ | PROT_EXEC);
	char b[2 * PAGE];
	memset(b, 0x90, sizeof b);
	memcpy(b, caller, sizeof caller);
	put_file("same", b, sizeof b, 0600);
	int fd = open("same", O_RDONLY);
	long m = raw6(SYS_mmap, (long)p, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0);
	CHECK(m == (long)p);
	CHECK(((call_t)p)(SYS_mmap, (long)p, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd) == (long)p);
	CHECK(((call_t)p)(SYS_getpid, 0, 0, 0, 0, 0) == getpid());
	return 6;
}

/* Behind the call that replaces the page there is a different program. */
static int replaced(void)
{
	unsigned char *p = page(PROT_READ | PROT_EXEC);
	char b[2 * PAGE];
	memset(b, 0x90, sizeof b);
	b[PAGE - 1] = (char)0xc3;
	put_file("nops", b, sizeof b, 0600);
	int fd = open("nops", O_RDONLY);
	CHECK(((call_t)p)(SYS_mmap, (long)p, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd) == (long)p);
	CHECK(getpid() > 0);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED);
	return 7;
}

static int without(long nr, long prot)
{
	unsigned char *p = page(PROT_READ | PROT_EXEC);
	((call_t)p)(nr, (long)p, 2 * PAGE, prot, 0, 0);
	return 8;
}

static int mapped_away(void)
{
	unsigned char *p = page(PROT_READ | PROT_EXEC);
	((call_t)p)(SYS_mmap, (long)p, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, file());
	return 9;
}

static void on_fault(int n, siginfo_t *si, void *u)
{
	UNUSED(n);
	UNUSED(si);
	UNUSED(u);
	_exit(21);
}

static int handled(void)
{
	struct sigaction a = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	CHECK(sigaction(SIGSEGV, &a, NULL) == 0);
	return mapped_away();
}

static int no_vdso(void)
{
	/* Where it is others are told by the text: the process knows it by itself. */
	unsigned long starts[8], ends[8], vdso = 0;
	int n = 0;
	FILE *f = fopen("/proc/self/maps", "r");
	CHECK(f != NULL);
	char line[512];
	while (fgets(line, sizeof line, f) != NULL) {
		if (strstr(line, "[vdso]") == NULL && strstr(line, "[vvar") == NULL)
			continue;
		CHECK(n < 8 && sscanf(line, "%lx-%lx", &starts[n], &ends[n]) == 2);
		if (strstr(line, "[vdso]") != NULL)
			vdso = starts[n];
		n++;
	}
	fclose(f);
	for (int i = 0; i < n; i++)
		CHECK(munmap((char *)getauxval(AT_SYSINFO_EHDR) + (starts[i] - vdso), ends[i] - starts[i]) == 0);
	return replaced() == 7 ? handled() : 1;
}

static int moved(void)
{
	unsigned char *p = page(PROT_READ | PROT_EXEC);
	unsigned char *q = mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, page(PROT_NONE));
	CHECK(q != MAP_FAILED && q != p);
	CHECK(((call_t)q)(SYS_getpid, 0, 0, 0, 0, 0) == getpid());
	return ((call_t)p)(SYS_getpid, 0, 0, 0, 0, 0) > 0;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	put_file("code", "code", 4, 0600);
	CHILD("written", written());
	CHILD("execute only", execute_only());
	CHILD("mapped over", mapped_over());
	CHILD("replaced", replaced());
	CHILD("unmapped", without(SYS_munmap, 0));
	CHILD("protected", without(SYS_mprotect, PROT_NONE));
	CHILD("no longer executable", without(SYS_mprotect, PROT_READ));
	CHILD("mapped away", mapped_away());
	CHILD("mapped away, handled", handled());
	CHILD("without vDSO", no_vdso());
	CHILD("moved", moved());
	return sting();
}
