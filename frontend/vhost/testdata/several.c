/* Calls with an array of messages: what agents send and receive of them, and what the program is told
 * of it. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "agent.h"
#include "ring_test.h"

enum { FD = 7, UNSET = 0x5a, NR_SENDMMSG = 307, NR_RECVMMSG = 299, MOST = 16 };

static struct hot_call hot[MV_HOT_CALLS];
static char sent[MOST][MV_LARGE_SIZE];
static i64 results[MOST]; /* of the calls that the agent makes; 0 for all bytes */
static int calls, nonblocking, protocol, revents, taken;

/* A socket, with bytes to be received. */
static i64 kernel(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	const struct iovec *v = (const struct iovec *)b;
	i64 ret;

	switch (nr) {
	case SYS_futex:
		return __real_vhost_call(nr, a, b, c, d, e, f);
	case SYS_fcntl:
		return nonblocking ? nonblocking : -EBADF;
	case SYS_getsockopt:
		*(int *)d = c == SO_DOMAIN ? AF_INET : protocol;
		return 0;
	case SYS_poll:
		CHECK(b == 1 && !c && *(int *)a == FD, "%ld, %ld ms", b, c);
		((int16_t *)a)[3] = (int16_t)revents;
		return !!revents;
	case SYS_rt_sigtimedwait:
		taken++;
		return 0;
	}
	CHECK(a == FD && calls < MOST && (nr == SYS_sendto || nr == SYS_readv), "%ld of %ld", nr, a);
	ret = results[calls++];
	if (nr == SYS_sendto) {
		CHECK(!e && !f && c <= MV_LARGE_SIZE && d & MSG_NOSIGNAL, "%ld bytes, flags %lx", c, d);
		memcpy(sent[calls - 1], (void *)b, c);
		return ret ? ret : (i64)c;
	}
	CHECK(c == 2 && !d, "%ld parts, %lx", c, d);
	if (ret > 0)
		memcpy(v[0].iov_base, "abcdefgh", (u64)ret);
	return ret;
}

static struct agent *prepare(int i)
{
	static const struct hot_arg fd = { .kind = MV_HOT_FD }, half = { .kind = MV_HOT_HALF }, size = { .kind = MV_HOT_LONG };
	const struct hot_arg out = { .kind = MV_HOT_MESSAGE, .dir = MV_HOT_OUT, .how = MV_WROTE_RESULT, .count = 2 };
	struct hot_arg in = out;
	struct agent *a = agent_of(block(i));

	in.dir = MV_HOT_IN;
	memset(a, 0, sizeof(*a));
	memset(hot, 0, sizeof(hot));
	memset(results, 0, sizeof(results));
	hot[NR_SENDMMSG] = (struct hot_call){ .flags = MV_HOT_CALL, .first = SYS_sendto, .used = 4, .arg = { fd, in, half, half } };
	hot[NR_RECVMMSG] = (struct hot_call){ .flags = MV_HOT_CALL, .first = SYS_readv, .used = 5, .arg = { fd, out, half, half, { .kind = MV_HOT_NULL } } };
	hot[SYS_sendto] = (struct hot_call){
		.flags = MV_HOT_CALL,
		.arg = { fd, { .kind = MV_HOT_BUFFER, .dir = MV_HOT_IN, .length = MV_SIZE_COUNT, .count = 2, .unit = 1, .flags = MV_HOT_BULK }, size, half }
	};
	hot[SYS_readv] = (struct hot_call){
		.flags = MV_HOT_CALL,
		.arg = { fd, { .kind = MV_HOT_VECTOR, .dir = MV_HOT_OUT, .count = 2, .how = MV_WROTE_RESULT }, size },
	};
	a->table = (u64)hot;
	a->fds = 1000;
	calls = revents = taken = 0;
	nonblocking = O_NONBLOCK;
	protocol = 6;
	hook = kernel;
	return a;
}

/* Messages of one part, of two, and of none. */
struct own {
	char data[16];
	struct iovec v[3];
	struct mmsghdr m[MOST + 1];
};

static struct own *make(struct own *o)
{
	u32 i;

	memset(o, 0, sizeof(*o));
	memcpy(o->data, "onetwothree", 11);
	o->v[0] = (struct iovec){ o->data, 3 };
	o->v[1] = (struct iovec){ o->data + 3, 3 };
	o->v[2] = (struct iovec){ o->data + 6, 5 };
	o->m[0].msg_hdr = (struct msghdr){ .msg_iov = o->v, .msg_iovlen = 1 };
	o->m[1].msg_hdr = (struct msghdr){ .msg_iov = o->v + 1, .msg_iovlen = 2 };
	for (i = 0; i <= MOST; i++) {
		o->m[i].msg_hdr.msg_flags = UNSET & ~MSG_EOR;
		o->m[i].msg_len = UNSET;
	}
	return o;
}

static int sends(int i, struct own *o, u64 count, u64 flags, i64 *ret)
{
	return deal_with(agent_of(block(i)), NR_SENDMMSG, (u64[4]){ FD, (u64)o->m, count, flags | MSG_NOSIGNAL }, ret);
}

