#define _GNU_SOURCE
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ring_test.h"

u32 (*patience_hook)(struct ring *r);

u32 ring_patience(struct ring *r) { return patience_hook ? patience_hook(r) : 0; }

u8 *make_ring(u64 size, u64 ahead, u32 readers, u32 spin, u32 flags)
{
	u64 span = MV_RING_DATA + ((size + MV_PAGE - 1) & ~(u64)(MV_PAGE - 1));
	u8 *base = mmap(NULL, span + 2 * MV_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct ring_head *h;

	CHECK(base != MAP_FAILED, "%m");
	base += MV_PAGE;
	CHECK(mmap(base, span, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == base, "%m");
	h = ring_head(base);
	h->size = size;
	h->ahead = ahead;
	h->readers = readers;
	h->spin = spin;
	h->flags = flags;
	return base;
}

void fill_payload(u8 *p, u64 seq, u64 n)
{
	u64 x = seq * 0x9e3779b97f4a7c15 + 1, i;

	for (i = 0; i < n; i++) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		p[i] = (u8)(x >> 56);
	}
}

u64 length_of(u64 size, u64 seq)
{
	u64 k = size < 1 << 16 ? size : 1 << 16;
	u64 all[] = { 0, 1, 3, k / 2, 20, k, k + 1, 7, 3 * k + 5, 64, 2 };

	return all[seq % (sizeof(all) / sizeof(all[0]))];
}

u32 write_record(struct ring *r, u64 seq, u64 n)
{
	u8 *p = malloc(n);
	u64 half = n / 3;
	u32 reason;

	fill_payload(p, seq, n);
	CHECK(r->failed || r->seq == seq, "%lu", r->seq);
	if (!(reason = ring_begin(r, (u32)(seq + 1), n)) && !(reason = ring_put(r, p, half)) &&
	    !(reason = ring_put(r, p + half, n - half)) && !(reason = ring_end(r)))
		reason = ring_publish(r);
	free(p);
	return reason;
}

u32 read_record(struct ring *r, u64 seq, u64 n)
{
	/* Exactly as much as a record has, so that ASan sees each byte more. */
	u8 *got = malloc(n), *want = malloc(n);
	struct ring_record rec;
	u64 half = n / 3;
	u32 reason = ring_next(r, &rec);

	if (!reason) {
		CHECK(rec.seq == seq && rec.length == n && rec.kind == (u32)(seq + 1), "%lu: %lu bytes, kind %u", rec.seq, rec.length, rec.kind);
		if (!(reason = ring_take(r, got, n - half)) && !(reason = ring_take(r, got + n - half, half))) {
			fill_payload(want, seq, n);
			CHECK(!memcmp(got, want, n), "record %lu", seq);
			reason = ring_done(r);
		}
	}
	free(got);
	free(want);
	return reason;
}

static void change(u32 *word)
{
	__atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);
	(void)syscall(SYS_futex, word, FUTEX_WAKE, 1 << 30, NULL, NULL, 0);
}

void abort_ring(u8 *base)
{
	u32 i;

	__atomic_store_n(&ring_head(base)->abort, 1, __ATOMIC_SEQ_CST);
	change(&ring_writer(base)->wake);
	for (i = 0; i < ring_head(base)->readers; i++)
		change(&ring_reader(base, i)->wake);
}

i64 patient_call(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	return __real_vhost_call(nr, a, b, c, nr == SYS_futex && b == FUTEX_WAIT ? 0 : d, e, f);
}

void random_pause(struct random *r)
{
	static const u32 limits[8] = { 1, 10, 10, 30, 30, 300, 1000, 5000 };
	u32 n = next_random(r, limits[next_random(r, 8)]);

	while (n--)
		__builtin_ia32_pause();
	if (next_random(r, 500) == 0)
		usleep(next_random(r, 300));
}

void limit_time(unsigned seconds)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0, "%m");
	alarm(seconds);
}
