/* Records of rings, and peers that are hostile. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ring_test.h"

/* A child that reads n records as a reader. */
static int start_reader(u8 *base, u32 number, u64 n)
{
	int pid = fork();
	struct ring r;
	u64 seq, size = ring_head(base)->size;

	CHECK(pid >= 0, "%m");
	if (pid)
		return pid;
	CHECK(ring_attach_reader(&r, base, number) == 0);
	for (seq = 0; seq < n; seq++)
		CHECK(read_record(&r, seq, length_of(size, seq)) == 0, "%u", r.failed);
	_exit(0);
}

/* Records of all lengths, by rings of all sizes. What is behind a small ring stays. */
void test_ring_records(void)
{
	static const u64 sizes[] = { 1, 2, 4, 16, 32, 64, 4096, 8192, 1 << 16 };
	u64 i, k, seq;

	limit_time(120);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		u8 *base = make_ring(sizes[i], 1 + i % 4 * 7, 2, 50, 0);
		u64 n = sizes[i] < 32 ? 20 : 200;
		struct ring r;
		int pid[2];

		memset(base + MV_RING_DATA + sizes[i], 0xee, MV_PAGE - 1 - (sizes[i] - 1) % MV_PAGE);
		CHECK(ring_attach_writer(&r, base) == 0);
		for (k = 0; k < 2; k++)
			pid[k] = start_reader(base, (u32)k, n);
		for (seq = 0; seq < n; seq++) {
			CHECK(write_record(&r, seq, length_of(sizes[i], seq)) == 0, "%u", r.failed);
			if (seq % 5 == 0)
				CHECK(ring_await_readers(&r, seq) == 0 && ring_reader(base, 1)->done == seq + 1 && ring_reader(base, 0)->done == seq + 1);
		}
		for (k = 0; k < 2; k++)
			CHECK(wait_status(pid[k]) == 0);
		for (k = 0; k < MV_PAGE - 1 - (sizes[i] - 1) % MV_PAGE; k++)
			CHECK(base[MV_RING_DATA + sizes[i] + k] == 0xee, "size %lu: %lu behind", sizes[i], k);
	}
}

/* A ring of 4 GiB, whose positions go beyond 32 bits, and which takes the memory of what
 * is written only. */
void test_ring_large(void)
{
	u64 size = 4ULL << 30, seq, from;

	for (from = size - 100; from <= 3 * size - 100; from += 2 * size) {
		u8 *base = make_ring(size, 1000, 1, 10, 0);
		struct ring w, r;

		CHECK(ring_attach_writer(&w, base) == 0 && ring_attach_reader(&r, base, 0) == 0);
		/* As if so much had been written and read. */
		w.pos = w.told = w.reserved = w.seen[0].pos = r.pos = r.told = r.limit = from;
		w.limit = from + size;
		ring_writer(base)->pos = ring_writer(base)->reserved = ring_reader(base, 0)->pos = from;
		for (seq = 0; seq < 20; seq++)
			CHECK(write_record(&w, seq, 10 * seq) == 0 && read_record(&r, seq, 10 * seq) == 0, "%u %u", w.failed, r.failed);
		CHECK(w.pos > from + 2000 && r.pos == w.pos);
		munmap(base, MV_RING_DATA + size);
	}
}

/* Every place in the ring is one where a record begins, ends, and is cut. */
void test_ring_boundary(void)
{
	u8 *base = make_ring(64, 1000, 1, 0, 0);
	struct ring w, r;
	u64 seq = 0, n;

	CHECK(ring_attach_writer(&w, base) == 0 && ring_attach_reader(&r, base, 0) == 0);
	for (n = 0; n < 33 * 64; n++, seq++)
		CHECK(write_record(&w, seq, n % 33) == 0 && read_record(&r, seq, n % 33) == 0);
	CHECK(w.pos == r.pos && w.pos > 64 * 64);
}

