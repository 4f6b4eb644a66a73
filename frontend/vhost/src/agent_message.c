/* Calls with a message (struct msghdr): those that have nothing but data are made as calls without
 * one, because in a message the filter cannot see an address or descriptors. */
#include "kernel.h"
#include "agent_parts.h"

int agent_take_message(struct agent *a, struct ranges *g, u32 arg, u64 home)
{
	u64 at = (u64)a + MV_LARGE - MV_AGENT + a->held, total = 0;
	struct message m;
	u32 i;

	if (!agent_fits(home, sizeof(m)) || vhost_copy(&m, (void *)home, sizeof(m)) || m.name || m.control || m.control_size)
		return 0;
	if (!agent_hold_vector(a, m.parts, m.count))
		return 0;
	for (i = 0; i < a->parts; i++) {
		const struct part *p = &a->vector[i];
		u64 from = p->base;

		if (a->parts > 1 && p->len) {
			if (!agent_fits(from, p->len) || p->len > MV_LARGE_SIZE - a->held || total > MV_LARGE_SIZE - a->held - p->len ||
			    vhost_copy((void *)(at + total), (void *)from, p->len))
				return 0;
			from = at + total;
			total += p->len;
		}
		if (!agent_add(g, arg, from, p->base, p->len))
			return 0;
	}
	a->held += (u32)((total + 15) & ~15ULL);
	return 1;
}

int agent_take_answer(struct agent *a, u64 home)
{
	struct message m;

	return agent_fits(home, sizeof(m)) && !vhost_copy(&m, (void *)home, sizeof(m)) && !m.name && !m.name_size && !m.control &&
	       !m.control_size && agent_hold_vector(a, m.parts, m.count);
}

/* The argument of which the flags of a received message are, as far as the table is concerned: none
 * of the call's, so that they are written whatever it returns but an error. */
enum { NO_ARGUMENT = 5 };

int agent_add_answer(const struct agent *a, struct ranges *g, u32 arg, u64 home)
{
	static const u64 none;

	return agent_add_vector(a, g, arg) && g->bytes && agent_add(g, NO_ARGUMENT, (u64)&none, home + offsetof(struct message, flags), sizeof(u32));
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

const struct hot_call *agent_bare(const struct agent *a, const struct hot_call *h, u64 *given)
{
	const struct hot_call *by = (const struct hot_call *)a->table + h->first % MV_HOT_CALLS;

	if (h->arg[1].dir & MV_HOT_OUT) {
		if (given[2] & ~(u64)MSG_NOSIGNAL || !has_data_only(a, given[0]))
			return 0;
		given[1] = (u64)a->vector;
		given[2] = a->parts;
		given[3] = 0;
		return by->flags & MV_HOT_CALL ? by : 0;
	}
	/* What the kernel refuses here only, or would look at later, when the copy is another one. */
	if (given[2] & (MSG_CMSG_COMPAT | MSG_ZEROCOPY))
		return 0;
	given[3] = given[2];
	given[1] = a->in.count ? a->in.of[0].at : 0;
	given[2] = a->in.bytes;
	given[4] = 0;
	given[5] = 0;
	return by->flags & MV_HOT_CALL ? by : 0;
}
