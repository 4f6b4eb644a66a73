/* Which files agents open. "tests names" reads the monitor's table from standard input, and then
 * names, and writes for each the offset of the entry that the kernel is given, or -1. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"
#include "ring_test.h"

enum { OPEN_CALL = 300, STAT_CALL = 301, NEW_FD = 9, ONLY = O_NONBLOCK | O_CLOEXEC, AT = 0x1000 };

struct query {
	u32 flags, unused;
	char path[MV_NAME_SIZE];
};

static struct hot_call hot[MV_HOT_CALLS];
static u8 *names;
static i64 opened, at;
static int closed, cleared;
static u32 file_mode, file_links;
static i64 file_system;

static i64 kernel(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	switch (nr) {
	case SYS_openat2:
		CHECK((int)a == AT_FDCWD && d == 24 && b - c == MV_NAME_PATH, "%lx %lx", b, c);
		at = (i64)(c - (u64)names);
		return opened;
	case SYS_fstat:
		/* The filter takes it for a breach. */
		CHECK((u32)a < 1000, "descriptor %lx", a);
		memset((void *)b, 0, sizeof(struct stat));
		((struct stat *)b)->st_mode = file_mode;
		((struct stat *)b)->st_nlink = file_links;
		return 0;
	case SYS_fstatfs:
		((struct statfs *)b)->f_type = file_system;
		return 0;
	case SYS_fcntl:
		CHECK((i64)a == opened && b == F_SETFL && !c, "%ld %ld", b, c);
		cleared++;
		return 0;
	case SYS_close:
		CHECK((i64)a == opened, "%ld", a);
		closed++;
		return 0;
	case SYS_futex:
		return __real_vhost_call(nr, a, b, c, d, e, f);
	}
	CHECK(0, "call %ld", nr);
}

static void prepare(void)
{
	struct agent *a = agent_of(block(0));
	static const struct hot_arg half = { .kind = MV_HOT_HALF }, name = { .kind = MV_HOT_NAME, .dir = MV_HOT_IN };

	memset(a, 0, sizeof(*a));
	memset(hot, 0, sizeof(hot));
	hot[OPEN_CALL] = (struct hot_call){
		.flags = MV_HOT_CALL | MV_HOT_OPENS, .instant_arg = 2, .unless = ~(u32)ONLY, .arg = { half, name, half }
	};
	hot[STAT_CALL] = (struct hot_call){
		.flags = MV_HOT_CALL | MV_HOT_NAMELESS, .instant_nr = SYS_fstat, .instant_arg = 3, .instant_flag = AT, .unless = ~(u32)AT,
		.arg = { half, name, { .kind = MV_HOT_BUFFER, .dir = MV_HOT_OUT, .length = MV_SIZE_FIXED, .unit = sizeof(struct stat) }, half }
	};
	a->table = (u64)hot;
	a->names = (u64)names;
	a->fds = 1000;
	opened = NEW_FD;
	file_mode = S_IFREG;
	file_links = 1;
	file_system = 0xef53;
	closed = cleared = 0;
	hook = kernel;
}

static int deal(i64 nr, const char *name, u64 arg0, u64 arg2, u64 arg3, i64 *ret)
{
	return deal_with(agent_of(block(0)), nr, (u64[4]){ arg0, (u64)name, arg2, arg3 }, ret);
}

static int get(void *to, size_t n)
{
	size_t have = 0;

	while (have < n) {
		ssize_t k = read(0, (u8 *)to + have, n - have);

		if (k <= 0)
			return 0;
		have += (size_t)k;
	}
	return 1;
}

int names_program(void)
{
	struct query q;
	i64 ret;

	names = malloc((size_t)MV_NAMES * MV_NAME_SIZE);
	prepare();
	CHECK(get(names, (size_t)MV_NAMES * MV_NAME_SIZE), "no table");
	while (get(&q, sizeof(q))) {
		at = -1;
		CHECK(deal(OPEN_CALL, q.path, 0, q.flags, 0, &ret) == (at >= 0), "%s", q.path);
		CHECK(at < 0 || ret == NEW_FD, "%ld", ret);
		CHECK(write(1, &at, sizeof(at)) == sizeof(at), "%m");
	}
	return 0;
}