/* The same bytes without copies of them. */
void test_ring_in_place(void)
{
	u8 *base = make_ring(64, 10, 1, 0, 0), want[20], *at;
	const u8 *from;
	struct ring_record rec;
	struct ring w, r;
	u64 seq, n, i;

	CHECK(ring_attach_writer(&w, base) == 0 && ring_attach_reader(&r, base, 0) == 0);
	CHECK(ring_room(&w, &at) == 0 && ring_piece(&r, &from) == 0);
	for (seq = 0; seq < 100; seq++) {
		CHECK(ring_begin(&w, 1, 20) == 0);
		fill_payload(want, seq, 20);
		for (i = 0; i < 20; i += n) {
			n = ring_room(&w, &at);
			CHECK(n > 0 && n <= 20 - i && at >= base + MV_RING_DATA && at + n <= base + MV_RING_DATA + 64, "%lu", n);
			memcpy(at, want + i, n);
			ring_wrote(&w, n);
		}
		CHECK(ring_room(&w, &at) == 0 && ring_end(&w) == 0 && ring_publish(&w) == 0);
		CHECK(ring_next(&r, &rec) == 0);
		for (i = 0; i < 20; i += n) {
			n = ring_piece(&r, &from);
			CHECK(n > 0 && n <= 20 - i && from >= base + MV_RING_DATA && from + n <= base + MV_RING_DATA + 64, "%lu", n);
			CHECK(!memcmp(from, want + i, n));
			ring_took(&r, n);
		}
		CHECK(ring_piece(&r, &from) == 0 && ring_done(&r) == 0);
	}
}

void test_ring_match(void)
{
	u8 *base = make_ring(128, 10, 1, 0, 0), mine[40];
	struct ring_record rec;
	struct ring w, r;
	u64 seq, same;

	CHECK(ring_attach_writer(&w, base) == 0 && ring_attach_reader(&r, base, 0) == 0);
	for (seq = 0; seq < 400; seq++) {
		u64 differs = seq % 41;

		CHECK(write_record(&w, seq, 40) == 0 && ring_next(&r, &rec) == 0);
		fill_payload(mine, seq, 40);
		if (differs < 40)
			mine[differs] ^= 1 << seq % 8;
		if (differs < 30)
			mine[differs + 1 + seq % 9] ^= 0xff;
		CHECK(ring_match(&r, mine, 40, &same) == 0 && same == differs, "%lu, want %lu", same, differs);
		CHECK(r.left == 0 && ring_done(&r) == 0);
	}
}

void test_ring_drop(void)
{
	u8 *base = make_ring(256, 10, 1, 0, 0);
	struct ring w, r;
	u64 seq;

	CHECK(ring_attach_writer(&w, base) == 0 && ring_attach_reader(&r, base, 0) == 0);
	for (seq = 0; seq < 50; seq++) {
		CHECK(ring_begin(&w, 9, 100) == 0 && ring_put(&w, "dropped", 7) == 0);
		CHECK(ring_drop(&w) == 0 && !w.open);
		CHECK(write_record(&w, seq, seq) == 0 && read_record(&r, seq, seq) == 0);
	}
	/* Not what a reader may have seen. */
	CHECK(ring_begin(&w, 51, 8) == 0 && ring_put(&w, "1234", 4) == 0 && ring_publish(&w) == 0);
	CHECK(ring_drop(&w) == 0 && w.open);
	CHECK(ring_put(&w, "5678", 4) == 0 && ring_end(&w) == 0);
}

/* The writer is ahead by as many records as may be, and no more; when it has waited it
 * can be for a quarter of them. */
