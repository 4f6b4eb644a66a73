/*
 * What a program can do that knows the variant host's memory: it makes calls with the
 * variant host's own instruction. The build with -DATTACKS=1 does it, the other one does
 * all else the same. Where a call went through there is an entry "through" in the
 * directory argv[1].
 *
 * usage: seal DIRECTORY CALL
 */
#include "check.h"
#include <pthread.h>
#include <sys/socket.h>
#include <sys/resource.h>

#ifndef ATTACKS
#define ATTACKS 0
#endif

static const volatile int attacks = ATTACKS;

/* The variant host's image, and its tasks' blocks (frontend/vhost/layout.go). */
#define IMAGE 0x520000000000UL
#define IMAGE_SIZE 0x10000UL
/* There is code up to here at least. */
#define CODE_SIZE 0x3000UL
#define BLOCKS 0x524000000000UL
#define BLOCK_SIZE 0x10000UL
#define CALLS 0x400UL
#define LARGE 0x8000UL
#define STACK 0xc000UL

static const unsigned char *instruction;

/* Finds "syscall; ret". */
static void find(void)
{
	for (const unsigned char *p = (const unsigned char *)IMAGE; p < (const unsigned char *)(IMAGE + CODE_SIZE - 3); p++)
		if (p[0] == 0x0f && p[1] == 0x05 && p[2] == 0xc3) {
			instruction = p;
			return;
		}
	CHECK(!"an instruction");
}

