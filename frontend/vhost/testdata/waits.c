/* Which calls agents make, and what they do to memory that the program cannot write. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "agent.h"
#include "ring_test.h"

enum { THE_FD = 7, TIMED_CALL = 301 };

static struct hot_call table[MV_HOT_CALLS];
static int made, asked, flags_asked;
static u32 file_mode;
static u64 file_device;
static i64 file_system, file_flags;
static u64 file_rdev, last_nr;
static int least_asked; /* how often somebody asked for how much a socket waits */
static int32_t least;	/* 0: it is no socket */
static i64 answer;

static i64 kernel(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	switch (nr) {
	case SYS_fstat:
		memset((void *)b, 0, sizeof(struct stat));
		((struct stat *)b)->st_mode = file_mode;
		((struct stat *)b)->st_dev = file_device;
		((struct stat *)b)->st_nlink = 1;
		((struct stat *)b)->st_rdev = file_rdev;
		return 0;
	case SYS_getsockopt:
		if (c != SO_RCVLOWAT)
			return -ENOTSOCK;
		least_asked++;
		*(int32_t *)d = least;
		return least ? 0 : -ENOTSOCK;
	case SYS_fstatfs:
		asked++;
		if (file_system < 0)
			return file_system;
		memset((void *)b, 0, sizeof(struct statfs));
		((struct statfs *)b)->f_type = file_system;
		return 0;
	case SYS_fcntl:
		flags_asked++;
		return file_flags;
	case SYS_rt_sigprocmask:
	case SYS_futex:
		return __real_vhost_call(nr, a, b, c, d, e, f);
	}
	made++;
	last_nr = (u64)nr;
	return answer;
}

/* Makes block i's agent one that has the table, and no ring. */
static struct agent *prepare(int i)
{
	struct agent *a = agent_of(block(i));

	memset(a, 0, sizeof(*a));
	memset(table, 0, sizeof(table));
	a->table = (u64)table;
	a->fds = 1000;
	block(i)->signalled = 0;
	block(i)->open = blocked_signals();
	made = asked = flags_asked = 0;
	answer = 0;
	file_mode = S_IFREG;
	file_device = file_rdev = 0;
	file_flags = 0;
	least_asked = 0;
	least = 0;
	hook = kernel;
	return a;
}

int deal_with(struct agent *a, i64 nr, const u64 arg[4], i64 *ret)
{
	struct block *b = (struct block *)((u8 *)a - MV_AGENT);
	ucontext_t u;
	int done;

	memset(&u, 0, sizeof(u));
	u.uc_mcontext.gregs[REG_RAX] = nr;
	u.uc_mcontext.gregs[REG_RDI] = (greg_t)arg[0];
	u.uc_mcontext.gregs[REG_RSI] = (greg_t)arg[1];
	u.uc_mcontext.gregs[REG_RDX] = (greg_t)arg[2];
	u.uc_mcontext.gregs[REG_R10] = (greg_t)arg[3];
	a->lease = a->interval = 1;
	done = agent_call(b, (struct ucontext *)&u);
	if (ret)
		*ret = u.uc_mcontext.gregs[REG_RAX];
	return done;
}

static int deal(struct agent *a, i64 nr, u64 arg0, u64 arg1, u64 arg2, i64 *ret)
{
	return deal_with(a, nr, (u64[4]){ arg0, arg1, arg2 }, ret);
}

static void set_read(void)
{
	table[SYS_read] = (struct hot_call){
		.flags = MV_HOT_CALL | MV_HOT_BLOCKS | MV_HOT_PROMPT,
		.instant_nr = SYS_preadv2,
		.instant_arg = 5,
		.instant_how = MV_HOT_GATHERS | MV_HOT_CURRENT,
		.instant_flag = 8,
		.arg = { { .kind = MV_HOT_FD },
			 { .kind = MV_HOT_BUFFER, .dir = MV_HOT_OUT, .length = MV_SIZE_COUNT, .count = 2, .unit = 1, .how = MV_WROTE_RESULT },
			 { .kind = MV_HOT_LONG } },
	};
}