void test_ring_ahead(void)
{
	u64 ahead, k;

	for (ahead = 1; ahead < 10; ahead++) {
		u8 *base = make_ring(4096, ahead, 1, 0, 0);
		struct ring w, r;
		u64 seq;
		int pid;

		CHECK(ring_attach_writer(&w, base) == 0 && ring_attach_reader(&r, base, 0) == 0);
		for (seq = 0; seq < ahead; seq++)
			CHECK(write_record(&w, seq, 5) == 0);
		pid = fork();
		CHECK(pid >= 0, "%m");
		if (pid == 0) {
			CHECK(write_record(&w, seq, 5) == 0);
			_exit(0);
		}
		while (!__atomic_load_n(&ring_writer(base)->asleep, __ATOMIC_SEQ_CST))
			usleep(100);
		for (k = 0; k <= ahead / 4; k++) {
			usleep(20000);
			CHECK(waitpid(pid, NULL, WNOHANG) == 0);
			CHECK(read_record(&r, k, 5) == 0);
		}
		CHECK(wait_status(pid) == 0);
	}
}

void test_ring_head(void)
{
	static const struct {
		u64 size, ahead;
		u32 readers, number, want;
	} cases[] = {
		{ 64, 1, 2, 1, 0 }, { 1, 1, 1, 0, 0 }, { 4ULL << 30, ~0ULL, 63, 62, 0 },
		{ 0, 1, 2, 1, RING_HEAD }, { 48, 1, 2, 1, RING_HEAD }, { 8ULL << 30, 1, 2, 1, RING_HEAD }, { ~0ULL, 1, 2, 1, RING_HEAD },
		{ 64, 0, 2, 1, RING_HEAD }, { 64, 1, 64, 1, RING_HEAD }, { 64, 1, ~0U, 1, RING_HEAD }, { 64, 1, 2, 2, RING_HEAD },
		{ 64, 1, 2, 63, RING_HEAD }, { 64, 1, 63, 63, RING_HEAD }, { 64, 1, 2, ~0U, RING_HEAD },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		u8 *base = make_ring(64, 1, 1, 0, 0);
		struct ring_record rec;
		struct ring r;

		ring_head(base)->size = cases[i].size;
		ring_head(base)->ahead = cases[i].ahead;
		ring_head(base)->readers = cases[i].readers;
		CHECK(ring_attach_reader(&r, base, cases[i].number) == cases[i].want, "case %lu", i);
		if (cases[i].want)
			CHECK(ring_next(&r, &rec) == RING_HEAD && ring_done(&r) == RING_HEAD && ring_fail(&r, RING_EVENT) == RING_HEAD);
	}
}

/* A caller that uses a ring in a wrong way has it failed, not memory changed. */
void test_ring_misuse(void)
{
	int i;

	for (i = 0; i < 18; i++) {
		u8 *base = make_ring(4096, 10, 1, 0, 0), *at, buf[100] = { 0 };
		const u8 *from;
		struct ring_record rec;
		struct ring w, r;
		u64 same;
		u32 got = 0;

		CHECK(ring_attach_writer(&w, base) == 0 && ring_attach_reader(&r, base, 0) == 0);
		CHECK(ring_begin(&w, 1, 10) == 0 && ring_put(&w, buf, 10) == 0 && ring_end(&w) == 0 && ring_publish(&w) == 0);
		switch (i) {
		case 0: got = ring_begin(&w, 0, 0); break;
		case 1: got = ring_begin(&w, 1, MV_RING_MAX_RECORD + 1ULL); break;
		case 2: CHECK(ring_begin(&w, 1, 10) == 0); got = ring_begin(&w, 1, 10); break;
		case 3: CHECK(ring_begin(&w, 1, 10) == 0); got = ring_put(&w, buf, 11); break;
		case 4: got = ring_put(&w, buf, 1); break;
		case 5: CHECK(ring_begin(&w, 1, 10) == 0); got = ring_end(&w); break;
		case 6: got = ring_end(&w); break;
		case 7: CHECK(ring_begin(&w, 1, 10) == 0 && ring_room(&w, &at) == 10); ring_wrote(&w, 11); got = w.failed; break;
		case 8: got = ring_drop(&w); break;
		case 9: got = ring_await_readers(&w, 1); break;
		case 10: got = ring_next(&w, &rec); break;
		case 11: got = ring_begin(&r, 1, 10); break;
		case 12: got = ring_take(&r, buf, 1); break;
		case 13: CHECK(ring_next(&r, &rec) == 0); got = ring_next(&r, &rec); break;
		case 14: CHECK(ring_next(&r, &rec) == 0); got = ring_take(&r, buf, 11); break;
		case 15: CHECK(ring_next(&r, &rec) == 0); got = ring_match(&r, buf, 11, &same); break;
		case 16: got = ring_done(&r); break;
		case 17: CHECK(ring_next(&r, &rec) == 0 && ring_piece(&r, &from) == 10); ring_took(&r, 11); got = r.failed; break;
		}
		CHECK(got == RING_MISUSE, "case %d: %u", i, got);
		CHECK((i < 11 ? ring_writer(base)->failed : ring_reader(base, 0)->failed) == RING_MISUSE, "case %d", i);
	}
}

