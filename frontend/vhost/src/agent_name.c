/* Calls with names.
 *
 * Opening by name gives power, so it is the monitor's to allow. What it has allowed again and
 * again it writes down, in memory that the program cannot write: a file by that name and with
 * these flags may be opened to be read. The name has no symbolic link, or the kernel refuses it
 * (RESOLVE_NO_SYMLINKS), and the monitor has seen that it led to a file that does not sleep. Who
 * jumps to the instruction that makes the call can name nothing else. */
#include "agent_parts.h"

/* A name that is known, and how the kernel is to open it: struct open_how. */
struct known_name {
	u64 flags, mode, resolve;
	u32 asked; /* the flags that the program gives */
	u32 size;  /* of the name with its end, 0 for none */
	char path[MV_NAME_MOST];
};

_Static_assert(sizeof(struct known_name) == MV_NAME_SIZE, "known_name");
_Static_assert(offsetof(struct known_name, asked) == MV_NAME_ASKED, "known_name.asked");
_Static_assert(offsetof(struct known_name, size) == MV_NAME_LENGTH, "known_name.size");
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

int agent_named(struct agent *a, const struct hot_call *h, const u64 *arg)
{
	const struct range *name = &a->in.of[0];
	u32 flags = (u32)arg[h->instant_arg % 6];

	a->found = 0;
	if (a->in.count != 1 || flags & h->unless)
		return 0;
	/* Without a descriptor a call without a name is about the working directory. */
	if (h->flags & MV_HOT_NAMELESS)
		return name->size == 1 && (flags & h->instant_flag) == h->instant_flag && (u32)arg[0] < a->fds;
	a->found = (u64)find(a, (const char *)name->at, name->size, flags);
	return a->found != 0;
}

i64 agent_open(struct agent *a, const struct hot_call *h, const u64 *arg)
{
	const struct known_name *n = (const struct known_name *)a->found;
	/* It does not wait for who has a lease on the file (fcntl(2)), nor for who writes a pipe. */
	i64 fd = vhost_call(SYS_openat2, (u64)AT_FDCWD, (u64)n->path, (u64)n, MV_NAME_HOW, 0, 0);

	return fd < 0 ? MV_NOT_EXECUTED : look(a, fd, (u32)arg[h->instant_arg % 6]);
}

i64 agent_nameless(const struct hot_call *h, const u64 *arg) { return vhost_call(h->instant_nr, arg[0], arg[2], 0, 0, 0, 0); }