/* Puts a name into every entry: which one is its own does not matter then. */
static void know(const char *path, u32 flags)
{
	u32 i;

	names = calloc(MV_NAMES, MV_NAME_SIZE);
	for (i = 0; i < MV_NAMES; i++) {
		u8 *e = names + (size_t)i * MV_NAME_SIZE;

		memcpy(e + MV_NAME_PATH, path, strlen(path) + 1);
		*(u32 *)(e + MV_NAME_ASKED) = flags;
		*(u32 *)(e + MV_NAME_LENGTH) = (u32)strlen(path) + 1;
	}
}

/* What is opened is looked at, and is the monitor's where it is something else than was known. */
void test_agent_opens(void)
{
	i64 ret;

	know("/a", O_CLOEXEC);
	prepare();
	CHECK(deal(OPEN_CALL, "/a", 0, O_CLOEXEC, 0, &ret) && ret == NEW_FD && cleared == 1 && !closed, "%ld", ret);
	CHECK(!deal(OPEN_CALL, "/b", 0, O_CLOEXEC, 0, &ret) && !deal(OPEN_CALL, "/", 0, O_CLOEXEC, 0, &ret), "another name");
	CHECK(!deal(OPEN_CALL, "/ab", 0, O_CLOEXEC, 0, &ret) && !deal(OPEN_CALL, "", 0, O_CLOEXEC, 0, &ret), "another name");
	CHECK(!deal(OPEN_CALL, "/a", 0, 0, 0, &ret), "other flags");
	CHECK(cleared == 1, "opened");
	opened = -ENOENT;
	CHECK(!deal(OPEN_CALL, "/a", 0, O_CLOEXEC, 0, &ret) && !closed, "%ld", ret);
	opened = 1000;
	CHECK(!deal(OPEN_CALL, "/a", 0, O_CLOEXEC, 0, &ret) && closed == 1, "a descriptor of the variant host's");
	opened = NEW_FD;
	file_mode = S_IFIFO;
	CHECK(!deal(OPEN_CALL, "/a", 0, O_CLOEXEC, 0, &ret) && closed == 2, "a pipe");
	file_mode = S_IFDIR;
	CHECK(!deal(OPEN_CALL, "/a", 0, O_CLOEXEC, 0, &ret) && closed == 3, "a directory");
	file_mode = S_IFREG;
	file_system = 0x9fa0;
	CHECK(!deal(OPEN_CALL, "/a", 0, O_CLOEXEC, 0, &ret) && closed == 4, "procfs");
	file_system = 0xef53;
	agent_of(block(0))->texts = MV_SHARED | MV_MIXED;
	CHECK(deal(OPEN_CALL, "/a", 0, O_CLOEXEC, 0, &ret), "only calls with MV_HOT_OWN heed it");
	hot[OPEN_CALL].flags |= MV_HOT_OWN;
	CHECK(!deal(OPEN_CALL, "/a", 0, O_CLOEXEC, 0, &ret), "shared");
	agent_of(block(0))->texts = MV_SHARED;
	CHECK(deal(OPEN_CALL, "/a", 0, O_CLOEXEC, 0, &ret) && ret == NEW_FD, "shared by threads that take turns");
	agent_of(block(0))->texts = MV_MAPPED;
	hot[OPEN_CALL].flags &= ~MV_HOT_OWN;
	CHECK(!deal(OPEN_CALL, "/a", 0, O_CLOEXEC, 0, &ret), "files are mapped");
	agent_of(block(0))->texts = 0;
	agent_of(block(0))->names = 0;
	CHECK(!deal(OPEN_CALL, "/a", 0, O_CLOEXEC, 0, &ret), "no names");
	know("/a", O_NONBLOCK | O_APPEND);
	prepare();
	CHECK(!deal(OPEN_CALL, "/a", 0, O_NONBLOCK | O_APPEND, 0, &ret), "flags that are the monitor's");
	know("/a", O_NONBLOCK);
	prepare();
	CHECK(deal(OPEN_CALL, "/a", 0, O_NONBLOCK, 0, &ret) && ret == NEW_FD && !cleared, "%ld", ret);
}

/* That there is no file agents find out where there was none before, also where they may open
 * none. */
