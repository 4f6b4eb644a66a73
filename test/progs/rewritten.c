/*
 * rewritten.c: what a program notices of system calls that are exchanged for jumps: nothing.
 * "look" prints whether they are.
 */
#include "check.h"
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <ucontext.h>

/* Calls as C libraries write them, on a page of their own, with all registers, the red zone
 * and the flags loaded from state before and stored to it behind. 8 is lseek. */
struct state {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15, flags;
	uint64_t xmm[32], zone[16];
};

struct state state;
extern const char sites[], sites_end[], at_mov[], at_mov_call[], behind_mov[], at_cmp[], behind_cmp[], behind_pair[];
void probe_mov(void);
void probe_cmp(void);
long make(long nr, ...);
long make_mov(int fd, long offset, int whence);
long resume_behind(long rax);

__asm__(
	".pushsection .text.sites, \"ax\", @progbits\n"
	".balign 4096\n"
	".globl sites\nsites:\n"
	".macro probe name, call, behind\n"
	".globl \\name\n\\name:\n"
	"push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"movups state+128(%rip), %xmm0; movups state+144(%rip), %xmm1; movups state+160(%rip), %xmm2\n"
	"movups state+176(%rip), %xmm3; movups state+192(%rip), %xmm4; movups state+208(%rip), %xmm5\n"
	"movups state+224(%rip), %xmm6; movups state+240(%rip), %xmm7; movups state+256(%rip), %xmm8\n"
	"movups state+272(%rip), %xmm9; movups state+288(%rip), %xmm10; movups state+304(%rip), %xmm11\n"
	"movups state+320(%rip), %xmm12; movups state+336(%rip), %xmm13; movups state+352(%rip), %xmm14\n"
	"movups state+368(%rip), %xmm15\n"
	"push state+120(%rip); popfq\n"
	".set i, 0\n.rept 16\nmov state+384+i(%rip), %rax\nmov %rax, -128+i(%rsp)\n.set i, i + 8\n.endr\n"
	"mov state+8(%rip), %rbx; mov state+16(%rip), %rcx; mov state+24(%rip), %rdx; mov state+32(%rip), %rsi\n"
	"mov state+40(%rip), %rdi; mov state+48(%rip), %rbp; mov state+56(%rip), %r8; mov state+64(%rip), %r9\n"
	"mov state+72(%rip), %r10; mov state+80(%rip), %r11; mov state+88(%rip), %r12; mov state+96(%rip), %r13\n"
	"mov state+104(%rip), %r14; mov state+112(%rip), %r15; mov state(%rip), %rax\n"
	"\\call\n"
	".globl \\behind\n\\behind:\n"
	"mov %rax, state(%rip); mov %rbx, state+8(%rip); mov %rcx, state+16(%rip); mov %rdx, state+24(%rip)\n"
	"mov %rsi, state+32(%rip); mov %rdi, state+40(%rip); mov %rbp, state+48(%rip); mov %r8, state+56(%rip)\n"
	"mov %r9, state+64(%rip); mov %r10, state+72(%rip); mov %r11, state+80(%rip); mov %r12, state+88(%rip)\n"
	"mov %r13, state+96(%rip); mov %r14, state+104(%rip); mov %r15, state+112(%rip)\n"
	".set i, 0\n.rept 16\nmov -128+i(%rsp), %rax\nmov %rax, state+384+i(%rip)\n.set i, i + 8\n.endr\n"
	"pushfq; pop state+120(%rip); cld\n"
	"movups %xmm0, state+128(%rip); movups %xmm1, state+144(%rip); movups %xmm2, state+160(%rip)\n"
	"movups %xmm3, state+176(%rip); movups %xmm4, state+192(%rip); movups %xmm5, state+208(%rip)\n"
	"movups %xmm6, state+224(%rip); movups %xmm7, state+240(%rip); movups %xmm8, state+256(%rip)\n"
	"movups %xmm9, state+272(%rip); movups %xmm10, state+288(%rip); movups %xmm11, state+304(%rip)\n"
	"movups %xmm12, state+320(%rip); movups %xmm13, state+336(%rip); movups %xmm14, state+352(%rip)\n"
	"movups %xmm15, state+368(%rip)\n"
	"pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"ret\n"
	".endm\n"
	".macro mov_call\n.globl at_mov\nat_mov: mov $8, %eax\n.globl at_mov_call\nat_mov_call: syscall\n.endm\n"
	".macro cmp_call\n.globl at_cmp\nat_cmp: syscall\n.globl behind_cmp\nbehind_cmp: cmp $-4096, %rax\n.endm\n"
	"probe probe_mov, mov_call, behind_mov\n"
	"probe probe_cmp, cmp_call, behind_pair\n"
	/* As syscall(3), but for the number's register. */
	".globl make\nmake: mov %rdi, %rax; mov %rsi, %rdi; mov %rdx, %rsi; mov %rcx, %rdx; mov %r8, %r10; mov %r9, %r8\n"
	"syscall\ncmp $-4095, %rax\njae 1f\n1: ret\n"
	".globl make_mov\nmake_mov: mov $8, %eax\nsyscall\nret\n"
	/* Goes to what is behind a call by an address that it has. */
	".globl resume_behind\nresume_behind: mov %rdi, %rax; lea 2f(%rip), %rcx; jmp *%rcx\n"
	"mov $-1, %rdi; syscall\n2: cmp $-4095, %rax\njae 1f\nmov $0, %eax\nret\n1: neg %rax\nret\n"
	".balign 4096\n.globl sites_end\nsites_end:\n"
	".popsection\n");