/* Positions that cannot be, from either side. */
void test_ring_positions(void)
{
	static const struct {
		i64 pos, done;	/* changes of what they are */
		u32 failed, want;
	} cases[] = {
		{ 0, 0, 0, 0 }, { -1, 0, 0, RING_POSITION }, { 1, 0, 0, RING_POSITION }, { -1000, 0, 0, RING_POSITION },
		{ 1LL << 62, 0, 0, RING_POSITION }, { 0, 1, 0, RING_POSITION }, { 0, -1, 0, RING_POSITION }, { 0, 1LL << 40, 0, RING_POSITION },
		{ 0, 0, RING_EVENT, RING_PEER },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		u8 *base = make_ring(64, 1, 1, 0, 0);
		struct ring w, r;
		u64 seq;

		CHECK(ring_attach_writer(&w, base) == 0 && ring_attach_reader(&r, base, 0) == 0);
		for (seq = 0; seq < 10; seq++)
			CHECK(write_record(&w, seq, 0) == 0 && read_record(&r, seq, 0) == 0 && ring_await_readers(&w, seq) == 0);
		ring_reader(base, 0)->pos += (u64)cases[i].pos;
		ring_reader(base, 0)->done += (u64)cases[i].done;
		ring_reader(base, 0)->failed = cases[i].failed;
		CHECK(ring_await_readers(&w, 9) == cases[i].want, "case %lu: %u", i, w.failed);
		if (cases[i].want)
			CHECK(ring_writer(base)->failed == (cases[i].want | 2 << 8), "%x", ring_writer(base)->failed);
	}
	for (i = 0; i < 4; i++) {
		static const i64 pos[] = { -1, 65, -320, 1LL << 62 };
		u8 *base = make_ring(64, 1, 1, 0, 0);
		struct ring_record rec;
		struct ring w, r;
		u64 seq;

		CHECK(ring_attach_writer(&w, base) == 0 && ring_attach_reader(&r, base, 0) == 0);
		for (seq = 0; seq < 10; seq++)
			CHECK(write_record(&w, seq, 0) == 0 && read_record(&r, seq, 0) == 0);
		ring_writer(base)->pos += (u64)pos[i];
		CHECK(ring_next(&r, &rec) == RING_POSITION && ring_reader(base, 0)->failed == (RING_POSITION | 1 << 8), "case %lu: %u", i, r.failed);
	}
}