/* A call by the variant host's instruction. */
static long jump(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret = nr;
	if (!attacks)
		return -1;
	__asm__ volatile("sub $128, %%rsp\n\tcall *%[at]\n\tadd $128, %%rsp"
			 : "+a"(ret)
			 : [at] "b"(instruction), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#define JUMP(nr, a, b, c, d) jump((nr), (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

/* A call by an instruction of the program's own. */
static long raw(long nr, long a, long b, long c)
{
	long ret = nr;
	__asm__ volatile("syscall" : "+a"(ret) : "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return ret;
}

static long through(long ret)
{
	/* It need not be made by a jump: whoever comes here has won. */
	if (ret >= 0)
		raw(SYS_mkdir, (long)"through", 0755, 0);
	return ret;
}

static unsigned char page[2 * PAGE] __attribute__((aligned(4096)));

static long text_of_own(void)
{
	/* mov $1, %eax; ret */
	static const unsigned char code[] = {0xb8, 1, 0, 0, 0, 0xc3};
	memcpy(page, code, sizeof code);
	long ret = JUMP(SYS_mprotect, page, PAGE, PROT_READ | PROT_EXEC, 0);
	if (ret == 0)
		return ((long (*)(void))page)();
	return ret;
}

static long executes(long nr)
{
	static char *argv[] = {"mkdir", "through", NULL};
	if (nr == SYS_execveat)
		return jump(nr, AT_FDCWD, (long)"/bin/mkdir", (long)argv, 0, 0, 0);
	return JUMP(nr, "/bin/mkdir", argv, 0, 0);
}

static long makes(long nr, long flags)
{
	long pid = JUMP(nr, flags, 0, 0, 0);
	if (pid == 0) {
		raw(SYS_mkdir, (long)"through", 0755, 0);
		raw(SYS_exit, 0, 0, 0);
	}
	return pid;
}

/* The dispatch is turned off, and a call made from the program's own code. */
static long off(void)
{
	if (JUMP(SYS_prctl, 59, 0, 0, 0) < 0)
		return -1;
	return raw(SYS_mkdir, (long)"through", 0755, 0);
}

static long connects(void)
{
	struct sockaddr_un { unsigned short family; char path[108]; } at = { AF_UNIX, "socket" };
	int s = socket(AF_UNIX, SOCK_DGRAM, 0);
	CHECK(s >= 0);
	return jump(SYS_sendto, s, (long)"x", 1, 0, (long)&at, sizeof at);
}

static void handler(int sig) { (void)sig; }

static long handles(void)
{
	struct { unsigned long handler, flags, restorer, mask; } act = { (unsigned long)handler, 0x04000000, 0, 0 };
	return JUMP(SYS_rt_sigaction, SIGSEGV, &act, 0, 8);
}

/* A process makes a call over and over that all variants make. Another one, which shares the blocks
 * through which the monitor orders calls, makes another call of it there. */
static void swaps(void)
{
	for (;;)
		for (unsigned long i = 0; i < 8; i++) {
			volatile long *call = (volatile long *)(BLOCKS + i * BLOCK_SIZE + CALLS);
			if (attacks && call[0] == SYS_mprotect) {
				call[1] = (long)"through";
				call[2] = 0755;
				call[0] = SYS_mkdir;
			}
		}
}

static long swapped(void)
{
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		swaps();
	for (;;)
		raw(SYS_mprotect, (long)page, PAGE, PROT_READ | PROT_WRITE);
}

/* A thread of the variant host's own, which sleeps between calls that open files in
 * threads' common table, is not dispatched. It returns to where this says. */
static void stray(void)
{
	raw(SYS_mkdir, (long)"through", 0755, 0);
	for (;;)
		;
}

static void *opens(void *arg)
{
	for (int i = 0; i < 20; i++)
		close(open("/dev/null", O_RDONLY));
	return arg;
}

static long helper(void)
{
	pthread_t t;
	CHECK(pthread_create(&t, NULL, opens, NULL) == 0);
	opens(NULL);
	usleep(100000);
	unsigned long here = 0;
	for (unsigned long i = 0; attacks && i < 16; i++) {
		unsigned long block = BLOCKS + i * BLOCK_SIZE;
		volatile long *call = (volatile long *)(block + CALLS);
		/* It sleeps in the first call of two, futex and exit. */
		if (call[0] != SYS_futex || call[10] != SYS_exit)
			continue;
		here = block;
		volatile unsigned long *word = (volatile unsigned long *)(block + BLOCK_SIZE);
		while ((unsigned long)--word > block + STACK)
			if (*word > IMAGE && *word < IMAGE + IMAGE_SIZE)
				*word = (unsigned long)stray;
		*(volatile int *)(block + LARGE) = 1;
		JUMP(SYS_futex, block + LARGE, 1, 1, 0);
	}
	CHECK(here || !attacks);
	for (;;)
		pause();
}

static long attack(const char *what)
{
	static char bytes[64];
	struct iovec { void *base; size_t size; } own = { bytes, sizeof bytes }, other = { (void *)IMAGE, sizeof bytes };
	const struct { const char *name; long nr, a, b, c, d; } simple[] = {
		{"open", SYS_open, (long)"/etc/passwd", O_RDONLY, 0, 0},
		{"openat", SYS_openat, AT_FDCWD, (long)"through", O_CREAT | O_WRONLY, 0600},
		{"socket", SYS_socket, AF_INET, SOCK_STREAM, 0, 0},
		{"mmap", SYS_mmap, 0, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS},
		{"over", SYS_mmap, IMAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED},
		{"munmap", SYS_munmap, IMAGE - PAGE, 2 * PAGE, 0, 0},
		{"unmap", SYS_munmap, 0, IMAGE + PAGE, 0, 0},
		{"mremap", SYS_mremap, (long)page, PAGE, PAGE, 3},
		{"writable", SYS_mprotect, IMAGE, PAGE, PROT_READ | PROT_WRITE, 0},
		{"dispatch", SYS_prctl, 59, 1, 0x1000, 0x7ffffffe0000},
		{"ptrace", SYS_ptrace, 0, 0, 0, 0},
		{"kill", SYS_kill, getpid(), 0, 0, 0},
		{"tgkill", SYS_tgkill, getpid(), getpid(), 0, 0},
		{"process_vm_readv", SYS_process_vm_readv, getpid(), (long)&own, 1, (long)&other},
		{"setuid", SYS_setuid, getuid(), 0, 0, 0},
		{"prlimit64", SYS_prlimit64, 0, RLIMIT_NOFILE, 0, 0},
		{"seccomp", SYS_seccomp, 1, 0, 0, 0},
		{"unshare", SYS_unshare, 0x400, 0, 0, 0},
		{"personality", SYS_personality, 0x400000, 0, 0, 0},
		{"mkdir", SYS_mkdir, (long)"through", 0755, 0, 0},
		{"memfd_create", SYS_memfd_create, (long)"x", 0, 0, 0},
		{"socketpair", SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, (long)bytes},
		{"recvmsg", SYS_recvmsg, 0, 0, 0, 0},
		{"absent", 5000, 0, 0, 0, 0},
	};
	for (unsigned i = 0; i < sizeof simple / sizeof *simple; i++)
		if (strcmp(what, simple[i].name) == 0)
			return jump(simple[i].nr, simple[i].a, simple[i].b, simple[i].c, simple[i].d, -1, 0);
	if (strcmp(what, "mprotect") == 0)
		return text_of_own();
	if (strcmp(what, "execve") == 0)
		return executes(SYS_execve);
	if (strcmp(what, "execveat") == 0)
		return executes(SYS_execveat);
	if (strcmp(what, "clone") == 0)
		return makes(SYS_clone, SIGCHLD);
	if (strcmp(what, "fork") == 0)
		return makes(SYS_fork, 0);
	if (strcmp(what, "off") == 0)
		return off();
	if (strcmp(what, "sendto") == 0)
		return connects();
	if (strcmp(what, "rt_sigaction") == 0)
		return handles();
	if (strcmp(what, "swap") == 0)
		return swapped();
	if (strcmp(what, "helper") == 0)
		return helper();
	if (strcmp(what, "child") == 0) {
		/* In a process that is none of the monitor's. */
		if (fork() == 0)
			helper();
		for (;;)
			wait(NULL);
	}
	/* What the filter lets pass. */
	if (strcmp(what, "write") == 0)
		CHECK(JUMP(SYS_write, 1, "unseen\n", 7, 0) == 7);
	else if (strcmp(what, "getpid") == 0)
		CHECK(JUMP(SYS_getpid, 0, 0, 0, 0) > 0);
	else
		CHECK(!"a call of this name");
	return -1;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	CHECK(argc >= 3);
	if (attacks)
		find();
	through(attack(argv[2]));
	CHECK(mkdir("end", 0755) == 0);
	return 0;
}
