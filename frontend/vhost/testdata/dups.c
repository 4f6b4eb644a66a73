/* Which duplicates agents make, and what they know of them. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"
#include "ring_test.h"

enum { OLD = 5, NEW = 8, FREE = 9 };

static struct hot_call table[MV_HOT_CALLS];
static u32 modes[16];
static i64 file_flags, answer;
static int made, looked;

static i64 kernel(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	switch (nr) {
	case SYS_fstat:
		looked++;
		memset((void *)b, 0, sizeof(struct stat));
		((struct stat *)b)->st_mode = modes[a % 16];
		((struct stat *)b)->st_nlink = 1;
		return modes[a % 16] ? 0 : -EBADF;
	case SYS_fstatfs:
		memset((void *)b, 0, sizeof(struct statfs));
		((struct statfs *)b)->f_type = 0xef53;
		return 0;
	case SYS_fcntl:
		if (b == F_GETFD)
			return modes[a % 16] ? 0 : -EBADF;
		return file_flags;
	case SYS_rt_sigprocmask:
		return __real_vhost_call(nr, a, b, c, d, e, f);
	}
	made++;
	return answer;
}

static struct agent *prepare(void)
{
	static const struct hot_arg fd = { .kind = MV_HOT_FD };
	struct agent *a = agent_of(block(0));

	memset(a, 0, sizeof(*a));
	memset(table, 0, sizeof(table));
	table[SYS_dup] = (struct hot_call){ .flags = MV_HOT_CALL | MV_HOT_OWN | MV_HOT_DUPLICATES, .arg = { fd } };
	table[SYS_dup2] = (struct hot_call){
		.flags = MV_HOT_CALL | MV_HOT_OWN | MV_HOT_DUPLICATES | MV_HOT_REPLACES | MV_HOT_BLOCKS | MV_HOT_LINGERS, .arg = { fd, fd }
	};
	table[SYS_read] = (struct hot_call){ .flags = MV_HOT_CALL | MV_HOT_BLOCKS | MV_HOT_PROMPT, .arg = { fd } };
	a->table = (u64)table;
	a->fds = 1000;
	block(0)->signalled = 0;
	block(0)->open = blocked_signals();
	memset(modes, 0, sizeof(modes));
	modes[OLD] = modes[NEW] = S_IFIFO;
	file_flags = O_RDWR;
	answer = NEW;
	made = looked = 0;
	hook = kernel;
	return a;
}

static int deal(struct agent *a, i64 nr, u64 arg0, u64 arg1, i64 *ret) { return deal_with(a, nr, (u64[4]){ arg0, arg1 }, ret); }

/* Whoever can change a file is known to the monitor. */
void test_dup_files(void)
{
	static const struct {
		u32 mode;
		int flags, done;
	} list[] = {
		{ S_IFREG, O_RDONLY, 1 }, { S_IFREG, O_RDWR, 0 },  { S_IFREG, O_WRONLY, 0 }, { S_IFDIR, O_RDONLY, 1 }, { S_IFBLK, O_RDWR, 0 },
		{ S_IFIFO, O_WRONLY, 1 }, { S_IFSOCK, O_RDWR, 1 }, { S_IFCHR, O_RDWR, 1 },   { 0, 0, 1 },
	};
	u32 i;
	i64 ret;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		struct agent *a = prepare();

		modes[OLD] = list[i].mode;
		file_flags = list[i].flags;
		CHECK(deal(a, SYS_dup, OLD, 0, &ret) == list[i].done && made == list[i].done, "%u: made %d", i, made);
		CHECK(!list[i].done || ret == NEW, "%u: %ld", i, ret);
		CHECK(deal(a, SYS_dup2, OLD, FREE, &ret) == list[i].done, "%u", i);
	}
}

/* What is replaced is closed, for which nobody waits whom others wait for, or signals. */
void test_dup_replaces(void)
{
	struct agent *a = prepare();

	CHECK(deal(a, SYS_dup2, OLD, NEW, NULL) && made == 1, "a pipe");
	a = prepare();
	modes[NEW] = S_IFSOCK;
	answer = FREE;
	CHECK(!deal(a, SYS_dup2, OLD, NEW, NULL) && !made, "while others wait");
	a->alone = 1;
	block(0)->signalled = 1;
	CHECK(!deal(a, SYS_dup2, OLD, NEW, NULL) && !made, "with a signal");
	CHECK(deal(a, SYS_dup2, OLD, FREE, NULL) && made == 1, "what is free");
	modes[FREE] = S_IFREG;
	CHECK(!deal(a, SYS_dup2, OLD, NEW, NULL) && deal(a, SYS_dup2, OLD, FREE, NULL) && made == 2, "a file");
	/* Nothing of the variant host's is given or closed, and nothing while others have the table. */
	CHECK(!deal(a, SYS_dup2, OLD, 1000, NULL) && !deal(a, SYS_dup2, 1000, FREE, NULL) && !deal(a, SYS_dup, (u64)-1, 0, NULL) && made == 2, "hidden");
	a->texts = MV_SHARED;
	CHECK(!deal(a, SYS_dup, OLD, 0, NULL) && !deal(a, SYS_dup2, OLD, FREE, NULL) && made == 2, "shared");
}

/* A duplicate is what the original is. */
void test_dup_known(void)
{
	struct agent *a = prepare();
	i64 ret;

	modes[OLD] = S_IFREG;
	file_flags = O_RDONLY;
	modes[NEW] = S_IFIFO;
	CHECK(deal(a, SYS_dup2, OLD, NEW, &ret) && looked == 2, "looked %d", looked);
	CHECK(deal(a, SYS_read, NEW, 0, NULL) && deal(a, SYS_read, OLD, 0, NULL) && looked == 2, "looked %d", looked);
	/* What has failed has changed nothing. */
	answer = -EBADF;
	modes[OLD] = 0;
	CHECK(deal(a, SYS_dup2, OLD + 1, NEW, &ret) && ret == -EBADF && looked == 3, "looked %d", looked);
	CHECK(deal(a, SYS_read, NEW, 0, NULL) && looked == 3, "looked %d", looked);
}
