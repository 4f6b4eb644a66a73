/* At which names agents look, and what they make of what they see. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"
#include "ring_test.h"

enum { DIR_FD = 5, PROC_DIR = 6, PROC = 0x9fa0, LOCAL = 0xef53, DISK = 0x800 };

static struct hot_call hot[MV_HOT_CALLS];
static u64 device;
static u32 mode;
static i64 result, here, there;
static int looked, asked_here, asked_there;

static i64 tell(u64 to, i64 type)
{
	memset((void *)to, 0, sizeof(struct statfs));
	((struct statfs *)to)->f_type = type;
	return type < 0 ? -EACCES : 0;
}

static i64 kernel(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	struct stat *st = (struct stat *)(nr == SYS_newfstatat ? c : b);
	struct statx *x = (struct statx *)e;

	switch (nr) {
	case SYS_statfs:
		if (!strcmp((const char *)a, ".")) {
			asked_here++;
			return tell(b, here);
		}
		asked_there++;
		return tell(b, there);
	case SYS_fstatfs:
		CHECK(a == DIR_FD || a == PROC_DIR, "%ld", a);
		return tell(b, a == PROC_DIR ? PROC : LOCAL);
	case SYS_statx:
		x->stx_mode = (unsigned short)mode;
		x->stx_dev_major = (u32)device >> 8;
		looked++;
		return result;
	case SYS_stat:
	case SYS_lstat:
	case SYS_newfstatat:
		st->st_mode = mode;
		st->st_dev = device;
		/* fallthrough */
	case SYS_access:
	case SYS_readlinkat:
		looked++;
		return result;
	}
	return __real_vhost_call(nr, a, b, c, d, e, f);
}

static void prepare(void)
{
	static const struct hot_arg half = { .kind = MV_HOT_HALF }, name = { .kind = MV_HOT_NAME, .dir = MV_HOT_IN },
				    out = { .kind = MV_HOT_BUFFER, .dir = MV_HOT_OUT, .length = MV_SIZE_FIXED, .unit = 8 };
	static const u32 flags = MV_HOT_CALL | MV_HOT_LOOKS;
	struct agent *a = agent_of(block(0));

	memset(a, 0, sizeof(*a));
	memset(hot, 0, sizeof(hot));
	hot[SYS_stat] = hot[SYS_lstat] = (struct hot_call){ .flags = flags, .arg = { name, out } };
	hot[SYS_access] = (struct hot_call){ .flags = flags, .arg = { name, half } };
	hot[SYS_newfstatat] = (struct hot_call){
		.flags = flags | MV_HOT_NAMELESS, .instant_nr = SYS_fstat, .instant_arg = 3, .arg = { half, name, out, half }
	};
	hot[SYS_readlinkat] = (struct hot_call){ .flags = flags, .arg = { half, name, out, half } };
	hot[SYS_statx] = (struct hot_call){ .flags = flags, .arg = { half, name, half, half, out } };
	a->table = (u64)hot;
	a->fds = 1000;
	a->alone = 1;
	device = DISK;
	mode = S_IFREG;
	result = 0;
	here = there = LOCAL;
	looked = asked_here = asked_there = 0;
	hook = kernel;
}

i64 agent_look(const struct hot_call *h, i64 nr, const u64 *arg);

static struct stat st;

static int looks(i64 nr, const char *name, i64 *ret) { return deal_with(agent_of(block(0)), nr, (u64[4]){ (u64)name, (u64)&st }, ret); }

static int looks_at(i64 nr, int dir, const char *name, i64 *ret)
{
	return deal_with(agent_of(block(0)), nr, (u64[4]){ (u64)dir, (u64)name, (u64)&st, 0 }, ret);
}

/* Names that say where they lead, or begin where all leads into procfs. */
void test_agent_looks(void)
{
	i64 ret;

	prepare();
	CHECK(looks(SYS_stat, "/a", &ret) && !ret && looked == 1 && !asked_here && !asked_there, "%d", looked);
	CHECK(looks(SYS_access, "/a", &ret) && looks_at(SYS_newfstatat, AT_FDCWD, "/a", &ret) && looks_at(SYS_readlinkat, DIR_FD, "a", &ret), "%d", looked);
	CHECK(looked == 4, "%d", looked);
	CHECK(!looks(SYS_access, "/proc", &ret) && !looks(SYS_access, "/x/../proc/self", &ret) && !looks(SYS_access, "proc", &ret), "%d", looked);
	CHECK(!looks(SYS_access, "/dev/fd/3", &ret) && !looks(SYS_access, "/dev", &ret) && !looks(SYS_access, "", &ret), "%d", looked);
	CHECK(!looks(SYS_access, NULL, &ret) && !looks_at(SYS_readlinkat, PROC_DIR, "exe", &ret) && !looks_at(SYS_readlinkat, 1000, "a", &ret), "%d", looked);
	/* Of the working directory it is asked each time: another process may have the same. */
	CHECK(looks(SYS_access, "a", &ret) && looks(SYS_access, "pro", &ret) && looks_at(SYS_readlinkat, AT_FDCWD, "b", &ret) && asked_here == 3, "%d", asked_here);
	here = PROC;
	CHECK(!looks(SYS_access, "a", &ret) && asked_here == 4, "%d", asked_here);
	here = LOCAL;
	CHECK(!looks(SYS_access, "../a", &ret) && !looks(SYS_access, "..", &ret) && looks(SYS_access, "a/..", &ret), "%d", looked);
	/* What a name that is absolute does not begin at is no descriptor of the variant host's. */
	CHECK(looks_at(SYS_readlinkat, -1, "/a", &ret) && looks_at(SYS_readlinkat, -9, "/a", &ret) && looks_at(SYS_readlinkat, 999, "/a", &ret), "%d", looked);
	CHECK(!looks_at(SYS_readlinkat, 1000, "/a", &ret) && !looks_at(SYS_readlinkat, 0x7fffffff, "/a", &ret) && !looks_at(SYS_readlinkat, -1, "a", &ret), "%d", looked);
	CHECK(looks(SYS_access, "/a", &ret), "%d", looked);
	/* Who would have to wait may be whom a file system waits for. */
	agent_of(block(0))->alone = 0;
	CHECK(!looks(SYS_access, "/a", &ret) && !looks(SYS_stat, "/a", &ret), "%d", looked);
	result = -ENOENT;
	agent_of(block(0))->alone = 1;
	CHECK(looks(SYS_stat, "/a", &ret) && ret == -ENOENT, "%ld", ret);
}