static int fd;

/* What the monitor deals with itself, until it lets others. */
static void warm(void)
{
	int i;

	for (i = 0; i < 64; i++)
		CHECK(make(SYS_getpid) == getpid());
	for (i = 0; i < 64; i++)
		CHECK(make_mov(fd, i, SEEK_SET) == i);
}

/* Code is exchanged in a process that has made many calls, when the monitor has seen that. */
static void ripen(void)
{
	int i;

	for (i = 0; i < 2500; i++)
		CHECK(make(SYS_getpid) == getpid());
	for (i = 0; i < 20; i++) {
		CHECK(nanosleep(&(struct timespec){0, 5000000}, NULL) == 0);
		CHECK(make(SYS_getpid) == getpid());
	}
}

#define CF 1UL
#define ARITHMETIC 0x8d5UL
#define DF 0x400UL

static void registers(void)
{
	int round, form;
	size_t i;

	for (round = 0; round < 100; round++)
		for (form = 0; form < 2; form++) {
			struct state want;
			uint64_t *w = (uint64_t *)&state;

			for (i = 0; i < sizeof state / 8; i++)
				w[i] = 0x9e3779b97f4a7c15 * (i + 1 + (size_t)round);
			state.rax = 8;
			state.rdi = (uint64_t)fd;
			state.rsi = 1000 + (uint64_t)round;
			state.rdx = SEEK_SET;
			state.flags = 0x202 | (state.flags & ARITHMETIC) | (round % 3 ? 0 : DF);
			want = state;
			(form ? probe_cmp : probe_mov)();
			want.rax = 1000 + (uint64_t)round;
			want.rcx = (uint64_t)(form ? behind_cmp : behind_mov);
			want.r11 = want.flags;
			if (form)
				/* Of 1000 and -4096: carry, no zero, no sign. */
				want.flags = (want.flags & ~ARITHMETIC) | (state.flags & 4) | CF;
			/* The auxiliary carry and the parity are not compared behind cmp. */
			CHECK((state.flags & ~(form ? 0x14UL : 0)) == (want.flags & ~(form ? 0x14UL : 0)));
			state.flags = want.flags;
			CHECK(memcmp(&state, &want, sizeof want) == 0);
		}
}


static struct { uintptr_t start, end; } code[64];
static int codes;

static off_t sites_offset = -1;

static int look_at(struct dl_phdr_info *info, size_t size, void *arg)
{
	int i;

	UNUSED(size);
	UNUSED(arg);
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
			continue;
		CHECK(codes < 64);
		code[codes].start = info->dlpi_addr + p->p_vaddr;
		code[codes].end = code[codes].start + p->p_memsz;
		if ((uintptr_t)sites >= code[codes].start && (uintptr_t)sites < code[codes].end)
			sites_offset = (off_t)(p->p_offset + ((uintptr_t)sites - code[codes].start));
		codes++;
	}
	return 0;
}