static int receives(int i, struct own *o, u64 count, u64 flags, i64 *ret)
{
	return deal_with(agent_of(block(i)), NR_RECVMMSG, (u64[4]){ FD, (u64)o->m, count, flags }, ret);
}

/* Each is sent once, up to the first that is not sent as a whole, and all variants get to know how
 * many there were and how long. */
void test_several_sent(void)
{
	static const struct {
		i64 results[3], ret;
		int calls, taken;
		u32 lengths[3];
	} list[] = {
		{ { 0, 0, 0 }, 3, 3, 0, { 3, 8, 0 } },
		{ { 0, 5, 0 }, 2, 2, 0, { 3, 5, UNSET } },
		{ { 0, -EAGAIN, 0 }, 1, 2, 0, { 3, UNSET, UNSET } },
		{ { 0, 0, -EPIPE }, 2, 3, 1, { 3, 8, UNSET } },
		{ { -EAGAIN, 0, 0 }, -EAGAIN, 1, 0, { UNSET, UNSET, UNSET } },
		{ { -ECONNREFUSED, 0, 0 }, -ECONNREFUSED, 1, 0, { UNSET, UNSET, UNSET } },
	};
	u8 *base = make_ring(1 << 16, 32, 1, 1, 0);
	struct own own[2];
	u32 k, i, j;
	i64 ret;

	prepare(1);
	prepare(0);
	pair_up(base);
	for (k = 0; k < sizeof(list) / sizeof(list[0]); k++) {
		calls = taken = 0;
		memset(sent, 0, sizeof(sent));
		memcpy(results, list[k].results, sizeof(list[k].results));
		for (i = 0; i < 2; i++) {
			CHECK(sends((int)i, make(&own[i]), 3, 0, &ret) && ret == list[k].ret, "case %u, variant %u: %ld", k, i, ret);
			for (j = 0; j < 3; j++)
				CHECK(own[i].m[j].msg_len == list[k].lengths[j], "case %u, variant %u, message %u: %u", k, i, j, own[i].m[j].msg_len);
		}
		CHECK(calls == list[k].calls && taken == list[k].taken, "case %u: %d calls, %d signals", k, calls, taken);
		CHECK(!memcmp(sent[0], "one", 4) && !memcmp(sent[1], calls > 1 ? "twothree" : "", calls > 1 ? 9 : 1), "case %u: %s", k, sent[1]);
	}
	/* The monitor makes it again, and nothing has come of it. */
	calls = 0;
	results[0] = -EPIPE;
	CHECK(!sends(0, make(&own[0]), 3, 0, NULL), "the monitor's");
}

/* What differs in any of them is another call. */
void test_several_differ(void)
{
	struct own own[2];
	u32 k;

	for (k = 0; k < 7; k++) {
		u8 *base = make_ring(1 << 16, 32, 1, 1, 0);
		u64 count = 3, flags = 0;
		int done;

		prepare(1);
		prepare(0);
		pair_up(base);
		CHECK(sends(0, make(&own[0]), 3, 0, NULL), "case %u", k);
		make(&own[1]);
		if (k == 1)
			own[1].data[10] = 'x';
		if (k == 2) {
			/* The same bytes in the same parts, of other messages. */
			own[1].m[0].msg_hdr.msg_iovlen = 2;
			own[1].m[1].msg_hdr = (struct msghdr){ .msg_iov = own[1].v + 2, .msg_iovlen = 1 };
		}
		if (k == 3)
			own[1].v[1].iov_len = 2;
		if (k == 4)
			count = 2;
		if (k == 5)
			flags = MSG_MORE;
		/* What is not sent does not differ. */
		if (k == 6)
			own[1].m[0].msg_hdr.msg_flags = MSG_EOR;
		done = sends(1, &own[1], count, flags, NULL);
		CHECK(done == (k % 6 == 0) && agent_of(block(1))->differs == (done ? 0 : MV_DIFFERS_CALL), "case %u: %d", k, done);
	}
}

/* One message may wait, several may not. */
void test_several_sleep(void)
{
	struct own own;
	i64 ret;

	prepare(0);
	nonblocking = 0100000;
	CHECK(!sends(0, make(&own), 2, 0, NULL) && !calls, "it may sleep");
	CHECK(sends(0, make(&own), 2, MSG_DONTWAIT, &ret) && ret == 2, "%ld", ret);
	CHECK(sends(0, make(&own), 1, 0, &ret) && ret == 1 && own.m[0].msg_len == 3, "%ld", ret);
	nonblocking = 0;
	CHECK(!sends(0, make(&own), 2, 0, NULL) && calls == 3, "no file");
}

