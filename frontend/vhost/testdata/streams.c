/* What is read and written of a stream's socket is moved by the sockets' own calls. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent.h"
#include "ring_test.h"

enum { MOST = 16 };

static struct hot_call table[MV_HOT_CALLS];
static i64 calls[MOST]; /* those that move something, and that ask what a socket is */
static int called;
static i64 refusal; /* what sendto and recvfrom answer, 0 for what they do */
static int domain; /* what a socket says that it is of, 0 for what it is */

static i64 kernel(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	const int asks = nr == SYS_getsockopt && c != SO_RCVLOWAT;

	if (nr == SYS_preadv2 || nr == SYS_pwritev2 || nr == SYS_recvfrom || nr == SYS_sendto || asks || nr == SYS_read)
		calls[called++ % MOST] = nr;
	if (refusal && (nr == SYS_recvfrom || nr == SYS_sendto))
		return refusal;
	if (domain && nr == SYS_getsockopt && c == SO_DOMAIN) {
		*(int *)d = domain;
		return 0;
	}
	return __real_vhost_call(nr, a, b, c, d, e, f);
}

static void set(i64 nr, u32 instant, u32 dir)
{
	table[nr] = (struct hot_call){
		.flags = MV_HOT_CALL | MV_HOT_BLOCKS | MV_HOT_PROMPT,
		.instant_nr = (uint16_t)instant,
		.instant_arg = 5,
		.instant_how = MV_HOT_GATHERS | MV_HOT_CURRENT,
		.instant_flag = RWF_NOWAIT,
		.arg = { { .kind = MV_HOT_FD },
			 { .kind = MV_HOT_BUFFER, .flags = MV_HOT_BULK, .dir = (uint8_t)dir, .length = MV_SIZE_COUNT, .count = 2, .unit = 1, .how = MV_WROTE_RESULT },
			 { .kind = MV_HOT_LONG } },
	};
}

static struct agent *prepare(void)
{
	struct agent *a = agent_of(block(0));

	memset(a, 0, sizeof(*a));
	memset(table, 0, sizeof(table));
	memset(calls, 0, sizeof(calls));
	set(SYS_read, SYS_preadv2, MV_HOT_OUT);
	set(SYS_write, SYS_pwritev2, MV_HOT_IN);
	a->table = (u64)table;
	a->fds = 1000;
	block(0)->signalled = 0;
	block(0)->open = blocked_signals();
	called = 0;
	refusal = 0;
	domain = 0;
	hook = kernel;
	return a;
}

static i64 deal(struct agent *a, i64 nr, int fd, const void *buf, u64 n)
{
	i64 ret = -1;

	CHECK(deal_with(a, nr, (u64[4]){ (u64)fd, (u64)buf, n }, &ret), "the monitor's");
	return ret;
}

/* Both ends' kinds, and the calls by which three bytes go there and back twice. */
void test_agent_streams(void)
{
	static const struct {
		int type, times;
		i64 calls[8];
	} list[] = {
		{ SOCK_STREAM, 8, { SYS_pwritev2, SYS_preadv2, SYS_getsockopt, SYS_getsockopt, SYS_sendto, SYS_getsockopt, SYS_getsockopt, SYS_recvfrom } },
		{ SOCK_DGRAM, 8, { SYS_pwritev2, SYS_preadv2, SYS_getsockopt, SYS_getsockopt, SYS_pwritev2, SYS_getsockopt, SYS_getsockopt, SYS_preadv2 } },
		/* Each of its writes ends a record (MSG_EOR), which sendto does when it is told to. */
		{ SOCK_SEQPACKET, 8, { SYS_pwritev2, SYS_preadv2, SYS_getsockopt, SYS_getsockopt, SYS_pwritev2, SYS_getsockopt, SYS_getsockopt, SYS_preadv2 } },
	};
	u32 i;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		struct agent *a = prepare();
		int pair[2], k;
		char buf[8];

		CHECK(!socketpair(AF_UNIX, list[i].type | SOCK_NONBLOCK, 0, pair), "%m");
		for (k = 0; k < 2; k++) {
			CHECK(deal(a, SYS_write, pair[0], "abc", 3) == 3, "%u", i);
			CHECK(deal(a, SYS_read, pair[1], buf, sizeof(buf)) == 3 && !memcmp(buf, "abc", 3), "%u", i);
		}
		CHECK(called == list[i].times && !memcmp(calls, list[i].calls, sizeof(list[i].calls)), "%u: %d calls, %ld", i, called, calls[4]);
		/* Nothing is asked twice. */
		CHECK(deal(a, SYS_write, pair[0], "abc", 3) == 3 && called == 9, "%u: %d", i, called);
		close(pair[0]);
		close(pair[1]);
	}
}