/* While others would have to wait agents look at what the monitor says leads to no slow file system,
 * and not at what it has said something else of. */
void test_agent_known_looks(void)
{
	/* What Names.Add has the kernel open such a name by: it opens nothing. */
	const u64 how[3] = { MV_NAME_LOOKED | O_NONBLOCK, 0, 4 };
	u8 *names = calloc(MV_NAMES, MV_NAME_SIZE);
	u32 i, asked;
	i64 ret;

	ret = __real_vhost_call(SYS_openat2, (u64)AT_FDCWD, (u64)"/", (u64)how, sizeof(how), 0, 0);
	CHECK(ret == -EINVAL, "%ld", ret);
	for (asked = 0; asked < 2; asked++) {
		for (i = 0; i < MV_NAMES; i++) {
			u8 *e = names + (size_t)i * MV_NAME_SIZE;

			strcpy((char *)e + MV_NAME_PATH, "/known");
			*(u32 *)(e + MV_NAME_ASKED) = asked ? MV_NAME_LOOKED : 0;
			*(u32 *)(e + MV_NAME_LENGTH) = sizeof("/known");
		}
		prepare();
		agent_of(block(0))->names = (u64)names;
		agent_of(block(0))->alone = 0;
		CHECK(looks(SYS_stat, "/known", &ret) == (int)asked && looks(SYS_access, "/known", &ret) == (int)asked, "asked %u", asked);
		CHECK(looks_at(SYS_newfstatat, AT_FDCWD, "/known", &ret) == (int)asked && looks_at(SYS_readlinkat, DIR_FD, "/known", &ret) == (int)asked, "asked %u", asked);
		CHECK(!looks(SYS_stat, "/other", &ret) && !looks(SYS_stat, "known", &ret) && !looks(SYS_stat, "/known/", &ret), "not known");
		CHECK(!looks_at(SYS_readlinkat, 1000, "/known", &ret) && looked == (asked ? 4 : 0), "looked %d", looked);
		agent_of(block(0))->names = 0;
		CHECK(!looks(SYS_stat, "/known", &ret), "no names");
	}
	free(names);
}

/* What has no device may be procfs's, by a link that nobody sees. */
void test_agent_sees(void)
{
	static struct statx x;
	i64 ret;

	prepare();
	device = 7;
	CHECK(looks(SYS_stat, "/a", &ret) && asked_there == 1, "%d", asked_there);
	CHECK(looks_at(SYS_newfstatat, AT_FDCWD, "/a", &ret) && looks_at(SYS_newfstatat, DIR_FD, "/a", &ret) && asked_there == 3, "%d", asked_there);
	CHECK(!looks_at(SYS_newfstatat, DIR_FD, "a", &ret) && asked_there == 3, "%d", asked_there);
	there = PROC;
	CHECK(!looks(SYS_stat, "/a", &ret) && asked_there == 4, "%d", asked_there);
	there = -1;
	CHECK(!looks(SYS_stat, "/a", &ret) && asked_there == 5, "%d", asked_there);
	there = LOCAL;
	mode = S_IFLNK;
	CHECK(!looks(SYS_lstat, "/a", &ret) && asked_there == 5, "%d", asked_there);
	device = DISK;
	CHECK(looks(SYS_lstat, "/a", &ret) && asked_there == 5, "%d", asked_there);
	/* The fifth argument of statx is where r8 leads. */
	CHECK(agent_look(&hot[SYS_statx], SYS_statx, (u64[6]){ (u64)AT_FDCWD, (u64)"/a", 0, 0, (u64)&x, 0 }) == 0, "a disk's");
	device = 7;
	CHECK(agent_look(&hot[SYS_statx], SYS_statx, (u64[6]){ (u64)AT_FDCWD, (u64)"/a", 0, 0, (u64)&x, 0 }) == MV_NOT_EXECUTED, "a link of none");
	mode = S_IFREG;
	CHECK(agent_look(&hot[SYS_statx], SYS_statx, (u64[6]){ (u64)AT_FDCWD, (u64)"/a", 0, 0, (u64)&x, 0 }) == 0 && asked_there == 6, "%d", asked_there);
	there = PROC;
	CHECK(agent_look(&hot[SYS_statx], SYS_statx, (u64[6]){ (u64)AT_FDCWD, (u64)"/a", 0, 0, (u64)&x, 0 }) == MV_NOT_EXECUTED, "procfs");
}