/* A regular file is one whose calls are made at once only where its file system is known. */
void test_agent_files(void)
{
	static const struct {
		i64 type;
		int local;
	} list[] = {
		{ 0xef53, 1 }, { 0x794c7630, 1 }, { 0x01021994, 1 }, { 0x9123683e, 1 },
		{ 0x9fa0, 0 }, { 0x74726163, 0 }, { 0x65735546, 0 }, { 0x6969, 0 }, { 0x62656572, 0 }, { -EINTR, 0 },
	};
	char buf[4];
	u32 i, k;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		struct agent *a = prepare(0);

		set_read();
		file_system = list[i].type;
		for (k = 0; k < 2; k++)
			CHECK(deal(a, SYS_read, THE_FD, (u64)buf, 4, NULL) == list[i].local, "%lx", list[i].type);
		CHECK(made == 2 * list[i].local && asked == 1, "%lx: made %d, asked %d", list[i].type, made, asked);
		/* That it does not block a file of an unknown kind does not heed. */
		file_flags = O_NONBLOCK;
		CHECK(deal(a, SYS_read, THE_FD, (u64)buf, 4, NULL) == list[i].local, "%lx", list[i].type);
		/* Who may sleep is interrupted by a signal, here by one that has come already. */
		a = prepare(0);
		set_read();
		a->alone = 1;
		block(0)->signalled = 1;
		CHECK(deal(a, SYS_read, THE_FD, (u64)buf, 4, NULL) == list[i].local && made == list[i].local, "%lx", list[i].type);
		block(0)->signalled = 0;
		CHECK(deal(a, SYS_read, THE_FD, (u64)buf, 4, NULL), "%lx", list[i].type);
	}
	/* The kernel that is asked about a pipe is not asked for its file system. */
	prepare(0);
	set_read();
	file_mode = S_IFIFO;
	deal(agent_of(block(0)), SYS_read, THE_FD, (u64)buf, 4, NULL);
	CHECK(!asked, "%d", asked);
}

/* A read of which the form that does not sleep may give less is made as it is, or is the monitor's
 * where others wait: of devices, and of sockets that wait for so much. */
void test_agent_reads_all(void)
{
	static const struct {
		u32 mode;
		u64 rdev;
		int32_t least;
		i64 nr; /* of the call that is made while others wait, -1 for none */
		int asked;
	} list[] = {
		{ S_IFCHR, 0x103, 0, SYS_read, 0 },	    { S_IFCHR, 0x105, 0, SYS_read, 0 },	   { S_IFCHR, 0x107, 0, SYS_read, 0 },
		{ S_IFCHR, 0x109, 0, SYS_read, 0 },	    { S_IFCHR, 0x108, 0, -1, 0 },	   { S_IFCHR, 0x205, 0, -1, 0 },
		{ S_IFCHR, 0x100000105, 0, -1, 0 },	    { S_IFIFO, 0, 0, SYS_preadv2, 0 },	   { S_IFSOCK, 0, 1, SYS_preadv2, 1 },
		{ S_IFSOCK, 0, 100, -1, 1 },		    { 0, 0, 0, SYS_preadv2, 1 },
	};
	char buf[4];
	u32 i, k;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		for (k = 0; k < 2; k++) {
			struct agent *a = prepare(0);
			int done;
			u32 times = 0;

			set_read();
			file_mode = list[i].mode;
			file_rdev = list[i].rdev;
			least = list[i].least;
			/* One that the task has made itself is not asked what it is. */
			if (k && list[i].mode == S_IFSOCK)
				a->classes[THE_FD] = 8;
			/* That it was written to first says nothing of its reads. */
			if (k && list[i].mode == S_IFSOCK && list[i].least > 1)
				a->classes[THE_FD] |= 0x20;
			while (times++ < 2) {
				made = 0;
				last_nr = 0;
				done = deal(a, SYS_read, THE_FD, (u64)buf, 4, NULL);
				CHECK(done == (list[i].nr >= 0) && made == done, "%u: dealt with %d, made %d", i, done, made);
				CHECK(!done || (i64)last_nr == list[i].nr, "%u: made call %lu", i, last_nr);
			}
			CHECK(least_asked == list[i].asked, "%u: asked %d times", i, least_asked);
		}
}

