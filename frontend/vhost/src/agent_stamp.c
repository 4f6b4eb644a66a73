/* Reads of the time stamp counter, which fault because the task is kept from it (prctl(2),
 * PR_SET_TSC). The leader's is made for the program, and the followers' get the same. */
#include "agent_parts.h"

u32 agent_code(u64 ip, u8 *code)
{
	if (!agent_fits(ip, 2) || vhost_copy(code, (void *)ip, 2))
		return 0;
	return !agent_fits(ip + 2, 1) || vhost_copy(code + 2, (void *)(ip + 2), 1) ? 2 : 3;
}

static int peek(u8 *to, u64 from, u64 n)
{
	const struct part here = { (u64)to, n }, there = { from, n };
	i64 pid = vhost_call(SYS_getpid, 0, 0, 0, 0, 0, 0);

	return agent_fits(from, n) && vhost_call(SYS_process_vm_readv, (u64)pid, (u64)&here, 1, (u64)&there, 1, 0) == (i64)n;
}

u32 agent_peek(u64 ip, u8 *code)
{
	if (!peek(code, ip, 2))
		return 0;
	return peek(code + 2, ip + 2, 1) ? 3 : 2;
}

int agent_is_stamp(const struct ucontext *u, const u8 *code, u32 n, struct stamp *s)
{
	/* What steps through the program has to see the instruction as a step. */
	if (u->eflags & FLAG_TF || n < 2 || code[0] != 0x0f)
		return 0;
	*s = (struct stamp){ .ip = u->rip, .size = 2 };
	if (code[1] == 0x31)
		return 1;
	if (code[1] != 0x01 || n < 3 || code[2] != 0xf9)
		return 0;
	s->names = 1;
	s->size = 3;
	return 1;
}

void agent_give_stamp(struct ucontext *u, const struct stamp *s)
{
	u->rax = (u32)s->cycles;
	u->rdx = s->cycles >> 32;
	if (s->names)
		u->rcx = s->processor;
	u->rip += s->size;
}

static u64 read_counter(void)
{
	u32 low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (u64)high << 32 | low;
}

/* Finds out what the counter says; 0 where that cannot be. Where the task itself is kept from it, to
 * let it read the counter for a moment, and keep it from that again, would change a control register
 * twice, which leaves a virtual machine. So it is what the monitor's scale makes of a clock then; the
 * monitor's own reads of it are, too. A guest's ring 0 and the variant host read the same, which is
 * nobody's but the processor's. */
static int look(const struct agent *a, struct stamp *s)
{
	struct timespec t;
	u32 processor = 0, node = 0;

	if (!a->scale || (s->names && vhost_call(SYS_getcpu, (u64)&processor, (u64)&node, 0, 0, 0, 0)))
		return 0;
	/* As Linux sets it (vdso_setup_cpu in arch/x86/entry/vdso/vma.c). */
	s->processor = node << 12 | processor;
	if (a->scale == MV_SCALE_OWN) {
		s->cycles = read_counter();
		return 1;
	}
	if (vhost_call(SYS_clock_gettime, CLOCK_MONOTONIC_RAW, (u64)&t, 0, 0, 0, 0))
		return 0;
	s->cycles = a->cycles + (u64)((unsigned __int128)((u64)t.sec * 1000000000 + (u64)t.nsec - a->since) * a->scale >> MV_SCALE_BITS);
	return 1;
}

int agent_lead_stamp(struct agent *a, struct stamp *s)
{
	const struct hot_call *h = (const struct hot_call *)a->table + MV_STAMP_ENTRY + s->names;
	const struct request q = { .nr = MV_STAMP_NR, .arg = { s->names }, .ip = s->ip };
	struct result x = { 0, 0, 0 };
	u64 begun;

	if (!__atomic_load_n(&a->lease, __ATOMIC_SEQ_CST) || !(h->flags & MV_HOT_STAMP))
		return 0;
	begun = agent_begin(a, h);
	if (!look(a, s))
		return 0;
	x.ret = (i64)s->cycles;
	x.length = s->processor;
	a->out.count = 0;
	a->out.bytes = 0;
	a->waited = 0;
	if (a->ring)
		agent_tell(a, &q, &x, &a->out);
	if (a->tally)
		agent_count(a, h, 0, 0, begun);
	return 1;
}

int agent_follow_stamp(struct agent *a, struct stamp *s)
{
	struct ring_record rec;
	struct request q;
	struct result x;

	if (!agent_next(a, &rec))
		return 0;
	if (!agent_asks_in(&rec) || rec.length < sizeof(q) || ring_take(&a->r, &q, sizeof(q))) {
		ring_fail(&a->r, RING_EVENT);
		return 0;
	}
	if (q.nr != MV_STAMP_NR || q.arg[0] != s->names) {
		/* The monitor finds what the leader has done, and the follower's instruction. */
		if (a->r.told != a->r.start)
			return agent_differ(a, &q);
		ring_again(&a->r);
		return 0;
	}
	if (rec.length != sizeof(q) + sizeof(x) || ring_take(&a->r, &x, sizeof(x)) || x.bytes) {
		ring_fail(&a->r, RING_EVENT);
		return 0;
	}
	s->cycles = (u64)x.ret;
	s->processor = x.length;
	return !ring_done(&a->r);
}
