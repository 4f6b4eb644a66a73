/* Which messages agents send, and as what. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "agent.h"
#include "ring_test.h"

enum { MESSAGE_CALL = 300, FD = 7, FLAGS = MSG_NOSIGNAL };

static struct hot_call hot[MV_HOT_CALLS];
static char sent[MV_LARGE_SIZE];
static u64 sent_size;
static int calls;

static i64 kernel(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	if (nr == SYS_futex)
		return __real_vhost_call(nr, a, b, c, d, e, f);
	CHECK(nr == SYS_sendto && a == FD && d == FLAGS && !e && !f, "%ld %ld %lx", nr, a, d);
	CHECK(c <= sizeof(sent), "%ld bytes", c);
	if (c)
		memcpy(sent, (void *)b, c);
	sent_size = c;
	calls++;
	return (i64)c;
}

static int sends(const struct msghdr *m, i64 *ret)
{
	return deal_with(agent_of(block(0)), MESSAGE_CALL, (u64[4]){ FD, (u64)m, FLAGS }, ret);
}

static void prepare(void)
{
	struct agent *a = agent_of(block(0));
	static const struct hot_arg fd = { .kind = MV_HOT_FD }, half = { .kind = MV_HOT_HALF }, size = { .kind = MV_HOT_LONG };

	memset(a, 0, sizeof(*a));
	memset(hot, 0, sizeof(hot));
	hot[MESSAGE_CALL] = (struct hot_call){
		.flags = MV_HOT_CALL, .first = SYS_sendto, .arg = { fd, { .kind = MV_HOT_MESSAGE, .dir = MV_HOT_IN }, half }
	};
	hot[SYS_sendto] = (struct hot_call){
		.flags = MV_HOT_CALL,
		.arg = { fd, { .kind = MV_HOT_BUFFER, .dir = MV_HOT_IN, .length = MV_SIZE_COUNT, .count = 2, .unit = 1, .flags = MV_HOT_BULK }, size, half }
	};
	a->table = (u64)hot;
	a->fds = 1000;
	calls = 0;
	hook = kernel;
}

/* The data of a message are sent as one buffer, and nothing but data is. */
void test_agent_messages(void)
{
	static char first[] = "first", second[MV_LARGE_SIZE];
	struct iovec v[MV_HOT_RANGES + 1] = { { first, 5 }, { NULL, 0 }, { second, 3 } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 1 }, other;
	u32 i;
	i64 ret;

	copies_may_fault();
	prepare();
	memcpy(second, "and", 3);
	CHECK(sends(&m, &ret) && ret == 5 && sent_size == 5 && !memcmp(sent, "first", 5), "%ld", ret);
	m.msg_iovlen = 3;
	CHECK(sends(&m, &ret) && ret == 8 && sent_size == 8 && !memcmp(sent, "firstand", 8), "%ld: %.8s", ret, sent);
	m.msg_iovlen = 0;
	CHECK(sends(&m, &ret) && !ret && !sent_size, "%ld", ret);
	/* One is not copied, so it may be long. */
	v[0] = (struct iovec){ second, sizeof(second) };
	m.msg_iovlen = 1;
	CHECK(sends(&m, &ret) && ret == sizeof(second), "%ld", ret);
	CHECK(calls == 4, "%d calls", calls);
	m.msg_iovlen = 3;
	CHECK(!sends(&m, &ret), "several are too long");
	v[0].iov_len = ~0UL - 8;
	CHECK(!sends(&m, &ret), "a length without end");
	v[0] = (struct iovec){ (void *)8, 5 };
	CHECK(!sends(&m, &ret), "nothing there");
	for (m.msg_iovlen = 1; m.msg_iovlen < 4; m.msg_iovlen++) {
		v[0] = (struct iovec){ (void *)MV_SLOT, 5 };
		CHECK(!sends(&m, &ret), "memory of the host's");
	}
	v[0] = (struct iovec){ first, 5 };
	m.msg_iovlen = MV_HOT_RANGES + 1;
	CHECK(!sends(&m, &ret), "too many");
	m.msg_iovlen = 1;
	for (i = 0; i < 4; i++) {
		other = m;
		if (i == 3)
			other.msg_namelen = 16;
		if (i == 0)
			other.msg_name = first;
		if (i == 1)
			other.msg_control = first;
		if (i == 2)
			other.msg_controllen = 16;
		CHECK(!sends(&other, &ret), "more than data, %u", i);
	}
	for (i = 0; i < 2; i++)
		CHECK(!deal_with(agent_of(block(0)), MESSAGE_CALL, (u64[4]){ FD, (u64)&m, i ? MSG_ZEROCOPY : 1UL << 31 }, &ret), "flag %u", i);
	CHECK(!sends(NULL, &ret) && !sends((void *)8, &ret) && !sends((void *)MV_SLOT, &ret), "no message");
	/* What would make it is not for the agent. */
	hot[SYS_sendto].flags = 0;
	CHECK(!sends(&m, &ret) && calls == 4, "%d calls", calls);
}

