/* Making the leader's calls so that none sleeps while others of the program's could run.
 *
 * Whether a call sleeps depends on the file. What a descriptor stands for is asked once: calls by
 * which that changes are the monitor's, which says so, or forget it. That a file is a
 * regular one says nothing: those of procfs and tracefs may have nothing to read for ever, and
 * who serves those of FUSE or of a network may not answer. So file systems are known by name.
 * Only whether it blocks another process may change at any time that has the same open file; so
 * a call that is made because its descriptor did not block is made in a form that does not
 * sleep in any case, and where that would have slept the question is asked again. Nobody else
 * has the open file of a descriptor that the only task has made, until the monitor makes a call
 * by which others may get it. */
#include "agent_parts.h"

/* What a descriptor stands for. */
enum {
	CLASS_FILE = 1, /* a file or directory whose calls wait for nothing but its disk */
	CLASS_SLOW,	/* one of which that is not known */
	CLASS_OTHER,	/* anything else */
	CLASS_PIPE,	/* a pipe, which takes up to PIPE_BUF bytes as a whole or not at all */
	CLASS_OPEN,	/* something else, and it did not block */
	CLASS_PLAIN,	/* something else, of which calls have no form that does not sleep */
	CLASS_MADE_UP,	/* a text of the monitor's */
	CLASS_NEW,	/* something else that this task has made, and not what others have */
	CLASS_OWN,	/* such a thing, and it did not block */
	CLASS_READY,	/* a device that has all that it is asked for, and takes all, at once */
};

/* Beside its class: whether a descriptor that no call sleeps on is known to be a stream's, and that its
 * reads are content with less than they ask for. */
enum {
	CLASS = 0x0f,
	KIND = 0x70,
	KIND_USED = 0x10, /* it was used once, which is too little to ask */
	KIND_STREAM = 0x20,
	KIND_ELSE = 0x30,
	CONTENT = 0x80,
};

/* What is longer may be taken in parts (pipe(7)). */
enum { PIPE_BUF = 4096 };

/* A call with what is needed to make it. */
struct made {
	struct block *b;
	struct agent *a;
	const struct hot_call *h;
	i64 nr;
	const u64 *arg;
};