/* Headers that cannot be. */
void test_ring_headers(void)
{
	static const struct {
		struct ring_record rec;
		u32 want;
	} cases[] = {
		{ { 0, 1, 36, 1, 0 }, 0 }, { { 1, 1, 36, 1, 0 }, 0 }, { { 0, 1, 36, ~0U, 0 }, 0 }, { { MV_RING_MAX_RECORD, 1, 36, 1, 0 }, 0 },
		{ { MV_RING_MAX_RECORD + 1ULL, 1, 36, 1, 0 }, RING_RECORD }, { { ~0ULL, 1, 36, 1, 0 }, RING_RECORD },
		{ { 0, 0, 36, 1, 0 }, RING_RECORD }, { { 0, 2, 36, 1, 0 }, RING_RECORD }, { { 0, 1, 35, 1, 0 }, RING_RECORD },
		{ { 0, 1, 36, 0, 0 }, RING_RECORD }, { { 0, 1, 36, 1, 1 }, RING_RECORD },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		u8 *base = make_ring(128, 10, 1, 0, 0);
		struct ring_record rec;
		struct ring w, r;

		CHECK(ring_attach_writer(&w, base) == 0 && ring_attach_reader(&r, base, 0) == 0);
		CHECK(write_record(&w, 0, 4) == 0 && read_record(&r, 0, 4) == 0);
		memcpy(base + MV_RING_DATA + 36, &cases[i].rec, sizeof(rec));
		ring_writer(base)->pos += sizeof(rec);
		CHECK(ring_next(&r, &rec) == cases[i].want, "case %lu: %u", i, r.failed);
		if (cases[i].want)
			CHECK(ring_reader(base, 0)->failed == (RING_RECORD | 1 << 8) && ring_take(&r, &rec, 1) == RING_RECORD);
	}
}

static u32 impatient(struct ring *r)
{
	(void)r;
	return RING_IMPATIENT;
}

/* No time passes in waits. */
static i64 hasty(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	if (nr == SYS_futex && b == 0)
		return -ETIMEDOUT;
	return __real_vhost_call(nr, a, b, c, d, e, f);
}

/* A child that writes random words, plausible ones among them, to a page of its own, and
 * random bytes to the data if it is the leader. */
static int start_scribbling(u8 *base, u8 *page, bool data, u64 *peer_pos)
{
	u64 size = ring_head(base)->size;
	struct ring_record first = { 60, 0, 0, 1, 0 };
	struct random r = { 1 };
	int pid = fork();

	CHECK(pid >= 0, "%m");
	if (pid)
		return pid;
	for (;;) {
		u64 *word = (u64 *)page + next_random(&r, 12), value = next_random(&r, 1 << 30);

		switch (next_random(&r, 8)) {
		case 0:
			value = value << 33 | value;
			break;
		case 1:
			value %= 200;
			break;
		default:
			value = __atomic_load_n(peer_pos, __ATOMIC_SEQ_CST) + value % (2 * size);
		}
		if (word == (u64 *)page + 9)
			value = 0;
		__atomic_store_n(word, value, __ATOMIC_SEQ_CST);
		if (data)
			base[MV_RING_DATA + next_random(&r, (u32)size)] = (u8)next_random(&r, 3);
		if (data && next_random(&r, 4) == 0)
			memcpy(base + MV_RING_DATA, &first, sizeof(first));
	}
}

/* The leader writes into its parts what it likes, while they are read. */
void test_ring_scribbling_writer(void)
{
	u8 *base = make_ring(256, 10, 1, 3, 0);
	int pid = start_scribbling(base, (u8 *)ring_writer(base), true, &ring_reader(base, 0)->pos);
	u32 i, k, reasons[RING_IMPATIENT + 1] = { 0 }, read = 0;

	patience_hook = impatient;
	hook = hasty;
	for (i = 0; i < 30000; i++) {
		u8 *to = malloc(100);
		struct ring_record rec;
		struct ring r;
		u64 same;

		memset(ring_reader(base, 0), 0, sizeof(struct ring_reader));
		CHECK(ring_attach_reader(&r, base, 0) == 0);
		for (k = 0; ring_next(&r, &rec) == 0 && k < 10; k++) {
			CHECK(rec.length <= MV_RING_MAX_RECORD && rec.seq == k);
			(void)ring_take(&r, to, rec.length < 100 ? rec.length : 100);
			if (r.left > 50)
				(void)ring_match(&r, to, 50, &same);
			(void)ring_done(&r);
			read++;
		}
		reasons[r.failed]++;
		free(to);
	}
	kill(pid, SIGKILL);
	printf("%u records read, position %u, record %u, impatient %u\n", read, reasons[RING_POSITION], reasons[RING_RECORD], reasons[RING_IMPATIENT]);
	CHECK(read > 10 && reasons[RING_POSITION] > 10 && reasons[RING_RECORD] > 10 && reasons[RING_MISUSE] == 0);
}