/* A device that is written to at once says nothing of what is read for it. */
void test_agent_ready_and_slow(void)
{
	static const struct hot_arg fd = { .kind = MV_HOT_FD };
	u32 k;

	for (k = 0; k < 2; k++) {
		struct agent *a = prepare(0);

		table[SYS_sendfile] = (struct hot_call){ .flags = MV_HOT_CALL | MV_HOT_BLOCKS | MV_HOT_PROMPT, .arg = { fd, fd } };
		a->classes[THE_FD] = 10;
		a->classes[THE_FD + 1] = k ? 1 : 2;
		CHECK(deal(a, SYS_sendfile, THE_FD, THE_FD + 1, 0, NULL) == (int)k && made == (int)k, "%u: made %d", k, made);
	}
}

/* What has all that it is asked for gives less only because a signal has come while it did, and is asked
 * for all again then, once. */
static int cut; /* how many of the next calls a signal cuts short */

static i64 cutting_kernel(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	i64 ret = kernel(nr, a, b, c, d, e, f);

	if (nr != SYS_read && nr != SYS_getrandom)
		return ret;
	if (!cut)
		return nr == SYS_read ? (i64)c : (i64)b;
	cut--;
	block(0)->signalled = 1;
	return 1;
}

void test_agent_whole(void)
{
	static const struct {
		u64 rdev;
		int cut, before, made;
		i64 ret;
	} list[] = { { 0x105, 0, 0, 1, 4 }, { 0x105, 1, 0, 2, 4 }, { 0x105, 1, 1, 1, 1 }, { 0, 1, 0, 1, 1 }, { 0, 0, 0, 1, 4 } };
	char buf[4];
	u32 i, k;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		for (k = 0; k < 2; k++) {
			struct agent *a = prepare(0);
			i64 ret = 0;
			int done;

			set_read();
			table[SYS_getrandom] = (struct hot_call){
				.flags = MV_HOT_CALL,
				.arg = { { .kind = MV_HOT_BUFFER, .dir = MV_HOT_OUT, .length = MV_SIZE_COUNT, .count = 1, .unit = 1, .how = MV_WROTE_RESULT },
					 { .kind = MV_HOT_LONG }, { .kind = MV_HOT_LONG } },
			};
			hook = cutting_kernel;
			cut = list[i].cut;
			block(0)->signalled = (u32)list[i].before;
			file_system = 0xef53;
			if (list[i].rdev) {
				file_mode = S_IFCHR;
				file_rdev = list[i].rdev;
			}
			done = k && list[i].rdev ? deal(a, SYS_getrandom, (u64)buf, 4, 0, &ret) : deal(a, SYS_read, THE_FD, (u64)buf, 4, &ret);
			CHECK(done && ret == list[i].ret && made == list[i].made, "%u: %ld, made %d", i, ret, made);
			block(0)->signalled = 0;
		}
}