static i64 call6(i64 nr, const u64 *arg)
{
	return vhost_call(nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

static void allow(u64 mask)
{
	vhost_call(SYS_rt_sigprocmask, SIG_SETMASK, (u64)&mask, 0, 8, 0, 0);
}

static u32 known(const struct agent *a, u64 fd) { return (u32)fd < MV_AGENT_KNOWN ? a->classes[(u32)fd] & CLASS : 0; }
static u32 kind_of(const struct agent *a, u64 fd) { return (u32)fd < MV_AGENT_KNOWN ? a->classes[(u32)fd] & KIND : KIND_ELSE; }

static u32 note(struct agent *a, u64 fd, u32 class)
{
	if ((u32)fd < MV_AGENT_KNOWN) {
		a->classes[(u32)fd] = (u8)class;
		a->classified = 1;
	}
	return class;
}

/* Notes something else of what stays the same: its class, its kind, or that it is content. */
static u32 change(struct agent *a, u64 fd, u32 part, u32 to)
{
	if ((u32)fd < MV_AGENT_KNOWN && a->classes[(u32)fd])
		note(a, fd, (a->classes[(u32)fd] & ~part) | to);
	return to;
}

static u32 becomes(struct agent *a, u64 fd, u32 class) { return change(a, fd, CLASS, class); }

void agent_forget(struct agent *a)
{
	u64 *word = (u64 *)a->classes;
	u32 i;

	a->local = 0;
	if (!a->classified)
		return;
	for (i = 0; i < MV_AGENT_KNOWN / 8; i++)
		word[i] = 0;
	a->classified = 0;
}

void agent_forget_one(struct agent *a, u64 fd)
{
	if ((u32)fd < MV_AGENT_KNOWN)
		a->classes[(u32)fd] = 0;
}

void agent_made(struct agent *a, u64 fd) { note(a, fd, a->alone ? CLASS_NEW : 0); }

/* Whether what a descriptor stands for may sleep as far as is known. */
static int is_other(u32 class) { return class == CLASS_OTHER || class == CLASS_NEW; }

/* Whether files of a file system wait for nothing but a disk. */
static int is_local(u64 type)
{
	static const u32 list[] = { MV_LOCAL };
	u32 i;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (list[i] == type)
			return 1;
	return 0;
}

/* Whether a device's number stays what it is as long as it is there. Those without a driver
 * (major 0) get the number of one that has just gone: tmpfs today, FUSE tomorrow. */
int agent_lasts(u64 dev) { return (dev >> 8 & 0xfff) || dev >> 44; }

/* Whether a file's calls wait for nothing but a disk. */
static int is_prompt(struct agent *a, u64 fd, const struct stat *st)
{
	struct statfs fs;

	/* Files of one device are of one file system. */
	if (a->local && a->local == st->dev)
		return 1;
	if (vhost_call(SYS_fstatfs, fd, (u64)&fs, 0, 0, 0, 0) || !is_local((u64)fs.type))
		return 0;
	a->local = agent_lasts(st->dev) ? st->dev : 0;
	return 1;
}

/* Whether a device of characters is null, zero, full or urandom (drivers/char/mem.c). */
static int is_ready(const struct stat *st)
{
	const u64 memory = 1 << 8;

	return st->rdev == (memory | 3) || st->rdev == (memory | 5) || st->rdev == (memory | 7) || st->rdev == (memory | 9);
}

/* Finds out what a descriptor stands for. What a device's driver makes of a call that is not to sleep is
 * known of none: zero gives less then than it is asked for. */
static u32 classify(struct agent *a, u64 fd, struct stat *st)
{
	u32 type;

	st->mode = 0;
	if (vhost_call(SYS_fstat, fd, (u64)st, 0, 0, 0, 0))
		return CLASS_OTHER;
	type = st->mode & S_IFMT;
	/* The monitor's texts are in files without a name. Its listings are directories. */
	if (a->texts & MV_TEXTS && (type == S_IFDIR || (type == S_IFREG && !st->nlink)))
		return note(a, fd, CLASS_MADE_UP);
	if (type == S_IFIFO)
		return note(a, fd, CLASS_PIPE);
	if (type == S_IFCHR)
		return note(a, fd, is_ready(st) ? CLASS_READY : CLASS_PLAIN);
	if (type != S_IFREG && type != S_IFDIR && type != S_IFBLK)
		return note(a, fd, CLASS_OTHER);
	return note(a, fd, is_prompt(a, fd, st) ? CLASS_FILE : CLASS_SLOW);
}

static u32 class_of(struct agent *a, u64 fd)
{
	u32 class = known(a, fd);
	struct stat st;

	return class ? class : classify(a, fd, &st);
}

int agent_knows_file(const struct agent *a, u64 fd) { return known(a, fd) == CLASS_FILE; }

int agent_is_regular(struct agent *a, u64 fd)
{
	struct stat st;

	/* What the number stood for before it does not any more. */
	return classify(a, fd, &st) == CLASS_FILE && (st.mode & S_IFMT) == S_IFREG;
}

/* Whether the monitor has to know what is done to a descriptor of this class. */
static int is_apart(const struct agent *a, u32 class)
{
	return class == CLASS_MADE_UP || (a->texts & MV_MAPPED && (class == CLASS_FILE || class == CLASS_SLOW));
}

int agent_apart(struct agent *a, const struct hot_call *h, const u64 *arg)
{
	u32 i;

	/* Who has the same table and other memory may have made it another file. */
	if (a->texts & MV_MAPPED && a->texts & MV_SHARED)
		agent_forget(a);
	for (i = 0; i < 6; i++)
		if ((h->arg[i].kind == MV_HOT_FD || (h->flags & MV_HOT_NAMELESS && !a->found && !i)) && is_apart(a, class_of(a, arg[i])))
			return 1;
	return 0;
}

/* Whether no call on this descriptor sleeps now. One that is none answers at once. */
static int is_open(u64 fd)
{
	i64 flags = vhost_call(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0);

	return flags < 0 || (flags & O_NONBLOCK);
}

/* Whether no descriptor of the call's is one on which it sleeps: with ask, those that are no
 * files are asked. Of files it does not matter whether they block. */
static int prompt(const struct made *m, int ask)
{
	u32 i, class;

	for (i = 0; i < 6; i++) {
		if (m->h->arg[i].kind != MV_HOT_FD)
			continue;
		class = class_of(m->a, m->arg[i]);
		if (class == CLASS_FILE || class == CLASS_READY || (class == CLASS_OWN && m->a->alone))
			continue;
		if (class == CLASS_SLOW || !ask || !is_open(m->arg[i]))
			return 0;
		if (class == CLASS_NEW)
			becomes(m->a, m->arg[i], CLASS_OWN);
	}
	return 1;
}

static int option(const struct made *m, u64 name)
{
	int32_t value = -1, size = sizeof(value);

	return vhost_call(SYS_getsockopt, m->arg[0], SOL_SOCKET, name, (u64)&value, (u64)&size, 0) ? -1 : value;
}

/* Whether the call takes what it can get at once. A call that gives would, with a signal, give a
 * part; its program is to know of the signal then before it goes on, which is the monitor's. */
static int takes(const struct made *m) { return m->h->arg[1].dir & MV_HOT_OUT; }

/* Whether the call is about a stream of bytes between sockets. That is asked once, of what is used
 * more than once. */
static int streams(const struct made *m)
{
	u32 kind = kind_of(m->a, m->arg[0]);
	int domain;

	if (known(m->a, m->arg[0]) == CLASS_PIPE)
		return 0;
	if (kind == KIND_USED) {
		domain = option(m, SO_DOMAIN);
		kind = (domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX) && option(m, SO_TYPE) == SOCK_STREAM ? KIND_STREAM : KIND_ELSE;
		change(m->a, m->arg[0], KIND, kind);
	} else if (!kind) {
		change(m->a, m->arg[0], KIND, KIND_USED);
	}
	return kind == KIND_STREAM;
}

/* Makes a call that reads or writes a buffer of a stream's as the sockets' own, which is what the
 * kernel makes of it, with less on the way (sock_read_iter and sock_write_iter in net/socket.c). Who
 * moves nothing, or has no buffer, does not come to a socket. -ENOTSOCK: it is to be made otherwise. */
static i64 stream(const struct made *m)
{
	const u32 how = MV_HOT_GATHERS | MV_HOT_CURRENT;
	i64 ret;

	if ((m->h->instant_how & how) != how || !m->arg[1] || !m->arg[2] || !streams(m))
		return -ENOTSOCK;
	ret = vhost_call(takes(m) ? SYS_recvfrom : SYS_sendto, m->arg[0], m->arg[1], m->arg[2], MSG_DONTWAIT, 0, 0);
	/* A filter of somebody's outside may let nobody make this call. What has failed so has moved
	 * nothing. */
	if (ret != -EPERM && ret != -EACCES && ret != -ENOSYS && ret != -ENOTSOCK)
		return ret;
	change(m->a, m->arg[0], KIND, KIND_ELSE);
	return -ENOTSOCK;
}

/* Makes the form of the call that does not sleep. */
static i64 instant(const struct made *m)
{
	const struct hot_call *h = m->h;
	i64 ret = stream(m);
	u64 arg[6], vector[2] = { m->arg[1], m->arg[2] };
	u32 i;

	if (ret != -ENOTSOCK)
		return ret;
	for (i = 0; i < 6; i++)
		arg[i] = m->arg[i];
	if (h->instant_how & MV_HOT_GATHERS) {
		arg[1] = (u64)vector;
		arg[2] = 1;
	}
	if (h->instant_how & MV_HOT_CURRENT)
		arg[3] = ~0ULL;
	if (h->instant_how)
		arg[h->instant_arg % 6] = 0;
	arg[h->instant_arg % 6] |= h->instant_flag;
	return call6(h->instant_nr, arg);
}

static int is_short(const struct made *m) { return m->h->arg[1].dir & MV_HOT_IN && m->a->in.bytes <= PIPE_BUF; }

/* Whether a read may sleep although there is something (SO_RCVLOWAT in socket(7)). That is asked once:
 * who changes it has the agent forget what it knows. */
static int wants_more(const struct made *m)
{
	u64 fd = m->arg[0];

	if ((u32)fd < MV_AGENT_KNOWN && m->a->classes[(u32)fd] & CONTENT)
		return 0;
	if (option(m, SO_RCVLOWAT) > 1) {
		becomes(m->a, fd, CLASS_PLAIN);
		return 1;
	}
	change(m->a, fd, CONTENT, CONTENT);
	return 0;
}

/* Whether the form that does not sleep is as good as the call, as long as there is something
 * to do: it may do less of it. So what is read must be all that there is, and what is written
 * goes to who does not wait, or who takes it as a whole. */
static int equivalent(const struct made *m)
{
	const struct hot_call *h = m->h;
	u32 class = class_of(m->a, m->arg[0]);

	if (!h->instant_nr || class == CLASS_PLAIN || class == CLASS_SLOW || (m->arg[h->instant_arg % 6] & h->unless && !h->instant_how))
		return 0;
	if (takes(m) && is_other(class) && wants_more(m))
		return 0;
	if (takes(m) ? !(m->a->texts & MV_LAX) : class == CLASS_PIPE && is_short(m))
		return 1;
	if ((is_other(class) || class == CLASS_PIPE) && is_open(m->arg[0]))
		class = becomes(m->a, m->arg[0], class == CLASS_NEW ? CLASS_OWN : CLASS_OPEN);
	return class == CLASS_OPEN || class == CLASS_OWN;
}

/* Whether the call, when a signal interrupts it, writes to what it has read: the monitor, to
 * which it is reported then, could not say any more what the program has asked for. */
static int changes_request(const struct made *m)
{
	u32 i;

	for (i = 0; i < 6; i++)
		if (m->h->arg[i].on_err && m->arg[i] && !m->h->arg[i].piece[0].size)
			return 1;
	return 0;
}

/* Whether the program has come by a jump: then no signal of its is kept from it, and what
 * may sleep costs no more than what does not. */
static int jumped(const struct made *m) { return m->b->jumped == MV_GATE_AGENT; }
static int sleeps_at_once(const struct made *m) { return jumped(m) && m->a->alone && !changes_request(m); }

/* Sleeps as the program would have, with its signals let in. */
static i64 sleep(const struct made *m)
{
	struct call c = { .nr = m->nr };
	struct block *b = m->b;
	i64 ret;

	if (!m->a->alone || changes_request(m))
		return MV_NOT_EXECUTED;
	ring_away(&m->a->r, 1);
	/* See unread. */
	if (!jumped(m))
		allow(b->open | 1ULL << (SIGPIPE - 1));
	ret = vhost_call_unless(&b->signalled, &c, m->arg);
	ring_away(&m->a->r, 0);
	/* In ring 0 copies of the program's memory need no signals. */
	if (!jumped(m))
		allow(in_ring0() ? ~0ULL : (u64)MV_BLOCKED);
	/* A call that sleeps may come back so without a signal's handler (signal(7)). */
	if (ret != -EINTR || !b->signalled)
		return ret;
	/* The monitor knows what comes of it, and must not make the call again. */
	b->signalled = MV_SIGNALLED_IN_CALL;
	return MV_NOT_EXECUTED;
}

/* Whether a socket that blocks takes what is short as a whole or not at all, as those do that have
 * messages, and those of the same host: one buffer of the kernel's is made for it
 * (unix_stream_sendmsg). What is sent by TCP may be cut anywhere. */
static int is_atomic(const struct made *m)
{
	const struct hot_call *h = m->h;

	if (m->a->alone || !h->instant_nr || takes(m) || !is_short(m) || !is_other(known(m->a, m->arg[0])) ||
	    (!h->instant_how && m->arg[h->instant_arg % 6] & MSG_OOB))
		return 0;
	return option(m, SO_TYPE) == SOCK_DGRAM || (option(m, SO_DOMAIN) == AF_UNIX && option(m, SO_SNDBUF) >= 4 * PIPE_BUF);
}

/* Whether what a call returns is how much of its buffers it has written. */
static int fills(const struct hot_call *h)
{
	return (h->arg[0].dir & MV_HOT_OUT && h->arg[0].how == MV_WROTE_RESULT) || (h->arg[1].dir & MV_HOT_OUT && h->arg[1].how == MV_WROTE_RESULT);
}

/* Makes a call that does not sleep. What it writes may be less than there is room for when a signal has
 * come, and that may be the monitor's own, of which the program must not notice anything: then it is made
 * once more, which nothing tells from one that began behind the signal. No other comes meanwhile. */
static i64 whole(const struct made *m)
{
	u32 before = m->b->signalled;
	i64 ret = call6(m->nr, m->arg);

	if (ret <= 0 || (u64)ret >= m->a->out.bytes || m->b->signalled == before || !fills(m->h))
		return ret;
	return call6(m->nr, m->arg);
}

static i64 transfer(const struct made *m)
{
	int blocks = 0;
	i64 ret;

	if (class_of(m->a, m->arg[0]) == CLASS_READY && prompt(m, 0))
		return whole(m);
	if (sleeps_at_once(m) && (takes(m) || is_short(m)))
		return sleep(m);
	if (prompt(m, 0))
		return call6(m->nr, m->arg);
	if (equivalent(m)) {
		ret = instant(m);
		if (ret == -EOPNOTSUPP)
			becomes(m->a, m->arg[0], CLASS_PLAIN);
		else if (ret != -EAGAIN || is_open(m->arg[0]))
			return ret;
		else if (known(m->a, m->arg[0]) == CLASS_OPEN || known(m->a, m->arg[0]) == CLASS_OWN)
			becomes(m->a, m->arg[0], CLASS_OTHER);
	} else {
		/* It has been asked just now. */
		blocks = m->h->instant_nr && !takes(m) && (is_other(known(m->a, m->arg[0])) || known(m->a, m->arg[0]) == CLASS_PIPE);
	}
	if (!blocks && prompt(m, 1))
		return call6(m->nr, m->arg);
	if (blocks && is_atomic(m)) {
		ret = instant(m);
		if (ret != -EAGAIN && ret != -EOPNOTSUPP)
			return ret;
	}
	return takes(m) || is_short(m) ? sleep(m) : MV_NOT_EXECUTED;
}

/* Whether nothing has to be told of what becomes of such a descriptor. */
static int tells_nobody(u32 class) { return class == CLASS_FILE || class == CLASS_PIPE || class == CLASS_READY; }

/* Makes a call that waits for what a file, or a socket's peer, is told by it. What is closed is
 * not asked any more what it is. */
static i64 linger(const struct made *m)
{
	u32 class = m->h->flags & MV_HOT_CLOSES ? known(m->a, m->arg[0]) : class_of(m->a, m->arg[0]);

	return tells_nobody(class) ? call6(m->nr, m->arg) : sleep(m);
}

/* Whether nobody is told of it when what a descriptor stands for is closed. */
static int closes_at_once(const struct made *m, u64 fd)
{
	return tells_nobody(class_of(m->a, fd)) || vhost_call(SYS_fcntl, fd, F_GETFD, 0, 0, 0, 0) < 0;
}

/* Makes a duplicate. The monitor has to know of each descriptor that can change a file. */
static i64 duplicate(const struct made *m)
{
	u32 class = class_of(m->a, m->arg[0]);
	i64 ret;

	if ((class == CLASS_FILE || class == CLASS_SLOW) && vhost_call(SYS_fcntl, m->arg[0], F_GETFL, 0, 0, 0, 0) & O_ACCMODE)
		return MV_NOT_EXECUTED;
	ret = !(m->h->flags & MV_HOT_REPLACES) || closes_at_once(m, m->arg[1]) ? call6(m->nr, m->arg) : sleep(m);
	/* Whoever has the one has the other. */
	if (ret >= 0)
		note(m->a, (u64)ret, class);
	return ret;
}

enum { BRIEF_MS = 1, LONG_MS = 10 };

/* The second word of a limit that is pointed to. */
static u64 fraction(const struct made *m, u64 ms) { return ms * (m->h->flags & MV_HOT_MICRO ? 1000 : 1000000); }

/* Whether the program would sleep for much longer than what is brief. */
static int has_long(const struct made *m)
{
	u64 at = m->arg[m->h->time % 6], limit[2];

	if (!(m->h->flags & MV_HOT_POINTED))
		return (int32_t)at < 0 || (int32_t)at >= LONG_MS;
	return !at || (!vhost_copy(limit, (void *)at, sizeof(limit)) && (limit[0] || limit[1] >= fraction(m, LONG_MS)));
}

/* Whether the program has given no time to sleep. What cannot be read the kernel refuses. */
static int no_time(const struct made *m)
{
	u64 at = m->arg[m->h->time % 6], limit[2];

	if (!(m->h->flags & MV_HOT_POINTED))
		return !(int32_t)at;
	return at && (vhost_copy(limit, (void *)at, sizeof(limit)) || !(limit[0] | limit[1]));
}

enum { MOST_SETS = 3 * MV_AGENT_KNOWN / 8 };

/* Saves the sets of descriptors of a call, or puts them back; 0 when there is no room. */
static int keep(const struct made *m, u8 *saved, int back)
{
	const struct ranges *g = &m->a->in;
	u32 i, used = 0;

	for (i = 0; i < g->count; i++) {
		const struct range *r = &g->of[i];

		if (m->h->arg[r->arg % 6].length != MV_SIZE_BITS)
			continue;
		if (r->size > MOST_SETS - used)
			return 0;
		if (back ? vhost_copy((void *)r->at, saved + used, r->size) : vhost_copy(saved + used, (void *)r->at, r->size))
			return 0;
		used += (u32)r->size;
	}
	return 1;
}

/* Asks, and waits for so long at most. 0: there is nothing yet. */
static i64 ask(const struct made *m, u64 ms)
{
	u8 saved[MOST_SETS];
	u64 now[6], limit[2] = { 0, fraction(m, ms) };
	i64 ret;
	u32 i;

	if (!keep(m, saved, 0))
		return 0;
	for (i = 0; i < 6; i++)
		now[i] = m->arg[i];
	now[m->h->time % 6] = m->h->flags & MV_HOT_POINTED ? (u64)limit : ms;
	if (ms)
		ring_away(&m->a->r, 1);
	ret = call6(m->nr, now);
	if (ms)
		ring_away(&m->a->r, 0);
	if (!ret)
		keep(m, saved, 1);
	return ret;
}

/* The monitor makes a call again whose result this is, and tells of the signal then. The one
 * that is pending now, or has come already, is taken back: two would be one too many. */
static i64 unread(struct block *b, i64 ret)
{
	const u64 pipe = 1ULL << (SIGPIPE - 1), none[2] = { 0, 0 };

	if (ret != -EPIPE)
		return ret;
	if (b->signalled && *(const int32_t *)b->info == SIGPIPE)
		b->signalled = 0;
	else
		vhost_call(SYS_rt_sigtimedwait, (u64)&pipe, 0, (u64)none, 8, 0, 0);
	return ret;
}

static i64 make(struct block *b, struct agent *a, const struct hot_call *h, i64 nr, const u64 *arg)
{
	const struct made m = { b, a, h, nr, arg };
	i64 ret;

	if (h->flags & MV_HOT_OPENS)
		return agent_open(a, h, arg);
	if (a->found && h->flags & MV_HOT_LOOKS)
		return agent_look(h, nr, arg);
	if (h->flags & MV_HOT_NAMELESS)
		return agent_nameless(h, arg);
	if (h->flags & MV_HOT_DUPLICATES)
		return duplicate(&m);
	if (h->flags & MV_HOT_MASK)
		return agent_mask(b, a, arg);
	if (!(h->flags & MV_HOT_BLOCKS))
		return whole(&m);
	if (h->flags & MV_HOT_PROMPT)
		return transfer(&m);
	if (h->flags & MV_HOT_LINGERS && !sleeps_at_once(&m))
		return linger(&m);
	if (h->time && !sleeps_at_once(&m)) {
		if (no_time(&m))
			return call6(nr, arg);
		ret = ask(&m, 0);
		if (ret)
			return ret;
		/* The others have slept for long, and hardly wake up in this moment. */
		if (!a->alone && a->texts & MV_QUIET && has_long(&m)) {
			ret = ask(&m, BRIEF_MS);
			if (ret)
				return ret == -EINTR ? MV_NOT_EXECUTED : ret;
		}
	}
	return sleep(&m);
}

i64 agent_make(struct block *b, struct agent *a, const struct hot_call *h, i64 nr, const u64 *arg)
{
	return unread(b, make(b, a, h, nr, arg));
}

i64 agent_make_at_once(struct block *b, i64 nr, const u64 *arg) { return unread(b, call6(nr, arg)); }
