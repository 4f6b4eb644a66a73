/* Which messages agents receive, and as what. */
#define _GNU_SOURCE
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "agent.h"
#include "ring_test.h"

enum { FD = 7, UNSET = 0x5a };

static struct hot_call hot[MV_HOT_CALLS];
static int domain, protocol, calls;
static i64 answer;

static i64 kernel(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	const struct iovec *v = (const struct iovec *)b;

	if (nr == SYS_futex)
		return __real_vhost_call(nr, a, b, c, d, e, f);
	CHECK(a == FD, "%ld of %ld", nr, a);
	if (nr == SYS_getsockopt) {
		*(int *)d = c == SO_DOMAIN ? domain : protocol;
		return domain < 0 ? -ENOTSOCK : 0;
	}
	CHECK(nr == SYS_readv && c == 2 && !d, "%ld of %ld parts", nr, c);
	calls++;
	if (answer > 0) {
		memcpy(v[0].iov_base, "abc", 3);
		memcpy(v[1].iov_base, "defgh", 5);
	}
	return answer;
}

static struct agent *prepare(int i)
{
	static const struct hot_arg fd = { .kind = MV_HOT_FD }, half = { .kind = MV_HOT_HALF }, size = { .kind = MV_HOT_LONG };
	struct agent *a = agent_of(block(i));

	memset(a, 0, sizeof(*a));
	hot[SYS_recvmsg] = (struct hot_call){
		.flags = MV_HOT_CALL, .first = SYS_readv,
		.arg = { fd, { .kind = MV_HOT_MESSAGE, .dir = MV_HOT_OUT, .how = MV_WROTE_RESULT }, half },
	};
	hot[SYS_readv] = (struct hot_call){
		.flags = MV_HOT_CALL,
		.arg = { fd, { .kind = MV_HOT_VECTOR, .dir = MV_HOT_OUT, .count = 2, .how = MV_WROTE_RESULT }, size },
	};
	a->table = (u64)hot;
	a->fds = 1000;
	domain = AF_INET;
	protocol = 6;
	calls = 0;
	answer = 5;
	hook = kernel;
	return a;
}

/* A message with two parts. */
struct own {
	char first[3], second[5];
	struct iovec v[2];
	struct msghdr m;
};

static struct own *make(struct own *o)
{
	memset(o, 'x', sizeof(*o));
	o->v[0] = (struct iovec){ o->first, 3 };
	o->v[1] = (struct iovec){ o->second, 5 };
	o->m = (struct msghdr){ .msg_iov = o->v, .msg_iovlen = 2, .msg_flags = UNSET };
	return o;
}

static int receives(int i, struct own *o, int flags, i64 *ret)
{
	return deal_with(agent_of(block(i)), SYS_recvmsg, (u64[4]){ FD, (u64)&o->m, (u64)flags }, ret);
}

/* All variants get what has come, and that there is nothing to say of it. */
void test_answers(void)
{
	static const i64 results[] = { 8, 5, 2, 0, -ECONNRESET };
	u8 *base = make_ring(1 << 16, 16, 1, 1, 0);
	struct own own[2];
	u32 k, i;
	i64 ret[2];

	prepare(1);
	prepare(0);
	pair_up(base);
	for (k = 0; k < sizeof(results) / sizeof(results[0]); k++) {
		answer = results[k];
		for (i = 0; i < 2; i++)
			CHECK(receives((int)i, make(&own[i]), MSG_NOSIGNAL, &ret[i]), "variant %u, %ld", i, answer);
		for (i = 0; i < 2; i++)
			CHECK(ret[i] == answer && own[i].m.msg_flags == (answer < 0 ? UNSET : 0), "variant %u: %ld, flags %x", i, ret[i], own[i].m.msg_flags);
		CHECK(!memcmp(own[1].first, answer >= 3 ? "abc" : answer == 2 ? "abx" : "xxx", 3), "%ld: %.3s", answer, own[1].first);
		CHECK(!memcmp(own[1].second, answer == 8 ? "defgh" : answer == 5 ? "dexxx" : "xxxxx", 5), "%ld: %.5s", answer, own[1].second);
	}
	CHECK(calls == 5, "%d", calls);
	/* Parts of other lengths are another call. */
	CHECK(receives(0, make(&own[0]), 0, NULL), "the monitor's");
	make(&own[1])->v[1].iov_len = 4;
	CHECK(!receives(1, &own[1], 0, NULL) && agent_of(block(1))->differs == MV_DIFFERS_CALL, "%u", agent_of(block(1))->differs);
}

/* Where there may be more than data the monitor looks. */
void test_answers_refused(void)
{
	static const struct {
		int domain, protocol, done;
	} list[] = { { AF_INET6, 6, 1 }, { AF_UNIX, 0, 0 }, { AF_INET, 17, 0 }, { AF_INET, 262, 0 }, { AF_NETLINK, 6, 0 }, { -1, 6, 0 } };
	static const int flags[] = { MSG_PEEK, MSG_DONTWAIT, MSG_WAITALL, MSG_OOB, MSG_TRUNC, MSG_ERRQUEUE, MSG_CMSG_CLOEXEC };
	struct own own;
	u32 i;

	copies_may_fault();
	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		prepare(0);
		domain = list[i].domain;
		protocol = list[i].protocol;
		CHECK(receives(0, make(&own), 0, NULL) == list[i].done && calls == list[i].done, "%d, %d", domain, protocol);
	}
	prepare(0)->texts = MV_TELLS;
	CHECK(!receives(0, make(&own), 0, NULL), "times");
	prepare(0);
	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		CHECK(!receives(0, make(&own), flags[i], NULL), "flags %x", flags[i]);
	make(&own)->m.msg_name = own.first;
	CHECK(!receives(0, &own, 0, NULL), "a name");
	make(&own)->m.msg_control = own.first;
	CHECK(!receives(0, &own, 0, NULL), "control data");
	make(&own)->m.msg_controllen = 16;
	CHECK(!receives(0, &own, 0, NULL), "a length of control data");
	make(&own)->m.msg_iovlen = MV_HOT_RANGES + 1;
	CHECK(!receives(0, &own, 0, NULL), "too many");
	make(&own)->m.msg_iovlen = 0;
	CHECK(!receives(0, &own, 0, NULL), "none");
	make(&own)->m.msg_iov = (struct iovec *)8;
	CHECK(!receives(0, &own, 0, NULL), "no vector");
	make(&own)->v[0].iov_base = (void *)MV_SLOT;
	CHECK(!receives(0, &own, 0, NULL), "memory of the host's");
	CHECK(!deal_with(agent_of(block(0)), SYS_recvmsg, (u64[4]){ FD, 8, 0 }, NULL), "no message");
	CHECK(!deal_with(agent_of(block(0)), SYS_recvmsg, (u64[4]){ 1000, (u64)&make(&own)->m, 0 }, NULL), "a descriptor of the host's");
	hot[SYS_readv].flags = 0;
	CHECK(!receives(0, make(&own), 0, NULL) && !calls, "%d calls", calls);
}