/* What a signal could not interrupt is not made where one may come, or others wait. */
void test_agent_lingers(void)
{
	static const struct hot_arg fd = { .kind = MV_HOT_FD };
	struct agent *a;
	int pair[2];
	i64 ret;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "%m");
	a = prepare(0);
	a->alone = 1;
	table[SYS_close] = (struct hot_call){
		.flags = MV_HOT_CALL | MV_HOT_BLOCKS | MV_HOT_LINGERS | MV_HOT_ALONE | MV_HOT_CLOSES, .arg = { fd }
	};
	table[SYS_fsync] = (struct hot_call){ .flags = MV_HOT_CALL | MV_HOT_BLOCKS, .arg = { fd } };
	table[SYS_getdents64] = (struct hot_call){ .flags = MV_HOT_CALL | MV_HOT_BLOCKS | MV_HOT_LINGERS, .arg = { fd } };
	set_read();
	/* A signal has come: the call is the monitor's. */
	block(0)->signalled = 1;
	CHECK(!deal(a, SYS_close, (u64)pair[0], 0, 0, NULL), "made");
	CHECK(!deal(a, SYS_fsync, (u64)pair[0], 0, 0, NULL), "made");
	CHECK(!made && fcntl(pair[0], F_GETFD) >= 0, "closed");
	/* Nobody may sleep while others wait for their turn. */
	block(0)->signalled = 0;
	a->alone = 0;
	CHECK(!deal(a, SYS_close, (u64)pair[0], 0, 0, NULL), "made");
	CHECK(!deal(a, SYS_fsync, (u64)pair[0], 0, 0, NULL), "made");
	CHECK(!made && fcntl(pair[0], F_GETFD) >= 0, "closed");
	a->alone = 1;
	CHECK(deal(a, SYS_fsync, (u64)pair[0], 0, 0, &ret) && ret == -EINVAL, "%ld", ret);
	CHECK(deal(a, SYS_close, (u64)pair[0], 0, 0, &ret) && !ret, "%ld", ret);
	CHECK(!made && fcntl(pair[0], F_GETFD) < 0, "still there");
	/* What is known of a descriptor saves the signals' masks. */
	block(0)->signalled = 1;
	file_system = 0xef53;
	CHECK(deal(a, SYS_read, THE_FD, (u64)pair, 4, NULL) && made == 1, "%d", made);
	CHECK(deal(a, SYS_getdents64, THE_FD, 0, 0, NULL) && made == 2, "%d", made);
	CHECK(deal(a, SYS_close, THE_FD, 0, 0, NULL) && made == 3, "%d", made);
	CHECK(!deal(a, SYS_close, THE_FD, 0, 0, NULL) && made == 3, "%d", made);
	file_system = 0x65735546;
	CHECK(!deal(a, SYS_getdents64, THE_FD, 0, 0, NULL) && made == 3, "%d", made);
}

/* Of what is closed nothing is known any more, and all that is known of others stays. Which file
 * system a device has is known until the monitor's next call. */
void test_agent_closes(void)
{
	static const struct hot_arg fd = { .kind = MV_HOT_FD };
	struct agent *a = prepare(0);
	char buf[4];

	set_read();
	table[SYS_close] = (struct hot_call){
		.flags = MV_HOT_CALL | MV_HOT_BLOCKS | MV_HOT_LINGERS | MV_HOT_CLOSES, .arg = { fd }
	};
	file_system = 0xef53;
	CHECK(deal(a, SYS_read, THE_FD, (u64)buf, 4, NULL) && asked == 1, "%d", asked);
	CHECK(deal(a, SYS_read, THE_FD + 1, (u64)buf, 4, NULL) && asked == 2, "%d", asked);
	CHECK(deal(a, SYS_close, THE_FD + 1, 0, 0, NULL), "the monitor's");
	CHECK(deal(a, SYS_read, THE_FD, (u64)buf, 4, NULL) && asked == 2, "%d", asked);
	CHECK(!deal(a, SYS_close, THE_FD + 1, 0, 0, NULL), "what it is now nobody knows");
	CHECK(deal(a, SYS_close, THE_FD, 0, 0, NULL) && deal(a, SYS_read, THE_FD, (u64)buf, 4, NULL) && asked == 3, "%d", asked);
	/* Numbers without a driver go to others at once. */
	file_device = 5;
	CHECK(deal(a, SYS_read, THE_FD + 7, (u64)buf, 4, NULL) && asked == 4, "%d", asked);
	CHECK(deal(a, SYS_read, THE_FD + 8, (u64)buf, 4, NULL) && asked == 5, "%d", asked);
	asked = 3;
	file_device = 0x805;
	CHECK(deal(a, SYS_read, THE_FD + 2, (u64)buf, 4, NULL) && asked == 4, "%d", asked);
	CHECK(deal(a, SYS_read, THE_FD + 3, (u64)buf, 4, NULL) && asked == 4, "%d", asked);
	file_device = 0x806;
	file_system = 0x65735546;
	CHECK(!deal(a, SYS_read, THE_FD + 4, (u64)buf, 4, NULL) && asked == 5, "%d", asked);
	file_device = 0x805;
	CHECK(deal(a, SYS_read, THE_FD + 5, (u64)buf, 4, NULL) && asked == 5, "%d", asked);
	/* The monitor says that its call has left descriptors alone, for that time. */
	a->grant = a->keeps = 1;
	agent_resumes(block(0));
	CHECK(deal(a, SYS_read, THE_FD + 6, (u64)buf, 4, NULL) && asked == 5, "%d", asked);
	a->grant = 1;
	agent_resumes(block(0));
	CHECK(!deal(a, SYS_read, THE_FD + 6, (u64)buf, 4, NULL) && asked == 6, "%d", asked);
}

