/* Calls with a message (struct msghdr), or several: those that have nothing but data are made as
 * calls without one, because in a message the filter cannot see an address or descriptors. */
#include "kernel.h"
#include "agent_parts.h"

_Static_assert(sizeof(struct message) == 56 && offsetof(struct message, flags) == 48, "msghdr");
_Static_assert(sizeof(struct counted_message) == 64 && offsetof(struct counted_message, length) == 56, "mmsghdr");

/* The argument with a message, as agent_has_message has it. */
enum { MESSAGE = 1 };

/* Whether a copy of a message has nothing but data. The length of a name that is none is compared, too:
 * that is the monitor's. */
static int is_plain(const struct message *m) { return !m->name && !m->name_size && !m->control && !m->control_size; }

/* Takes the buffers of a message, with copies of them one behind the other: those of several buffers
 * are one then, and what is sent is what has been compared. */
static int take_buffers(struct agent *a, const struct message *m, int copied)
{
	u64 at = (u64)a + MV_LARGE - MV_AGENT + a->held, total = 0;
	u32 i = a->parts;

	if (!agent_hold_vector(a, m->parts, m->count))
		return 0;
	for (; i < a->parts; i++) {
		const struct part *p = &a->vector[i];
		u64 from = p->base;

		if (copied && p->len) {
			if (!agent_fits(from, p->len) || p->len > MV_LARGE_SIZE - a->held || total > MV_LARGE_SIZE - a->held - p->len ||
			    vhost_copy((void *)(at + total), (void *)from, p->len))
				return 0;
			from = at + total;
			total += p->len;
		}
		if (!agent_add(&a->in, MESSAGE, from, p->base, p->len))
			return 0;
	}
	a->lengths[a->messages] = (u32)total;
	a->held += agent_room(total);
	return 1;
}

/* Takes one of several messages that are to be sent. In front of its part of the vector is one that
 * says how many there are, so that these are compared, too. The program's memory has to take its
 * length: were it not there, nobody would know any more what has been sent. Of its flags the kernel looks
 * at one (___sys_sendmsg in net/socket.c), which matters of the message that is sent only. */
static int take_one(struct agent *a, u64 home)
{
	struct counted_message c;
	u64 length = home + offsetof(struct counted_message, length);

	if (!agent_fits(home, sizeof(c)) || vhost_copy(&c, (void *)home, sizeof(c)) || !is_plain(&c.m) ||
	    (!a->follows && c.m.flags & MSG_EOR) || vhost_copy((void *)length, &c.length, sizeof(c.length)) || a->parts == MV_HOT_RANGES)
		return 0;
	a->vector[a->parts].base = 0;
	a->vector[a->parts++].len = c.m.count;
	return take_buffers(a, &c.m, 1);
}

/* Takes an array of messages that are to be sent. */
static int take_several(struct agent *a, u64 home, u32 count)
{
	if (!count || count > MV_HOT_RANGES)
		return 0;
	for (; a->messages < count; a->messages++)
		if (!take_one(a, home + a->messages * sizeof(struct counted_message)))
			return 0;
	return 1;
}

/* Takes the one message, or the vector of one that is to be received: its length is behind it in an
 * array. */
static int take_single(struct agent *a, u64 home, int sent)
{
	struct message m;

	if (!agent_fits(home, sizeof(m)) || vhost_copy(&m, (void *)home, sizeof(m)) || !is_plain(&m))
		return 0;
	return sent ? take_buffers(a, &m, m.count > 1) : agent_hold_vector(a, m.parts, m.count);
}

int agent_take_message(struct agent *a, const struct hot_call *h, const u64 *arg)
{
	u64 home = arg[MESSAGE];
	u32 count = (u32)arg[h->arg[MESSAGE].count % 6];
	int sent = h->arg[MESSAGE].dir & MV_HOT_IN;

	if (!home)
		return 0;
	if (!agent_has_messages(h))
		return take_single(a, home, sent);
	if (sent)
		return take_several(a, home, count);
	a->messages = count;
	return count == 1 && take_single(a, home, 0);
}

/* The argument of which the flags of a received message are, as far as the table is concerned: none
 * of the call's, so that they are written whatever it returns but an error. */
enum { NO_ARGUMENT = 5 };

int agent_add_answer(const struct agent *a, struct ranges *g, const struct hot_call *h, u64 home)
{
	static const u64 none;
	int received = h->arg[MESSAGE].dir & MV_HOT_OUT;
	u64 length = home + offsetof(struct counted_message, length);
	u32 i;

	if (received && (!agent_add_vector(a, g, MESSAGE) || !g->bytes ||
			 !agent_add(g, NO_ARGUMENT, (u64)&none, home + offsetof(struct message, flags), sizeof(u32))))
		return 0;
	for (i = 0; i < a->messages; i++, length += sizeof(struct counted_message))
		if (!agent_add(g, received ? NO_ARGUMENT : MESSAGE, (u64)&a->lengths[i], length, sizeof(u32)))
			return 0;
	return 1;
}