/* Where the program can be: the code of files. Nothing else is seen. */
static void find_code(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[4400], prot[8];
	unsigned long inode;

	CHECK(f != NULL);
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "%*x-%*x %7s %*s %*s %lu", prot, &inode) == 2 && prot[2] == 'x')
			CHECK(inode != 0 || strstr(line, "[v") != NULL);
	fclose(f);
	dl_iterate_phdr(look_at, NULL);
	CHECK(codes > 0 && sites_offset >= 0);
}

static volatile sig_atomic_t hits;
static volatile uintptr_t bad;

#define STORM 100

static void where(int sig, siginfo_t *si, void *context)
{
	ucontext_t *u = context;
	uintptr_t ip = (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
	int i;

	UNUSED(si);
	hits++;
	/* A machine on which a handler takes longer than the timer would do nothing else. */
	if (sig == SIGALRM && hits == STORM)
		setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
	for (i = 0; i < codes; i++)
		if (ip >= code[i].start && ip < code[i].end)
			break;
	if (i == codes)
		bad = ip;
	if ((ip > (uintptr_t)at_mov && ip < (uintptr_t)at_mov_call) ||
	    (ip > (uintptr_t)at_cmp && ip < (uintptr_t)at_cmp + 8 && ip != (uintptr_t)behind_cmp))
		bad = ip;
}

static void storm(int micros)
{
	struct sigaction sa = {.sa_sigaction = where, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct itimerval it = {{0, micros}, {0, micros}};
	long i, sum = 0;
	char c;

	CHECK(sigaction(SIGALRM, &sa, NULL) == 0);
	hits = 0;
	CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
	for (i = 0; hits < STORM; i++) {
		CHECK(make_mov(fd, i % 4000, SEEK_SET) == i % 4000);
		CHECK(make(SYS_lseek, fd, i % 3000, SEEK_SET) == i % 3000);
		CHECK(read(fd, &c, 1) == 1);
		CHECK(lseek(fd, 0, SEEK_CUR) == i % 3000 + 1);
		sum += c;
	}
	CHECK(bad == 0);
	CHECK(sum == 0);
}

/* ARCH_SET_GS of asm/prctl.h. */
#define SET_GS 0x1001

/* A program that uses GS itself: its calls are not taken where they jump to. */
static void based(void)
{
	static uint64_t base[512];
	uint64_t word = 0;

	base[1] = 4711;
	CHECK(syscall(SYS_arch_prctl, SET_GS, base) == 0);
	storm(1000);
	storm(50);
	__asm__ volatile("mov %%gs:8, %0" : "=r"(word));
	CHECK(word == 4711);
	CHECK(syscall(SYS_arch_prctl, SET_GS, NULL) == 0);
}

static sigjmp_buf home;
static uintptr_t fault_at;

static void faults(int sig, siginfo_t *si, void *context)
{
	ucontext_t *u = context;

	UNUSED(sig);
	UNUSED(si);
	fault_at = (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
	siglongjmp(home, 1);
}

/* Whether some code of the program's jumps to between from and to: what is there is run for it. */
static int is_target(uintptr_t from, uintptr_t to)
{
	extern const unsigned char __executable_start, etext;
	const unsigned char *p;
	int32_t far;

	for (p = &__executable_start; p < &etext - 5; p++) {
		if (*p != 0xe9)
			continue;
		memcpy(&far, p + 1, sizeof far);
		if ((uintptr_t)p + 5 + (uintptr_t)(intptr_t)far - from < to - from)
			return 1;
	}
	return 0;
}

/* Jumps to where nothing of the program's is, but may be something of others'. */
static void wild(void)
{
	struct sigaction sa = {.sa_sigaction = faults, .sa_flags = SA_SIGINFO}, old;
	unsigned char *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uintptr_t at[4] = {(uintptr_t)none + 64, (uintptr_t)none};
	const unsigned char *mov = (const unsigned char *)(uintptr_t)at_mov;
	volatile int i, count = 2;
	int32_t far;

	CHECK(none != MAP_FAILED && sigaction(SIGSEGV, &sa, &old) == 0);
	if (mov[0] == 0xe9) {
		memcpy(&far, mov + 1, sizeof far);
		at[2] = ((uintptr_t)mov + 5 + (uintptr_t)(intptr_t)far) | 0xfff;
		at[3] = at[2] + 1 + 0x40000 + 16;
		at[2] -= 0x2f;
		count = 4;
		/* The last of a page is in use where there is no more room in it. */
		if (is_target(at[2] - 0x10, at[2] + 0x30))
			at[2] = at[0];
	}
	for (i = 0; i < count; i++) {
		fault_at = 0;
		if (sigsetjmp(home, 1) == 0)
			__asm__ volatile("jmp *%0" : : "r"(at[i]), "a"(0L));
		CHECK(fault_at == at[i]);
	}
	CHECK(sigaction(SIGSEGV, &old, NULL) == 0 && munmap(none, 4096) == 0);
}

static int pipes[2];

static volatile sig_atomic_t feeding;

static void feeds(int sig)
{
	UNUSED(sig);
	hits++;
	if (feeding)
		CHECK(write(pipes[1], "x", 1) == 1);
	feeding = 0;
}

/* Signals interrupt calls, whose frames lead back behind them or to them. */
static void interrupted(int flags)
{
	struct sigaction sa = {.sa_handler = feeds, .sa_flags = flags};
	struct itimerval it = {{0, 3000}, {0, 3000}};
	int i;

	CHECK(sigaction(SIGALRM, &sa, NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
	for (i = 0; i < 20; i++) {
		char c = 0;
		ssize_t n;

		feeding = (flags & SA_RESTART) != 0;
		n = i % 2 ? read(pipes[0], &c, 1) : make(SYS_read, pipes[0], &c, 1);
		if (flags & SA_RESTART) {
			CHECK(n == 1 && c == 'x');
			continue;
		}
		CHECK(n == (i % 2 ? -1 : -EINTR));
	}
	memset(&it, 0, sizeof it);
	CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
	/* A signal of the program's own comes behind the call. */
	sa.sa_flags = SA_SIGINFO;
	sa.sa_sigaction = where;
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	for (i = 0; i < 20; i++) {
		hits = 0;
		CHECK(make(SYS_kill, getpid(), SIGUSR1) == 0);
		CHECK(hits == 1 && bad == 0);
	}
}

static void behind(void)
{
	int i;

	for (i = 0; i < 50; i++) {
		CHECK(resume_behind(5) == 0);
		CHECK(resume_behind(-7) == 7);
	}
}

static void *runs(void *arg)
{
	int i;

	for (i = 0; i < 200; i++)
		CHECK(make_mov(fd, 7, SEEK_SET) == 7);
	return arg;
}

static void children(void)
{
	int i;

	for (i = 0; i < 6; i++) {
		pthread_t thread;
		long pid = make(SYS_fork);

		if (pid == 0) {
			warm();
			registers();
			_exit(7);
		}
		reap_exit((pid_t)pid, 7);
		pid = vfork();
		if (pid == 0) {
			make_mov(fd, 1, SEEK_SET);
			_exit(8);
		}
		reap_exit((pid_t)pid, 8);
		CHECK(pthread_create(&thread, NULL, runs, NULL) == 0);
		runs(NULL);
		CHECK(pthread_join(thread, NULL) == 0);
	}
}

/* Code that is made writable is what the file has, and may be changed. */
static void changed(void)
{
	size_t size = (size_t)(sites_end - sites);
	unsigned char *mov = (unsigned char *)(uintptr_t)at_mov, *cmp = (unsigned char *)(uintptr_t)at_cmp;
	int i;

	for (i = 0; i < 3; i++) {
		CHECK(mprotect((void *)(uintptr_t)sites, size, PROT_READ | PROT_WRITE) == 0);
		CHECK(mov[0] == 0xb8 && mov[1] == 8 && mov[5] == 0x0f && cmp[0] == 0x0f && cmp[1] == 5 && cmp[2] == 0x48);
		/* getpid in place of lseek. */
		mov[1] = SYS_getpid;
		CHECK(mprotect((void *)(uintptr_t)sites, size, PROT_READ | PROT_EXEC) == 0);
		CHECK(make(SYS_getpid) == getpid());
		probe_mov();
		CHECK(state.rax == (uint64_t)getpid());
		CHECK(mprotect((void *)(uintptr_t)sites, size, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
		mov[1] = 8;
		CHECK(mprotect((void *)(uintptr_t)sites, size, PROT_READ | PROT_EXEC) == 0);
		registers();
	}
}

/* Code that comes and goes, as with dlopen. */
static void mapped(void)
{
	size_t size = (size_t)(sites_end - sites);
	int i, exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	CHECK(exe >= 0);
	for (i = 0; i < 100; i++) {
		char *p = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_PRIVATE, exe, sites_offset);
		long (*call)(int, long, int);
		uintptr_t to = (uintptr_t)make_mov - (uintptr_t)sites;

		CHECK(p != MAP_FAILED);
		to += (uintptr_t)p;
		memcpy(&call, &to, sizeof call);
		CHECK(make(SYS_getpid) == getpid());
		CHECK(call(fd, i, SEEK_SET) == i && call(fd, 1, SEEK_CUR) == i + 1);
		if (i % 3 == 0)
			CHECK(mmap(p, size, PROT_READ, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0) == p && p[0] == 0);
		CHECK(munmap(p, size) == 0);
	}
	CHECK(close(exe) == 0);
}

static volatile int steps_at[4], other_steps;

static void step(int sig, siginfo_t *si, void *context)
{
	ucontext_t *u = context;
	uintptr_t at = (uintptr_t)u->uc_mcontext.gregs[REG_RIP] - (uintptr_t)make_mov;

	UNUSED(sig);
	UNUSED(si);
	/* mov, syscall, ret. */
	if (at == 0 || at == 5 || at == 7)
		steps_at[at / 3]++;
	else if (at < 8)
		other_steps++;
	for (int i = 0; i < codes; i++)
		if (at + (uintptr_t)make_mov >= code[i].start && at + (uintptr_t)make_mov < code[i].end)
			return;
	other_steps++;
}

/* Goes through a call instruction by instruction. */
static void stepped(void)
{
	struct sigaction sa = {.sa_sigaction = step, .sa_flags = SA_SIGINFO};
	int i;

	CHECK(sigaction(SIGTRAP, &sa, NULL) == 0);
	for (i = 1; i <= 10; i++) {
		long ret;

		__asm__ volatile("sub $128, %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tcall make_mov\n\t"
				 "pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq\n\tadd $128, %%rsp"
				 : "=a"(ret)
				 : "D"((long)fd), "S"((long)i), "d"((long)SEEK_SET)
				 : "rcx", "r11", "memory", "cc");
		CHECK(ret == i && steps_at[0] == i && steps_at[1] == i && other_steps == 0);
		runs(NULL);
	}
}

int main(int argc, char **argv)
{
	char name[4200];

	CHECK(argc == 2);
	snprintf(name, sizeof name, "%s/zeros", argv[1]);
	fd = strcmp(argv[1], "look") ? open(name, O_RDWR | O_CREAT, 0600) : open("/proc/self/exe", O_RDONLY);
	CHECK(fd >= 0 && pipe(pipes) == 0);
	warm();
	ripen();
	if (strcmp(argv[1], "look") == 0) {
		printf("%s %s\n", *(unsigned char *)(uintptr_t)at_mov == 0xe9 ? "jump" : "call",
			*(unsigned char *)(uintptr_t)at_cmp == 0xe9 ? "jump" : "call");
		return 0;
	}
	CHECK(ftruncate(fd, 8192) == 0);
	registers();
	find_code();
	storm(1000);
	storm(100);
	based();
	wild();
	interrupted(0);
	interrupted(SA_RESTART);
	behind();
	children();
	changed();
	mapped();
	stepped();
	registers();
	printf("ok\n");
	return 0;
}