/* Where other threads have the table files are closed that sleep on nothing; who has other memory does
 * not take turns. */
void test_agent_closes_shared(void)
{
	static const struct hot_arg fd = { .kind = MV_HOT_FD };
	struct agent *a = prepare(0);
	i64 ret;
	int pair[2];
	char buf[4];

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "%m");
	a->alone = 1;
	set_read();
	table[SYS_close] = (struct hot_call){
		.flags = MV_HOT_CALL | MV_HOT_BLOCKS | MV_HOT_LINGERS | MV_HOT_CLOSES | MV_HOT_OWN | MV_HOT_TURNS, .arg = { fd }
	};
	a->texts = MV_SHARED;
	file_system = 0xef53;
	CHECK(!deal(a, SYS_close, THE_FD, 0, 0, NULL) && !made && !asked, "what is not known is not asked: %d, %d", made, asked);
	CHECK(deal(a, SYS_read, THE_FD, (u64)buf, 4, NULL) && made == 1, "%d", made);
	CHECK(deal(a, SYS_close, THE_FD, 0, 0, NULL) && made == 2, "%d", made);
	CHECK(!deal(a, SYS_close, THE_FD, 0, 0, NULL) && made == 2, "it is not known any more");
	CHECK(!deal(a, SYS_close, (u64)pair[0], 0, 0, NULL) && fcntl(pair[0], F_GETFD) >= 0, "a socket");
	CHECK(!deal(a, SYS_close, 1 << 20, 0, 0, NULL) && made == 2, "the variant host's");
	CHECK(deal(a, SYS_read, THE_FD, (u64)buf, 4, NULL) && made == 3, "%d", made);
	a->texts = MV_SHARED | MV_MIXED;
	CHECK(!deal(a, SYS_close, THE_FD, 0, 0, NULL) && made == 3, "%d", made);
	a->texts = MV_SHARED;
	table[SYS_close].flags &= ~(u32)MV_HOT_TURNS;
	CHECK(!deal(a, SYS_close, THE_FD, 0, 0, NULL) && made == 3, "somebody asks what descriptors are");
	a->texts = 0;
	file_mode = S_IFSOCK;
	CHECK(deal(a, SYS_close, (u64)pair[0], 0, 0, &ret) && !ret && fcntl(pair[0], F_GETFD) < 0, "%ld", ret);
	close(pair[1]);
}

static int waited[4];
static i64 after;

/* A kernel that notes for how long it is asked to wait, and has nothing before it has been asked to
 * wait at all. */
static i64 patient(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	if (nr != SYS_poll)
		return kernel(nr, a, b, c, d, e, f);
	waited[made++ % 4] = (int)c;
	return c ? after : 0;
}

static u64 limits[4][2];

static i64 pointed(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	if (nr != TIMED_CALL)
		return kernel(nr, a, b, c, d, e, f);
	memcpy(limits[made++ % 4], (void *)c, sizeof(limits[0]));
	return 0;
}

/* A limit that is pointed to has nanoseconds or microseconds. */
static void brief_pointed(void)
{
	u64 limit[2] = { 0, 0 };
	u32 micro;

	for (micro = 0; micro < 2; micro++) {
		u64 unit = micro ? 1000 : 1000000, ms;

		for (ms = 9; ms <= 10; ms++) {
			struct agent *a = prepare(0);

			hook = pointed;
			a->texts = MV_QUIET;
			table[TIMED_CALL] = (struct hot_call){
				.flags = MV_HOT_CALL | MV_HOT_BLOCKS | MV_HOT_POINTED | (micro ? MV_HOT_MICRO : 0), .time = 2,
				.arg = { { 0 }, { 0 }, { .kind = MV_HOT_BUFFER, .dir = MV_HOT_IN, .unit = sizeof(limit) } },
			};
			limit[1] = ms * unit;
			CHECK(!deal(a, TIMED_CALL, 0, 0, (u64)limit, NULL), "dealt with");
			CHECK(made == (ms < 10 ? 1 : 2) && !limits[0][1], "%u, %lu ms: made %d", micro, ms, made);
			CHECK(made == 1 || (!limits[1][0] && limits[1][1] == unit), "%u: %lu", micro, limits[1][1]);
		}
	}
}

