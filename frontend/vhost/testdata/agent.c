/* Both ends of a pair of agents for a test that is in Go: "tests agent SIZE" reads cases from
 * standard input, each behind a table of frequent calls of that size, and writes what has
 * become of each. The kernel is a hook that answers as the case says. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "agent.h"
#include "ring_test.h"

enum { SIZE = 4096, MOST_WRITES = 8 };

/* Where the programs' memory is; nothing is behind it. */
static const u64 memory[2] = { 0x10000000, 0x20000000 };

struct asked {
	i64 nr;
	u64 args[2][6];
	i64 ret;
	u64 writes;
	struct {
		u64 at, size;
		u64 arg; /* whose memory it is, counted from 1: that of which there is a copy; else 0 */
	} write[MOST_WRITES];
	u64 held[6]; /* of how much of what an argument leads to the kernel is given a copy */
	u8 bytes[2][SIZE];
	u8 written[MOST_WRITES][SIZE];
};

struct answered {
	i64 handled[2], rax[2];
	u64 differs, calls;
	u8 bytes[2][SIZE];
};

static struct asked in;
static struct answered out;

/* What the kernel is given in place of an argument leads to what the program's memory was when
 * it was compared, whatever somebody writes there meanwhile. */
static void finds(u64 arg, u64 given, u64 held)
{
	u8 *own = (u8 *)arg, kept[SIZE];

	if (!held) {
		CHECK(arg == given, "%lx is %lx", arg, given);
		return;
	}
	memcpy(kept, own, held);
	memset(own, 0xa5, held);
	CHECK(!memcmp((void *)given, in.bytes[0] + (arg - memory[0]), held), "something else than what was compared");
	memcpy(own, kept, held);
}

static i64 kernel(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	u64 i, args[6] = { a, b, c, d, e, f };

	if (nr == SYS_futex)
		return __real_vhost_call(nr, a, b, c, d, e, f);
	CHECK(nr == in.nr, "%ld", nr);
	for (i = 0; i < 6; i++)
		finds(in.args[0][i], args[i], in.held[i]);
	out.calls++;
	for (i = 0; i < in.writes; i++) {
		u64 k = in.write[i].arg, at = memory[0] + in.write[i].at;

		if (k)
			at += args[k - 1] - in.args[0][k - 1];
		memcpy((void *)at, in.written[i], in.write[i].size);
	}
	return in.ret;
}

static int get(void *to, size_t n)
{
	u8 *p = to;

	while (n) {
		ssize_t k = read(0, p, n);

		CHECK(k >= 0, "%m");
		if (!k)
			return 0;
		p += k;
		n -= (size_t)k;
	}
	return 1;
}

/* What native.c does about a fault in a copy. */
static void fault(int sig, siginfo_t *info, void *context)
{
	greg_t *ip = &((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	(void)sig;
	(void)info;
	*ip = (greg_t)vhost_behind((u64)*ip);
	if (!*ip)
		_exit(3);
}

/* The kernel's struct ucontext is what C libraries have under this name. */
static void set(ucontext_t *u, i64 nr, const u64 *arg)
{
	static const int reg[6] = { REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9 };
	u32 i;

	memset(u, 0, sizeof(*u));
	u->uc_mcontext.gregs[REG_RAX] = nr;
	for (i = 0; i < 6; i++)
		u->uc_mcontext.gregs[reg[i]] = (greg_t)arg[i];
}

static void one(const u8 *table, u64 delta)
{
	u64 span = MV_RING_DATA + (1 << 16);
	u8 *base = make_ring(1 << 16, 16, 1, 1, 0);
	ucontext_t u[2];
	u32 i;

	memset(&out, 0, sizeof(out));
	for (i = 0; i < 2; i++) {
		struct agent *a = agent_of(block((int)i));

		memset(a, 0, sizeof(*a));
		memcpy((void *)memory[i], in.bytes[i], SIZE);
		set(&u[i], in.nr, in.args[i]);
		a->lease = a->interval = a->alone = 1;
		a->follows = i;
		a->fds = 1000;
		a->table = (u64)table;
		a->ring = (u64)base;
		a->slot = memory[0];
		a->slot_end = memory[0] + SIZE;
		a->delta = i ? delta : 0;
		if (i)
			ring_attach_reader(&a->r, base, 0);
		else
			ring_attach_writer(&a->r, base);
	}
	out.handled[0] = agent_call(block(0), (struct ucontext *)&u[0]);
	CHECK(!agent_of(block(0))->r.failed, "%u", agent_of(block(0))->r.failed);
	out.handled[1] = agent_call(block(1), (struct ucontext *)&u[1]);
	out.differs = agent_of(block(1))->differs;
	for (i = 0; i < 2; i++) {
		out.rax[i] = u[i].uc_mcontext.gregs[REG_RAX];
		memcpy(out.bytes[i], (void *)memory[i], SIZE);
	}
	munmap(base - MV_PAGE, span + 2 * MV_PAGE);
}

int agent_program(u64 table_size)
{
	u8 *table = malloc(table_size);
	struct sigaction act = { .sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_NODEFER };
	u32 i;

	CHECK(!sigaction(SIGSEGV, &act, NULL), "%m");
	for (i = 0; i < 2; i++)
		CHECK(mmap((void *)memory[i], SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
			      (void *)memory[i], "%m");
	hook = kernel;
	while (get(table, table_size) && get(&in, sizeof(in))) {
		one(table, memory[1] - memory[0]);
		for (i = 0; i < sizeof(out);) {
			ssize_t k = write(1, (u8 *)&out + i, sizeof(out) - i);

			CHECK(k > 0, "%m");
			i += (u32)k;
		}
	}
	free(table);
	return 0;
}