/* A follower writes into its page what it likes, while the leader writes records. */
void test_ring_scribbling_reader(void)
{
	u8 *base = make_ring(256, 3, 2, 3, 0);
	int pid = start_scribbling(base, (u8 *)ring_reader(base, 0), false, &ring_writer(base)->pos);
	u32 i, k, reasons[RING_IMPATIENT + 1] = { 0 };

	patience_hook = impatient;
	hook = hasty;
	/* The follower has to get a processor meanwhile. */
	for (i = 0; i < 30000 || (reasons[RING_POSITION] <= 10 && i < 3000000); i++) {
		struct ring w;

		memset(ring_writer(base), 0, sizeof(struct ring_writer));
		memset(ring_reader(base, 0), 0, 16);
		ring_reader(base, 1)->pos = ring_reader(base, 1)->done = 0;
		CHECK(ring_attach_writer(&w, base) == 0);
		for (k = 0; write_record(&w, k, k % 300) == 0 && k < 20; k++) {
			ring_reader(base, 1)->pos = w.pos;
			ring_reader(base, 1)->done = w.seq;
		}
		reasons[w.failed]++;
	}
	kill(pid, SIGKILL);
	printf("position %u, impatient %u, no failure %u\n", reasons[RING_POSITION], reasons[RING_IMPATIENT], reasons[0]);
	CHECK(reasons[RING_POSITION] > 10 && reasons[RING_MISUSE] == 0);
}

/* An event whose parts are not what was said is not written. */
void test_event_misuse(void)
{
	int i;

	for (i = 0; i < 12; i++) {
		u8 *base = make_ring(4096, 10, 1, 0, 0), buf[100] = { 0 };
		struct ring w;
		struct event e;
		u32 got = 0;

		CHECK(ring_attach_writer(&w, base) == 0);
		if (i > 3)
			CHECK(event_begin(&e, &w, 1, 7, 2, event_size(8) + event_size(5)) == 0);
		switch (i) {
		case 0: got = event_begin(&e, &w, 0, 0, 0, 0); break;
		case 1: got = event_begin(&e, &w, MV_EVENT_KINDS, 0, 0, 0); break;
		case 2: got = event_begin(&e, &w, 1, 0, 2, 2 * MV_EVENT_FIELD - 1); break;
		case 3: got = event_begin(&e, &w, 1, 0, 0, 1ULL << 32); break;
		case 4: got = event_end(&e); break;
		case 5: got = event_bytes(&e, 0, 0, 0, 0, MV_EVENT_FLAGS, 1); break;
		case 6: got = event_bytes(&e, 0, 0, 0, 0, MV_EVENT_NUMBER, 7); break;
		case 7: got = event_bytes(&e, 0, 0, 0, 0, 0, 14); break;
		case 8: got = event_bytes(&e, 0, 0, 0, 0, 0, ~0ULL); break;
		case 9: CHECK(event_bytes(&e, 0, 0, 0, 0, 0, 5) == 0); got = event_put(&e, buf, 6); break;
		case 10: CHECK(event_bytes(&e, 0, 0, 0, 0, 0, 5) == 0); got = event_number(&e, 0, 0, 0, 0, 0, 1); break;
		case 11:
			CHECK(event_number(&e, 0, 0, 0, 0, 0, 1) == 0 && event_bytes(&e, 0, 0, 0, 0, 0, 5) == 0 && event_put(&e, buf, 5) == 0);
			got = event_bytes(&e, 0, 0, 0, 0, 0, 0);
			break;
		}
		CHECK(got == RING_MISUSE, "case %d: %u", i, got);
		CHECK(w.failed == RING_MISUSE && event_end(&e) == RING_MISUSE && ring_publish(&w) == RING_MISUSE);
	}
}