/* While others that share the turn rest, who waits does so for a moment before the monitor is asked,
 * unless its program wants to wait for hardly longer, or a signal comes. */
void test_agent_brief(void)
{
	static const struct {
		int quiet, limit;
		i64 after;
		int done, made;
	} list[] = {
		{ 1, -1, 2, 1, 2 }, { 1, 10, 2, 1, 2 }, { 1, -1, 0, 0, 2 }, { 1, -1, -EINTR, 0, 2 },
		{ 1, 9, 2, 0, 1 }, { 1, 1, 2, 0, 1 }, { 0, -1, 2, 0, 1 }, { 1, 0, 2, 1, 1 },
	};
	struct pollfd p = { .fd = THE_FD };
	u32 i;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		struct agent *a = prepare(0);
		i64 ret = 0;

		hook = patient;
		after = list[i].after;
		a->texts = list[i].quiet ? MV_QUIET : 0;
		table[SYS_poll] = (struct hot_call){
			.flags = MV_HOT_CALL | MV_HOT_BLOCKS, .time = 2,
			.arg = { { .kind = MV_HOT_BUFFER, .dir = MV_HOT_IN | MV_HOT_OUT, .length = MV_SIZE_UINT, .count = 1,
				   .unit = sizeof(p), .flags = MV_HOT_DESCRIPTORS, .piece = { { 0, 6 } } },
				 { .kind = MV_HOT_HALF }, { .kind = MV_HOT_HALF } },
		};
		CHECK(deal(a, SYS_poll, (u64)&p, 1, (u64)(i64)list[i].limit, &ret) == list[i].done, "%u", i);
		CHECK(made == list[i].made && (!list[i].done || ret == (list[i].limit ? 2 : 0)), "%u: made %d, %ld", i, made, ret);
		CHECK(!waited[0] && (made < 2 || waited[1] == 1), "%u: %d, %d", i, waited[0], waited[1]);
	}
	brief_pointed();
}

