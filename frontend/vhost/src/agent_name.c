/* Calls with names.
 *
 * To look at what has a name gives no power, and is made at once where nobody else would have to
 * wait for a file system that is slow, or where the monitor has seen that no such is on the way.
 * What the monitor makes up is all in procfs: what leads there is the monitor's.
 *
 * Opening by name gives power, so it is the monitor's to allow. What it has allowed again and
 * again it writes down, in memory that the program cannot write: a file by that name and with
 * these flags may be opened to be read. The name has no symbolic link, or the kernel refuses it
 * (RESOLVE_NO_SYMLINKS), and the monitor has seen that it led to a file that does not sleep, or
 * to none where such files are. Who jumps to the instruction that makes the call can name nothing
 * else. */
#include "agent_parts.h"

/* A name that is known, and how the kernel is to open it: struct open_how. */
struct known_name {
	u64 flags, mode, resolve;
	u32 asked; /* the flags that the program gives */
	u32 size;  /* of the name with its end, 0 for none */
	u32 absent, unused; /* there was no such file */
	char path[MV_NAME_MOST];
};

_Static_assert(sizeof(struct known_name) == MV_NAME_SIZE, "known_name");
_Static_assert(offsetof(struct known_name, asked) == MV_NAME_ASKED, "known_name.asked");
_Static_assert(offsetof(struct known_name, size) == MV_NAME_LENGTH, "known_name.size");
_Static_assert(offsetof(struct known_name, absent) == MV_NAME_ABSENT, "known_name.absent");
_Static_assert(offsetof(struct known_name, path) == MV_NAME_PATH, "known_name.path");

/* FNV-1a. */
static u32 hash(const char *p, u64 size, u32 asked)
{
	u32 h = 0x811c9dc5 ^ asked;
	u64 i;

	for (i = 0; i < size; i++)
		h = (h ^ (u8)p[i]) * 0x01000193;
	return h;
}

static int same(const struct known_name *n, const char *p, u64 size, u32 asked)
{
	u64 i;

	if (__atomic_load_n(&n->size, __ATOMIC_ACQUIRE) != size || n->asked != asked)
		return 0;
	for (i = 0; i < size; i++)
		if (n->path[i] != p[i])
			return 0;
	return 1;
}

static const struct known_name *find(const struct agent *a, const char *p, u64 size, u32 asked)
{
	const struct known_name *table = (const struct known_name *)a->names;
	u32 i, h = hash(p, size, asked);

	if (!table || size > MV_NAME_MOST)
		return 0;
	for (i = 0; i < MV_NAME_PROBES; i++)
		if (same(table + (h + i) % MV_NAMES, p, size, asked))
			return table + (h + i) % MV_NAMES;
	return 0;
}

/* Whether the agent may open no file, but find that there is none. */
static int opens_none(const struct agent *a, const struct hot_call *h)
{
	return a->texts & MV_MAPPED || (a->texts & MV_MIXED && h->flags & MV_HOT_OWN);
}

/* What has been opened, if it is what the monitor has seen there: it may be another file now. */
static i64 look(struct agent *a, i64 fd, u32 flags)
{
	if ((u64)fd < a->fds && agent_is_regular(a, (u64)fd) &&
	    (flags & O_NONBLOCK || !vhost_call(SYS_fcntl, (u64)fd, F_SETFL, 0, 0, 0, 0)))
		return fd;
	agent_forget_one(a, (u64)fd);
	vhost_call(SYS_close, (u64)fd, 0, 0, 0, 0, 0);
	return MV_NOT_EXECUTED;
}

/* Whether a call that looks has a directory in front of the name. */
static int is_at(const struct hot_call *h) { return h->arg[0].kind != MV_HOT_NAME; }

static int in_procfs(i64 nr, u64 at)
{
	struct statfs fs;

	return vhost_call(nr, at, (u64)&fs, 0, 0, 0, 0) || fs.type == PROC_SUPER_MAGIC;
}

/* Whether a name says by itself that it leads into /proc, or may by /dev. */
static int says_proc(const char *p, u64 size)
{
	u64 i;

	for (i = 0; i + 4 < size; i++)
		if (p[i] == 'p' && p[i + 1] == 'r' && p[i + 2] == 'o' && p[i + 3] == 'c')
			return 1;
	return size > 4 && p[0] == '/' && p[1] == 'd' && p[2] == 'e' && p[3] == 'v';
}

/* Whether a relative name does not begin in procfs. Another process may have the same working
 * directory, and change it. */