enum { SHORT = 100, LONG = 8192 };

static int type, domain, room, tried;
static i64 instantly;

/* A socket that blocks. */
static i64 slow_socket(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	switch (nr) {
	case SYS_fstat:
		memset((void *)b, 0, sizeof(struct stat));
		((struct stat *)b)->st_mode = S_IFSOCK;
		return 0;
	case SYS_fcntl:
		return 0;
	case SYS_getsockopt:
		CHECK(a == FD && b == SOL_SOCKET && *(int *)e == sizeof(int), "%ld", b);
		CHECK(c == SO_TYPE || c == SO_DOMAIN || c == SO_SNDBUF, "%ld", c);
		*(int *)d = c == SO_TYPE ? type : c == SO_DOMAIN ? domain : room;
		return room < 0 ? -ENOTSOCK : 0;
	case SYS_sendto:
		CHECK(a == FD && d & MSG_DONTWAIT, "it may sleep");
		tried++;
		return instantly;
	}
	return __real_vhost_call(nr, a, b, c, d, e, f);
}

/* What blocks is given what it takes as a whole, without a sleep in which others would wait. */
void test_agent_atomic(void)
{
	static char data[LONG];
	static const struct {
		int type, domain, room;
		i64 instantly, size;
		u64 flags;
		int tried, done;
	} list[] = {
		{ SOCK_STREAM, AF_UNIX, 16384, SHORT, SHORT, 0, 1, 1 },
		{ SOCK_SEQPACKET, AF_UNIX, 16384, SHORT, SHORT, MSG_NOSIGNAL, 1, 1 },
		{ SOCK_DGRAM, AF_INET, 4608, SHORT, SHORT, 0, 1, 1 },
		{ SOCK_STREAM, AF_UNIX, 16384, -EAGAIN, SHORT, 0, 1, 0 },
		{ SOCK_STREAM, AF_UNIX, 16384, -ECONNRESET, SHORT, 0, 1, 1 },
		{ SOCK_STREAM, AF_UNIX, 16384, SHORT, SHORT, MSG_OOB, 0, 0 },
		{ SOCK_STREAM, AF_UNIX, 8192, SHORT, SHORT, 0, 0, 0 },
		{ SOCK_STREAM, AF_UNIX, 16384, LONG, LONG, 0, 0, 0 },
		/* It may be cut anywhere. */
		{ SOCK_STREAM, AF_INET, 1 << 20, SHORT, SHORT, 0, 0, 0 },
		{ SOCK_STREAM, AF_UNIX, -1, SHORT, SHORT, 0, 0, 0 },
	};
	u32 i;
	i64 ret;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		int done;

		prepare();
		hot[SYS_sendto].flags |= MV_HOT_BLOCKS | MV_HOT_PROMPT;
		hot[SYS_sendto].instant_nr = SYS_sendto;
		hot[SYS_sendto].instant_arg = 3;
		hot[SYS_sendto].instant_flag = MSG_DONTWAIT;
		hook = slow_socket;
		type = list[i].type;
		domain = list[i].domain;
		room = list[i].room;
		instantly = list[i].instantly;
		tried = 0;
		done = deal_with(agent_of(block(0)), SYS_sendto, (u64[4]){ FD, (u64)data, (u64)list[i].size, list[i].flags }, &ret);
		CHECK(done == list[i].done && tried == list[i].tried, "case %u: %d, tried %d, %ld", i, done, tried, ret);
		CHECK(!done || ret == instantly, "case %u: %ld", i, ret);
	}
}