/* What native.c does about a fault in a copy. */
static void fault(int sig, siginfo_t *info, void *context)
{
	greg_t *ip = &((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	(void)sig;
	(void)info;
	if ((u64)*ip != (u64)vhost_copy_at)
		_exit(3);
	*ip = (greg_t)vhost_copy_out;
}

void copies_may_fault(void)
{
	struct sigaction act = { .sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_NODEFER };
	u64 mask = blocked_signals() & ~signal_bit(SIGSEGV);

	CHECK(!sigaction(SIGSEGV, &act, NULL), "%m");
	CHECK(!syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8), "%m");
}

void pair_up(u8 *base)
{
	struct agent *lead = agent_of(block(0)), *follow = agent_of(block(1));

	follow->follows = 1;
	lead->ring = follow->ring = (u64)base;
	ring_attach_writer(&lead->r, base);
	ring_attach_reader(&follow->r, base, 0);
}

/* A call may have read what it cannot write: it fails, but for the limit of its time. */
void test_agent_constants(void)
{
	u8 *base = make_ring(1 << 16, 16, 1, 1, 0);
	u64 *constant = mmap(NULL, MV_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct agent *lead, *follow;
	i64 ret[2];
	u32 time, i;

	CHECK(constant != MAP_FAILED, "%m");
	copies_may_fault();
	follow = prepare(1);
	lead = prepare(0);
	pair_up(base);
	for (time = 0; time < 2; time++) {
		table[TIMED_CALL] = (struct hot_call){
			.flags = MV_HOT_CALL | MV_HOT_POINTED,
			.time = (u8)(2 * time),
			.arg = { { 0 }, { 0 }, { .kind = MV_HOT_BUFFER, .dir = MV_HOT_IN | MV_HOT_OUT, .unit = 16 } },
		};
		answer = 3;
		CHECK(deal(lead, TIMED_CALL, 0, 0, (u64)constant, &ret[0]), "differs %u", lead->differs);
		CHECK(deal(follow, TIMED_CALL, 0, 0, (u64)constant, &ret[1]), "differs %u", follow->differs);
		for (i = 0; i < 2; i++)
			CHECK(ret[i] == (time ? 3 : -EFAULT), "variant %u: %ld", i, ret[i]);
	}
}

/* What there is no room for to be copied is the monitor's. */
void test_agent_much(void)
{
	static struct pollfd p[MV_LARGE_SIZE / sizeof(struct pollfd) + 1];
	const u64 most = MV_LARGE_SIZE / sizeof(p[0]);
	struct agent *a = prepare(0);
	u64 n;

	table[SYS_poll] = (struct hot_call){
		.flags = MV_HOT_CALL,
		.arg = { { .kind = MV_HOT_BUFFER, .dir = MV_HOT_IN | MV_HOT_OUT, .length = MV_SIZE_UINT, .count = 1, .unit = sizeof(p[0]),
			   .flags = MV_HOT_DESCRIPTORS, .piece = { { 0, 6 } } },
			 { .kind = MV_HOT_LONG } },
	};
	for (n = most - 1; n <= most + 1; n++) {
		p[n - 1].fd = 999;
		CHECK(deal(a, SYS_poll, (u64)p, n, 0, NULL) == (n <= most), "%lu", n);
		p[n - 1].fd = 1000;
		CHECK(!deal(a, SYS_poll, (u64)p, n, 0, NULL), "%lu", n);
		p[n - 1].fd = -1;
	}
	CHECK(made == 2, "%d", made);
}

static u8 *ring_base;
static u32 lease_then;

/* The follower comes while the monitor may take the lease back. */
static u32 follower_comes(struct ring *r)
{
	struct ring_reader *reader = ring_reader(ring_base, 0);

	agent_of(block(0))->lease = lease_then;
	__atomic_store_n(&reader->pos, r->told, __ATOMIC_SEQ_CST);
	__atomic_store_n(&reader->done, 1, __ATOMIC_SEQ_CST);
	return 0;
}

/* A call for which the leader has waited is the monitor's when the lease has gone meanwhile. */
void test_agent_revoked(void)
{
	u32 lease;

	for (lease = 0; lease < 2; lease++) {
		struct agent *a = prepare(0);

		table[SYS_getppid].flags = MV_HOT_CALL | MV_HOT_WAITS;
		ring_base = make_ring(4096, 100, 1, 0, 0);
		a->ring = (u64)ring_base;
		CHECK(ring_attach_writer(&a->r, ring_base) == 0);
		lease_then = lease;
		patience_hook = follower_comes;
		CHECK(deal(a, SYS_getppid, 0, 0, 0, NULL) == (int)lease, "lease %u", lease);
		patience_hook = NULL;
		CHECK(made == (int)lease && a->interval == lease && !a->r.failed, "lease %u: made %d, interval %u, %u", lease, made, a->interval, a->r.failed);
	}
}

void agent_forget(struct agent *a);

/* Of what the only task has made it is asked once whether it blocks, and of what others may have
 * each time. */
void test_agent_own(void)
{
	static const struct hot_arg fd = { .kind = MV_HOT_FD };
	struct agent *a = prepare(0);
	u32 i, alone;
	i64 ret;

	for (alone = 0; alone < 2; alone++) {
		a = prepare(0);
		a->alone = alone;
		file_mode = S_IFSOCK;
		file_flags = O_NONBLOCK;
		table[SYS_accept4] = (struct hot_call){ .flags = MV_HOT_CALL | MV_HOT_MAKES, .arg = { fd } };
		table[SYS_sendfile] = (struct hot_call){ .flags = MV_HOT_CALL | MV_HOT_BLOCKS | MV_HOT_PROMPT, .arg = { fd } };
		table[SYS_fcntl] = (struct hot_call){ .flags = MV_HOT_CALL | MV_HOT_FORGETS, .arg = { fd } };
		answer = THE_FD;
		CHECK(deal(a, SYS_accept4, 3, 0, 0, &ret) && ret == THE_FD, "%ld", ret);
		for (i = 0; i < 3; i++)
			CHECK(deal(a, SYS_sendfile, THE_FD, 0, 0, &ret), "%ld", ret);
		CHECK(flags_asked == (alone ? 1 : 3), "alone %u: %d", alone, flags_asked);
		/* Somebody else may look on now. */
		a->alone = 0;
		CHECK(deal(a, SYS_sendfile, THE_FD, 0, 0, &ret) && flags_asked == (alone ? 2 : 4), "%d", flags_asked);
		/* It may be another one's, too. */
		a->alone = alone;
		agent_forget(a);
		for (i = 0; i < 2; i++)
			CHECK(deal(a, SYS_sendfile, THE_FD, 0, 0, &ret), "%ld", ret);
		CHECK(flags_asked == (alone ? 4 : 6), "%d", flags_asked);
		/* What blocks is asked, and made by nobody who keeps others from their turn. */
		CHECK(deal(a, SYS_accept4, 3, 0, 0, &ret), "%ld", ret);
		file_flags = 0;
		a->alone = 0;
		made = 0;
		CHECK(!deal(a, SYS_sendfile, THE_FD, 0, 0, &ret) && !made, "%d", made);
	}
}

/* Where files may be memory, what is done to them is the monitor's, and nothing else is. */
void test_agent_mapped(void)
{
	static const u32 kinds[] = { S_IFREG, S_IFDIR, S_IFBLK, S_IFCHR, S_IFIFO, S_IFSOCK, 0 };
	static const struct hot_arg fd = { .kind = MV_HOT_FD }, length = { .kind = MV_HOT_LONG };
	u32 i, k;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		u32 is_file = i < 3;
		struct agent *a = prepare(0);

		file_mode = kinds[i];
		file_system = 0xef53;
		table[SYS_lseek] = (struct hot_call){ .flags = MV_HOT_CALL, .arg = { fd, length, length } };
		table[SYS_dup3] = (struct hot_call){ .flags = MV_HOT_CALL, .arg = { length, length, fd } };
		for (k = 0; k < 2; k++) {
			a->texts = MV_MAPPED;
			CHECK(deal(a, SYS_lseek, THE_FD, 0, 0, NULL) == !is_file, "%o", kinds[i]);
			CHECK(deal(a, SYS_dup3, 0, 0, THE_FD, NULL) == !is_file, "%o", kinds[i]);
			CHECK(made == (is_file ? 0 : 2) * (int)(k + 1) + 2 * (int)k, "%o: %d", kinds[i], made);
			/* What it has found out then does not keep it from anything later. */
			a->texts = 0;
			CHECK(deal(a, SYS_lseek, THE_FD, 0, 0, NULL) && deal(a, SYS_dup3, 0, 0, THE_FD, NULL), "%o", kinds[i]);
		}
	}
}

/* Where a word may be a number although it looks like an address, calls that give words back are
 * the monitor's; those that take some are not. */
void test_agent_raw(void)
{
	static const struct hot_arg words = { .kind = MV_HOT_BUFFER, .dir = MV_HOT_OUT, .length = MV_SIZE_FIXED, .unit = 16, .flags = MV_HOT_WORDS };
	struct agent *a = prepare(0);
	u8 event[16] = { 0 };

	table[SYS_epoll_wait] = (struct hot_call){ .flags = MV_HOT_CALL, .word = 4, .arg = { { .kind = MV_HOT_FD }, words } };
	table[SYS_epoll_ctl] = table[SYS_epoll_wait];
	table[SYS_epoll_ctl].arg[1].dir = MV_HOT_IN;
	CHECK(deal(a, SYS_epoll_wait, THE_FD, (u64)event, 0, NULL) && deal(a, SYS_epoll_ctl, THE_FD, (u64)event, 0, NULL) && made == 2, "%d", made);
	a->texts = MV_RAW;
	CHECK(!deal(a, SYS_epoll_wait, THE_FD, (u64)event, 0, NULL) && made == 2, "%d", made);
	CHECK(deal(a, SYS_epoll_ctl, THE_FD, (u64)event, 0, NULL) && made == 3, "%d", made);
}