/* What has more than data, or is not there, is the monitor's before anything is sent. */
void test_several_refused(void)
{
	static char large[MV_LARGE_SIZE];
	struct own own, *page = mmap(NULL, 2 * MV_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u32 i;

	copies_may_fault();
	prepare(0);
	for (i = 0; i < 12; i++) {
		struct msghdr *h = &make(&own)->m[1].msg_hdr;

		if (i == 0)
			h->msg_name = own.data;
		if (i == 1)
			h->msg_namelen = 16;
		if (i == 2)
			h->msg_control = own.data;
		if (i == 3)
			h->msg_controllen = 16;
		if (i == 4)
			h->msg_flags = MSG_EOR;
		if (i == 5)
			h->msg_iov = (struct iovec *)8;
		if (i == 6)
			own.v[2].iov_base = (void *)8;
		if (i == 7)
			own.v[2].iov_base = (void *)MV_SLOT;
		if (i == 8)
			own.v[2].iov_len = ~0UL;
		if (i == 9)
			own.v[2] = (struct iovec){ large, sizeof(large) - 16 };
		if (i == 10)
			h->msg_iovlen = MV_HOT_RANGES;
		if (i == 11)
			h->msg_iovlen = ~0UL;
		CHECK(!sends(0, &own, 2, 0, NULL) && own.m[0].msg_len == UNSET, "case %u", i);
	}
	CHECK(!sends(0, make(&own), 0, 0, NULL) && !sends(0, &own, MOST + 1, 0, NULL) && !sends(0, &own, ~0U, 0, NULL), "counts");
	CHECK(!sends(0, &own, 2, MSG_ZEROCOPY, NULL) && !sends(0, &own, 2, 1U << 31, NULL), "flags");
	CHECK(page != MAP_FAILED, "%m");
	*page = own;
	CHECK(!mprotect(page, 2 * MV_PAGE, PROT_READ) && !sends(0, page, 2, 0, NULL), "lengths that cannot be written");
	CHECK(!deal_with(agent_of(block(0)), NR_SENDMMSG, (u64[4]){ FD, 0, 1, MSG_NOSIGNAL }, NULL), "null");
	CHECK(!deal_with(agent_of(block(0)), NR_SENDMMSG, (u64[4]){ FD, 8, 1, MSG_NOSIGNAL }, NULL), "not there");
	CHECK(!deal_with(agent_of(block(0)), NR_SENDMMSG, (u64[4]){ FD, MV_TASK_END - 64, 2, MSG_NOSIGNAL }, NULL), "behind the end");
	hot[SYS_sendto].flags = 0;
	CHECK(!sends(0, make(&own), 2, 0, NULL) && !calls, "%d calls", calls);
}

/* One is received, and its length is the call's. */
void test_several_received(void)
{
	static const i64 list[] = { 6, 3, 0, -ECONNRESET };
	u8 *base = make_ring(1 << 16, 16, 1, 1, 0);
	struct own own[2];
	u32 k, i;
	i64 ret;

	prepare(1);
	prepare(0);
	pair_up(base);
	for (k = 0; k < sizeof(list) / sizeof(list[0]); k++) {
		results[k] = list[k];
		for (i = 0; i < 2; i++) {
			struct mmsghdr *m = make(&own[i])->m;

			m->msg_hdr.msg_iovlen = 2;
			CHECK(receives((int)i, &own[i], 1, k % 2 ? MSG_WAITFORONE : MSG_NOSIGNAL, &ret), "variant %u", i);
			CHECK(ret == (list[k] < 0 ? list[k] : 1), "variant %u: %ld", i, ret);
			CHECK(m->msg_len == (list[k] < 0 ? UNSET : (u32)list[k]), "variant %u: %u", i, m->msg_len);
			CHECK(m->msg_hdr.msg_flags == (list[k] < 0 ? UNSET & ~MSG_EOR : 0), "variant %u: %x", i, m->msg_hdr.msg_flags);
			CHECK(!memcmp(own[i].data, list[k] == 6 ? "abcdef" : list[k] == 3 ? "abctwo" : "onetwo", 6), "%u: %.6s", i, own[i].data);
		}
	}
	CHECK(calls == 4, "%d", calls);
}

/* Several are not, nor what there may be more of than data, or an error that comes first. */
void test_several_answers_refused(void)
{
	struct own own;
	u32 i;

	prepare(0);
	make(&own)->m[0].msg_hdr.msg_iovlen = 2;
	for (i = 0; i < 20; i++)
		CHECK(i == 1 || !receives(0, &own, i, 0, NULL), "%u messages", i);
	CHECK(!receives(0, &own, 1, MSG_DONTWAIT, NULL) && !receives(0, &own, 1, MSG_PEEK, NULL) && !receives(0, &own, 1, MSG_ERRQUEUE, NULL), "flags");
	protocol = 17;
	CHECK(!receives(0, &own, 1, 0, NULL), "datagrams");
	protocol = 6;
	revents = POLLERR;
	CHECK(!receives(0, &own, 1, 0, NULL), "an error");
	revents = 0;
	own.m[0].msg_hdr.msg_controllen = 1;
	CHECK(!receives(0, &own, 1, 0, NULL) && !calls, "control data");
}