void test_agent_absent(void)
{
	static const u32 none[] = { MV_MAPPED, MV_SHARED | MV_MIXED, MV_MAPPED | MV_SHARED };
	i64 ret;
	u32 i;

	know("/a", O_CLOEXEC);
	for (i = 0; i < MV_NAMES; i++)
		*(u32 *)(names + (size_t)i * MV_NAME_SIZE + MV_NAME_ABSENT) = 1;
	prepare();
	hot[OPEN_CALL].flags |= MV_HOT_OWN;
	opened = -ENOENT;
	CHECK(deal(OPEN_CALL, "/a", 0, O_CLOEXEC, 0, &ret) && ret == -ENOENT && !closed, "%ld", ret);
	CHECK(!deal(OPEN_CALL, "/b", 0, O_CLOEXEC, 0, &ret) && !deal(OPEN_CALL, "/a", 0, 0, 0, &ret), "another name, or other flags");
	opened = -ENOTDIR;
	CHECK(deal(OPEN_CALL, "/a", 0, O_CLOEXEC, 0, &ret) && ret == -ENOTDIR && !closed, "%ld", ret);
	opened = -ELOOP;
	CHECK(!deal(OPEN_CALL, "/a", 0, O_CLOEXEC, 0, &ret), "there is a link");
	opened = NEW_FD;
	CHECK(deal(OPEN_CALL, "/a", 0, O_CLOEXEC, 0, &ret) && ret == NEW_FD && !closed, "there is a file now: %ld", ret);
	for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		prepare();
		hot[OPEN_CALL].flags |= MV_HOT_OWN;
		agent_of(block(0))->texts = none[i];
		opened = -ENOENT;
		CHECK(deal(OPEN_CALL, "/a", 0, O_CLOEXEC, 0, &ret) && ret == -ENOENT && !closed, "%x: %ld", none[i], ret);
		opened = NEW_FD;
		CHECK(!deal(OPEN_CALL, "/a", 0, O_CLOEXEC, 0, &ret) && closed == 1, "%x: %d", none[i], closed);
	}
}

/* A call without a name is about a descriptor; one with a name, or without a descriptor of the
 * program's, is the monitor's. */
void test_agent_nameless(void)
{
	struct stat st;
	i64 ret;

	know("/a", 0);
	prepare();
	CHECK(deal(STAT_CALL, "", 3, (u64)&st, AT, &ret) && !ret && S_ISREG(st.st_mode), "%ld", ret);
	CHECK(!deal(STAT_CALL, "", 3, (u64)&st, 0, &ret), "without the flag");
	CHECK(!deal(STAT_CALL, "", 3, (u64)&st, AT | 1, &ret), "with another flag");
	CHECK(!deal(STAT_CALL, "/a", 3, (u64)&st, AT, &ret), "with a name");
	CHECK(!deal(STAT_CALL, NULL, 3, (u64)&st, AT, &ret), "with none at all");
	CHECK(!deal(STAT_CALL, "", (u64)AT_FDCWD, (u64)&st, AT, &ret), "the working directory");
	CHECK(!deal(STAT_CALL, "", 1000, (u64)&st, AT, &ret), "a descriptor of the variant host's");
	agent_of(block(0))->texts = MV_TEXTS;
	CHECK(deal(STAT_CALL, "", 3, (u64)&st, AT, &ret), "%ld", ret);
	CHECK(!deal(STAT_CALL, "", (u64)AT_FDCWD, (u64)&st, AT, &ret) && !deal(STAT_CALL, "", 1000, (u64)&st, AT, &ret), "asked");
	file_links = 0;
	CHECK(!deal(STAT_CALL, "", 4, (u64)&st, AT, &ret), "a text of the monitor's");
}

/* A name ends where it ends, and not behind what can be read. */
void test_agent_name_ends(void)
{
	char *p = mmap(NULL, 2 * MV_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), much[MV_NAME_MOST + 1];
	i64 ret;

	CHECK(p != MAP_FAILED && !munmap(p + MV_PAGE, MV_PAGE), "%m");
	memset(much, 'm', sizeof(much));
	much[0] = '/';
	much[MV_NAME_MOST] = 0;
	know("/a", 0);
	prepare();
	memcpy(p + MV_PAGE - 3, "/a", 3);
	CHECK(deal(OPEN_CALL, p + MV_PAGE - 3, 0, 0, 0, &ret) && ret == NEW_FD, "%ld", ret);
	CHECK(!deal(OPEN_CALL, much, 0, 0, 0, &ret), "longer than any");
	much[MV_NAME_MOST - 1] = 0;
	CHECK(!deal(OPEN_CALL, much, 0, 0, 0, &ret), "not known");
	know(much, 0);
	prepare();
	CHECK(deal(OPEN_CALL, much, 0, 0, 0, &ret) && ret == NEW_FD, "%ld", ret);
}
