/* From the kernel's exec to the first report. */
#include "kernel.h"
#include "vhost.h"

static void fail(int status)
{
	vhost_call(SYS_exit_group, (u64)status, 0, 0, 0, 0, 0);
	__builtin_unreachable();
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int vhost_parse(const char *s, u64 word[5])
{
	int i, n;

	if (s[0] != 'm' || s[1] != 'v' || s[2] != '=')
		return 0;
	s += 3;
	for (i = 0; i < 5; i++) {
		word[i] = 0;
		for (n = 0; digit(*s) >= 0; s++, n++) {
			if (n == 16)
				return 0;
			word[i] = word[i] << 4 | (u64)digit(*s);
		}
		if (!n || *s != (i < 4 ? ':' : 0))
			return 0;
		s++;
	}
	return 1;
}

static void map_shared(u64 at, u64 size, u64 fd, u64 offset)
{
	i64 got = vhost_call(SYS_mmap, at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, offset);

	if (got != (i64)at)
		fail(MV_EXIT_NO_MEMORY);
}

/* The words are the descriptors of the variant's arena and of the session's bell,
 * the number of the task's block, the control descriptor, and the spin count. */
void vhost_start(u64 *stack)
{
	u64 word[5], all = ~0ULL;
	char **env = (char **)(stack + 1 + stack[0] + 1);
	struct block *b;

	vhost_call(SYS_rt_sigprocmask, SIG_SETMASK, (u64)&all, 0, 8, 0, 0);
	if (!env[0] || !vhost_parse(env[0], word) || word[2] >= MV_MAX_BLOCKS)
		fail(MV_EXIT_ALONE);
	map_shared(MV_BLOCKS, (u64)MV_BLOCK_SIZE * MV_MAX_BLOCKS, word[0], 0);
	map_shared(MV_BELL, MV_PAGE, word[1], 0);
	b = (struct block *)(MV_BLOCKS + word[2] * MV_BLOCK_SIZE);
	b->control = (u32)word[3];
	b->spin = (u32)word[4];
	vhost_switch(b);
}

/* The kernel takes another file for the process's program, in /proc/PID/exe, only
 * when nothing of the present one is mapped: the image moves to memory without a
 * file, under the feet of this very code. */
static void detach(void)
{
	u64 i, size = ((u64)vhost_end - MV_SLOT + MV_PAGE - 1) & ~(u64)(MV_PAGE - 1);
	const u64 *from = (const u64 *)MV_SLOT;
	u64 *to = (u64 *)MV_COPY;
	i64 got = vhost_call(SYS_mmap, MV_COPY, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, ~0ULL, 0);

	if (got != (i64)MV_COPY)
		fail(MV_EXIT_NO_MEMORY);
	for (i = 0; i < size / sizeof(*to); i++)
		to[i] = from[i];
	if (vhost_call(SYS_mprotect, MV_COPY, size, PROT_READ | PROT_EXEC, 0, 0, 0) < 0)
		fail(MV_EXIT_NO_MEMORY);
	got = vhost_call(SYS_mremap, MV_COPY, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, MV_SLOT, 0);
	if (got != (i64)MV_SLOT)
		fail(MV_EXIT_NO_MEMORY);
}

/* On the block's own stack: what the kernel mapped outside of the slot goes. Some
 * kernels do not give it up (CONFIG_MSEAL_SYSTEM_MAPPINGS). */
void vhost_begin(struct block *b)
{
	detach();
	if (vhost_call(SYS_munmap, 0, MV_SLOT, 0, 0, 0, 0) ||
	    vhost_call(SYS_munmap, MV_SLOT_END, MV_TASK_END - MV_SLOT_END, 0, 0, 0, 0))
		fail(MV_EXIT_MAPPED);
	b->pid = (int32_t)vhost_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
	b->tid = (int32_t)vhost_call(SYS_gettid, 0, 0, 0, 0, 0, 0);
	b->event = MV_EVENT_READY;
	b->frame = 0;
	if (b->native) {
		/* Children inherit it. */
		if (!vhost_call(SYS_rt_sigaction, SIGILL, (u64)vhost_action, 0, 8, 0, 0))
			vhost_arm(b);
		fail(MV_EXIT_UNARMED);
	}
	vhost_serve(b, MV_EVENT_READY);
}