u64 agent_answered(const struct hot_call *h, const struct result *x)
{
	if (h->arg[MESSAGE].dir & MV_HOT_IN)
		return (u64)x->ret * sizeof(u32);
	return agent_has_messages(h) ? x->length : (u64)x->ret;
}

/* Whether a socket has nothing but data: those of TCP, of which a program has not asked for more
 * (MV_TELLS). Of what others have got it depends on more than the call. */
static int has_data_only(const struct agent *a, u64 fd)
{
	int32_t domain = 0, protocol = 0, size = sizeof(domain);

	if (a->texts & MV_TELLS || vhost_call(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, (u64)&domain, (u64)&size, 0) ||
	    vhost_call(SYS_getsockopt, fd, SOL_SOCKET, SO_PROTOCOL, (u64)&protocol, (u64)&size, 0))
		return 0;
	return (domain == AF_INET || domain == AF_INET6) && protocol == IPPROTO_TCP;
}

/* Whether a socket has an error to tell, which recvmmsg(2) does before it looks at data, and readv(2)
 * when there are none. */
static int has_error(u64 fd)
{
	struct pollfd p = { .fd = (int)fd };

	return vhost_call(SYS_poll, (u64)&p, 1, 0, 0, 0, 0) != 0 && p.revents & POLLERR;
}

/* Whether a call on a descriptor with these flags does not sleep. */
static int is_prompt(u64 fd, u64 flags)
{
	i64 file = flags & MSG_DONTWAIT ? 0 : vhost_call(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0);

	return flags & MSG_DONTWAIT || (file >= 0 && file & O_NONBLOCK);
}

/* Makes given the arguments of a call that receives; 0 if there is none that does the same. */
static int receives(const struct agent *a, u64 flags, u64 *given)
{
	/* Who gets one message waits for one. */
	u64 any = MSG_NOSIGNAL | (a->messages ? MSG_WAITFORONE : 0);

	if (flags & ~any || !has_data_only(a, given[0]) || (a->messages && has_error(given[0])))
		return 0;
	given[1] = (u64)a->vector;
	given[2] = a->parts;
	given[3] = 0;
	return 1;
}

/* The same of one that sends, of several messages the first one. Who waits between them could not be
 * made the monitor's any more. */
static int sends(const struct agent *a, u64 flags, u64 *given)
{
	/* What the kernel refuses here only, or would look at later, when the copy is another one. */
	if (flags & (MSG_CMSG_COMPAT | MSG_ZEROCOPY) || (a->messages > 1 && !is_prompt(given[0], flags)))
		return 0;
	given[3] = flags;
	given[1] = a->in.count ? a->in.of[0].at : 0;
	given[2] = a->in.bytes;
	given[4] = 0;
	given[5] = 0;
	return 1;
}

const struct hot_call *agent_bare(const struct agent *a, const struct hot_call *h, u64 *given)
{
	const struct hot_call *by = (const struct hot_call *)a->table + h->first % MV_HOT_CALLS;
	/* The half above the flags is nobody's. */
	u64 flags = (u32)given[agent_has_messages(h) ? 3 : 2];

	if (!(h->arg[MESSAGE].dir & MV_HOT_OUT ? receives(a, flags, given) : sends(a, flags, given)))
		return 0;
	return by->flags & MV_HOT_CALL ? by : 0;
}

/* Sends several messages, as sendmmsg(2) does: up to the first that is not sent, or not as a whole,
 * and with its error if it is the first of all. None of them sleeps, so there is none in the middle of
 * which the monitor would have to go on. A signal of who has closed the other end comes with the next
 * call. */
static i64 send_several(struct block *b, struct agent *a, i64 nr, const u64 *given)
{
	u64 arg[6] = { given[0], (u64)a + MV_LARGE - MV_AGENT, 0, given[3] | MSG_DONTWAIT };
	u32 i, size;
	i64 ret;

	for (i = 0; i < a->messages && i < MV_HOT_RANGES; i++, arg[1] += agent_room(size)) {
		arg[2] = size = a->lengths[i];
		ret = agent_make_at_once(b, nr, arg);
		if (ret < 0)
			return i ? (i64)i : ret;
		a->lengths[i] = (u32)ret;
		if (ret < (i64)size)
			return i + 1;
	}
	return i;
}

i64 agent_make_message(struct block *b, struct agent *a, const struct hot_call *h, const struct hot_call *by, const u64 *given)
{
	i64 ret;

	if (a->messages > 1)
		return send_several(b, a, h->first, given);
	ret = agent_make(b, a, by, h->first, given);
	if (!a->messages || ret < 0)
		return ret;
	a->lengths[0] = (u32)ret;
	return 1;
}