static int begins_outside(const struct agent *a, const struct hot_call *h, const u64 *arg, const char *name)
{
	static const char here[] = ".";

	if (name[0] == '.' && name[1] == '.')
		return 0;
	if (is_at(h) && (u32)arg[0] != (u32)AT_FDCWD)
		return (u32)arg[0] < a->fds && !in_procfs(SYS_fstatfs, arg[0]);
	return !in_procfs(SYS_statfs, (u64)here);
}

/* Whether the agent may look at what has the name. The filter takes a descriptor of the variant
 * host's for a breach, whatever the name is; negative numbers are none. */
static int may_look(const struct agent *a, const struct hot_call *h, const u64 *arg, const struct range *name)
{
	const char *p = (const char *)name->at;

	if (name->size < 2 || says_proc(p, name->size) || (is_at(h) && (int32_t)arg[0] >= 0 && (u32)arg[0] >= a->fds))
		return 0;
	/* Others may be whom a file system waits for. */
	if (!a->alone)
		return find(a, p, name->size, MV_NAME_LOOKED) != 0;
	return p[0] == '/' || begins_outside(a, h, arg, p);
}

int agent_named(struct agent *a, const struct hot_call *h, const u64 *arg)
{
	const struct range *name = &a->in.of[0];
	u32 flags = (u32)arg[h->instant_arg % 6];

	a->found = 0;
	if (a->in.count != 1)
		return 0;
	/* Without a descriptor a call without a name is about the working directory. */
	if (h->flags & MV_HOT_NAMELESS && name->size == 1)
		return !(flags & h->unless) && (flags & h->instant_flag) == h->instant_flag && (u32)arg[0] < a->fds;
	if (h->flags & MV_HOT_LOOKS) {
		a->found = 1;
		return may_look(a, h, arg, name);
	}
	if (flags & h->unless)
		return 0;
	a->found = (u64)find(a, (const char *)name->at, name->size, flags);
	return a->found && (!opens_none(a, h) || ((const struct known_name *)a->found)->absent);
}

i64 agent_open(struct agent *a, const struct hot_call *h, const u64 *arg)
{
	const struct known_name *n = (const struct known_name *)a->found;
	/* It does not wait for who has a lease on the file (fcntl(2)), nor for who writes a pipe. */
	i64 fd = vhost_call(SYS_openat2, (u64)AT_FDCWD, (u64)n->path, (u64)n, MV_NAME_HOW, 0, 0);

	/* With a link on the way it would have been another error. A file may be where a directory
	 * would have to be. */
	if (fd < 0)
		return (fd == -ENOENT || fd == -ENOTDIR) && n->absent ? fd : MV_NOT_EXECUTED;
	if (!opens_none(a, h))
		return look(a, fd, (u32)arg[h->instant_arg % 6]);
	vhost_call(SYS_close, (u64)fd, 0, 0, 0, 0, 0);
	return MV_NOT_EXECUTED;
}

/* Whether what struct stat or statx is about may be a file of procfs: those have no device, and
 * links that have none cannot be told. */
static int may_be_proc(const struct hot_call *h, i64 nr, const u64 *arg)
{
	struct stat st;
	u64 at = is_at(h);

	if (nr == SYS_statx) {
		struct statx x;

		if (vhost_copy(&x, (void *)arg[4], sizeof(x)))
			return 1;
		if (x.dev_major)
			return 0;
		st.mode = x.mode;
	} else {
		if (vhost_copy(&st, (void *)arg[1 + at], sizeof(st)))
			return 1;
		if (agent_lasts(st.dev))
			return 0;
	}
	/* There is no call that says it of a name behind a descriptor. */
	if ((st.mode & S_IFMT) == S_IFLNK || (at && (u32)arg[0] != (u32)AT_FDCWD && *(const char *)arg[1] != '/'))
		return 1;
	return in_procfs(SYS_statfs, arg[at]);
}

i64 agent_look(const struct hot_call *h, i64 nr, const u64 *arg)
{
	i64 ret = vhost_call(nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
	int tells = nr == SYS_stat || nr == SYS_lstat || nr == SYS_newfstatat || nr == SYS_statx;

	return !ret && tells && may_be_proc(h, nr, arg) ? MV_NOT_EXECUTED : ret;
}

i64 agent_nameless(const struct hot_call *h, const u64 *arg) { return vhost_call(h->instant_nr, arg[0], arg[2], 0, 0, 0, 0); }