/* A number that has become something else behind the agent's back is that, and moves nothing of what
 * it was; and who moves nothing does not get to the socket. */
void test_agent_stream_gone(void)
{
	struct agent *a = prepare();
	int pair[2], ends[2], k;
	char buf[8];

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) && !pipe2(ends, O_NONBLOCK), "%m");
	for (k = 0; k < 2; k++)
		CHECK(deal(a, SYS_write, pair[0], "abc", 3) == 3, "%d", k);
	CHECK(calls[called - 1] == SYS_sendto, "%ld", calls[called - 1]);
	CHECK(!deal(a, SYS_write, pair[0], "abc", 0) && calls[called - 1] == SYS_pwritev2, "%ld", calls[called - 1]);
	CHECK(dup2(ends[1], pair[0]) == pair[0], "%m");
	CHECK(deal(a, SYS_write, pair[0], "xyz", 3) == 3 && calls[called - 2] == SYS_sendto && calls[called - 1] == SYS_pwritev2, "%d", called);
	CHECK(read(ends[0], buf, sizeof(buf)) == 3 && !memcmp(buf, "xyz", 3), "%m");
	/* It is not tried again. */
	k = called;
	CHECK(deal(a, SYS_write, pair[0], "xyz", 3) == 3 && called == k + 1 && calls[k] == SYS_pwritev2, "%d", called);
	close(pair[0]);
	close(pair[1]);
	close(ends[0]);
	close(ends[1]);
}

/* Where a filter of somebody's outside refuses the sockets' calls, the others do. */
void test_agent_stream_refused(void)
{
	static const i64 list[] = { -EPERM, -EACCES, -ENOSYS };
	u32 i;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		struct agent *a = prepare();
		int pair[2], k;
		char buf[16];

		CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), "%m");
		refusal = list[i];
		for (k = 0; k < 3; k++)
			CHECK(deal(a, SYS_write, pair[0], "abc", 3) == 3 && calls[called - 1] == SYS_pwritev2, "%d", k);
		/* It is asked, tried and done otherwise once, and not tried again. */
		CHECK(called == 6, "%d", called);
		for (k = 0; k < 3; k++)
			CHECK(deal(a, SYS_read, pair[1], buf, 3) == 3 && !memcmp(buf, "abc", 3) && calls[called - 1] == SYS_preadv2, "%d", k);
		CHECK(called == 12, "%d", called);
		close(pair[0]);
		close(pair[1]);
	}
}

/* Both directions of a descriptor are asked about together, also where it becomes one that is known not
 * to block; what has nothing to read says so, and what nobody gets does not come to the socket. */
void test_agent_stream_both_ways(void)
{
	struct agent *a = prepare();
	int pair[2];
	char buf[8];

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), "%m");
	CHECK(write(pair[1], "abcdef", 6) == 6, "%m");
	CHECK(deal(a, SYS_read, pair[0], buf, 3) == 3 && deal(a, SYS_read, pair[0], buf, 3) == 3, "%m");
	CHECK(called == 4 && calls[3] == SYS_recvfrom, "%d", called);
	CHECK(deal(a, SYS_write, pair[0], "abc", 3) == 3 && called == 5 && calls[4] == SYS_sendto, "%d: %ld", called, calls[4]);
	CHECK(deal(a, SYS_read, pair[0], buf, 3) == -EAGAIN && calls[5] == SYS_recvfrom, "%ld", calls[5]);
	CHECK(deal(a, SYS_read, pair[0], 0, 3) == -EAGAIN && calls[called - 1] == SYS_preadv2, "%ld", calls[called - 1]);
	close(pair[0]);
	close(pair[1]);
}

/* Streams of families of which nobody has looked are left alone. */
void test_agent_stream_families(void)
{
	static const struct {
		int domain;
		i64 call;
	} list[] = { { AF_INET, SYS_sendto }, { AF_INET6, SYS_sendto }, { AF_VSOCK, SYS_pwritev2 }, { AF_TIPC, SYS_pwritev2 } };
	u32 i;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		struct agent *a = prepare();
		int pair[2];

		CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), "%m");
		domain = list[i].domain;
		deal(a, SYS_write, pair[0], "abc", 3);
		CHECK(deal(a, SYS_write, pair[0], "abc", 3) == 3 && calls[called - 1] == list[i].call, "%u: %ld", i, calls[called - 1]);
		close(pair[0]);
		close(pair[1]);
	}
}
