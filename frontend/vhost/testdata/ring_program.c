/* Ends of rings for tests that are in Go: "tests ring peer ...", "tests ring event" and
 * "tests ring bench ...". */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ring_test.h"

/* Maps the parts of a ring, given as fd:offset:size:at:writable, in their places. */
static u8 *map_ring(u64 span, char **parts)
{
	u8 *base = mmap(NULL, span + 2 * MV_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(base != MAP_FAILED, "%m");
	base += MV_PAGE;
	for (; *parts; parts++) {
		u64 offset, size, at;
		int fd, writable;

		CHECK(sscanf(*parts, "%d:%lu:%lu:%lu:%d", &fd, &offset, &size, &at, &writable) == 5, "%s", *parts);
		CHECK(mmap(base + at, size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED | MAP_FIXED, fd, (off_t)offset) == base + at, "%m");
	}
	return base;
}

enum { FAULT = 100 }; /* and the reason: the exit status of an end whose ring has failed */

static void must(u32 reason)
{
	if (reason)
		_exit(FAULT + (int)reason);
}

/* What the ends do with records up to some number, honest ones and others. */
static void do_read(struct ring *r, u64 seq, u64 n) { must(read_record(r, seq, n)); }

static void do_write(struct ring *r, u64 seq, u64 n)
{
	must(write_record(r, seq, n));
	if (seq % 3 == 0)
		must(ring_await_readers(r, seq));
}

/* Publishes a part of record seq. */
static void write_half(struct ring *r, u64 seq)
{
	u64 n = length_of(r->size, seq);
	u8 *half = calloc(1, n);

	must(ring_begin(r, (u32)(seq + 1), n));
	must(ring_put(r, half, n / 2));
	must(ring_publish(r));
}

static void fill_with_garbage(u8 *base, struct ring *r)
{
	struct random random = { r->pos };
	u64 i;

	if (r->me == MV_RING_READERS) {
		must(ring_await_readers(r, r->seq - 1));
		for (i = 0; i < r->size; i++)
			base[MV_RING_DATA + i] = (u8)next_random(&random, 256);
		__atomic_store_n(&ring_writer(base)->pos, r->pos + r->size, __ATOMIC_SEQ_CST);
	} else {
		__atomic_store_n(&ring_reader(base, r->me)->pos, r->pos + 1000000, __ATOMIC_SEQ_CST);
	}
	for (;;)
		pause();
}

/* peer ROLE NUMBER COUNT SEED SPAN PART...: role "write" or "read", and behind a colon
 * what becomes of it after COUNT records. */
static int peer(char **argv)
{
	u64 count = strtoul(argv[2], NULL, 10), span = strtoul(argv[4], NULL, 10), seq;
	u32 number = (u32)strtoul(argv[1], NULL, 10);
	struct random random = { strtoul(argv[3], NULL, 10) };
	u8 *base = map_ring(span, argv + 5);
	bool writes = !strncmp(argv[0], "write", 5);
	const char *then = strchr(argv[0], ':');
	struct ring r;

	limit_time(250);
	must(writes ? ring_attach_writer(&r, base) : ring_attach_reader(&r, base, number));
	for (seq = 0; seq < count; seq++) {
		if (random.state)
			random_pause(&random);
		(writes ? do_write : do_read)(&r, seq, length_of(r.size, seq));
	}
	if (!then)
		return 0;
	if (!strcmp(then, ":die")) {
		if (writes)
			write_half(&r, seq);
		kill(getpid(), SIGKILL);
	} else if (!strcmp(then, ":stop")) {
		for (;;)
			kill(getpid(), SIGSTOP);
	} else if (!strcmp(then, ":garbage")) {
		fill_with_garbage(base, &r);
	}
	return 2;
}

static void read_all(void *p, size_t n)
{
	if (fread(p, 1, n, stdin) != n)
		_exit(feof(stdin) ? 0 : 3);
}

static u8 *answer;
static u32 answered;

static void reply(const void *p, u32 n)
{
	answer = realloc(answer, answered + n + 1);
	memcpy(answer + answered, p, n);
	answered += n;
}

/* Takes an event out of the ring and describes it, or answers the reason alone. */
static void describe(struct ring *r)
{
	struct ring_record rec;
	struct event_header h;
	struct event_field f;
	struct event e;
	u32 i;

	if (event_next(&e, r, &rec, &h) == 0) {
		reply(&h.kind, 1);
		reply(&h.nr, 4);
		reply(&h.fields, 4);
		for (i = 0; i < h.fields && event_field(&e, &f) == 0; i++) {
			u8 *data = malloc(f.length);

			if (event_take(&e, data, f.length) == 0) {
				reply(&f, sizeof(f));
				reply(data, f.length);
			}
			free(data);
		}
		(void)event_done(&e);
	}
	if (r->failed) {
		u8 reason = (u8)r->failed;

		answered = 0;
		reply(&reason, 1);
	}
}

static void empty_ring(u8 *base, struct ring *w, struct ring *r)
{
	memset(ring_writer(base), 0, sizeof(struct ring_writer));
	memset(ring_reader(base, 0), 0, sizeof(struct ring_reader));
	CHECK(ring_attach_writer(w, base) == 0 && ring_attach_reader(r, base, 0) == 0);
}

/* Lets a reader decode bytes as the record of an event. */
static void decode(u8 *base, const u8 *p, u32 n)
{
	struct ring w, r;

	empty_ring(base, &w, &r);
	CHECK(ring_begin(&w, n > 1 && p[1] ? p[1] : 1, n) == 0 && ring_put(&w, p, n) == 0 && ring_end(&w) == 0 && ring_publish(&w) == 0);
	describe(&r);
}

/* Encodes the event that is described, as describe does, and answers its bytes. */
static void encode(u8 *base, const u8 *p, u32 n)
{
	const u8 *at = p + 9, *end = p + n;
	struct event_field f;
	struct ring_record rec;
	struct ring w, r;
	struct event e;
	u64 size = n - 9;
	int32_t nr;
	u32 fields;
	u8 *got;

	empty_ring(base, &w, &r);
	memcpy(&nr, p + 1, 4);
	memcpy(&fields, p + 5, 4);
	CHECK(event_begin(&e, &w, p[0], nr, fields, size) == 0);
	for (; at < end; at += f.length) {
		u64 value;

		memcpy(&f, at, sizeof(f));
		at += sizeof(f);
		if (f.flags & MV_EVENT_NUMBER) {
			memcpy(&value, at, 8);
			CHECK(event_number(&e, f.arg, f.part, f.index, f.kind, f.flags, value) == 0);
			continue;
		}
		CHECK(event_bytes(&e, f.arg, f.part, f.index, f.kind, f.flags, f.length) == 0);
		CHECK(event_put(&e, at, f.length / 2) == 0 && event_put(&e, at + f.length / 2, f.length - f.length / 2) == 0);
	}
	CHECK(event_end(&e) == 0 && ring_publish(&w) == 0 && ring_next(&r, &rec) == 0);
	got = malloc(rec.length);
	CHECK(ring_take(&r, got, rec.length) == 0 && ring_done(&r) == 0);
	reply(got, (u32)rec.length);
	free(got);
}

static u32 impatient(struct ring *r)
{
	(void)r;
	return RING_IMPATIENT;
}

static i64 hasty(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	return nr == SYS_futex && b == 0 ? -ETIMEDOUT : __real_vhost_call(nr, a, b, c, d, e, f);
}

/* Reads a ring that a hostile writer has filled: 8 bytes of position, then the data. */
static void read_hostile(u8 *base, const u8 *p, u32 n)
{
	struct ring w, r;

	empty_ring(base, &w, &r);
	memset(base + MV_RING_DATA, 0, ring_head(base)->size);
	if (n >= 8) {
		memcpy(&ring_writer(base)->pos, p, 8);
		memcpy(base + MV_RING_DATA, p + 8, n - 8 < ring_head(base)->size ? n - 8 : ring_head(base)->size);
	}
	while (!r.failed)
		describe(&r);
}

/* Serves requests, each a letter, a length of 4 bytes and so many bytes, with answers of
 * a length and so many bytes. */
static void serve_events(void)
{
	u8 *large = make_ring(1 << 16, 10, 1, 0, 0), *small = make_ring(256, 10, 1, 0, 0);

	hook = hasty;
	patience_hook = impatient;
	for (;;) {
		struct { u32 n; char op; } q;
		u8 *p;

		read_all(&q.op, 1);
		read_all(&q.n, 4);
		p = malloc(q.n);
		read_all(p, q.n);
		answered = 0;
		if (q.op == 'd')
			decode(large, p, q.n);
		else if (q.op == 'e')
			encode(large, p, q.n);
		else
			read_hostile(small, p, q.n);
		free(p);
		fwrite(&answered, 4, 1, stdout);
		fwrite(answer, 1, answered, stdout);
		fflush(stdout);
	}
}

static u64 now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

/* A record as the agent writes it for a call with six numbers and some bytes. */
static void write_call(struct ring *w, const u8 *data, u32 n)
{
	struct event e;
	u32 i;

	must(event_begin(&e, w, 1, 1, 7, 6 * event_size(8) + event_size(n)));
	for (i = 0; i < 6; i++)
		must(event_number(&e, (u8)i, 0, 0, 1, 0, i));
	must(event_bytes(&e, 1, 0, 0, 1, 0, n));
	must(event_put(&e, data, n));
	must(event_end(&e));
	must(ring_publish(w));
}

static void read_call(struct ring *r, const u8 *want, u32 n)
{
	struct ring_record rec;
	u64 same;

	must(ring_next(r, &rec));
	must(ring_match(r, want, n, &same));
	CHECK(same == n, "%lu", same);
	must(ring_done(r));
}

/* bench COUNT READERS RENDEZVOUS BYTES SPIN: prints how many ns a record takes, and
 * how many of the writer's processor time. Without readers the writer's process reads as
 * well, so that nobody ever waits. */
static int bench(char **argv)
{
	u64 count = strtoul(argv[0], NULL, 10), i, begun, used;
	u32 readers = (u32)atoi(argv[1]), bytes = (u32)atoi(argv[3]), k, n;
	bool rendezvous = atoi(argv[2]);
	u8 *base = make_ring(1 << 16, 256, readers, (u32)atoi(argv[4]), 0), *one = make_ring(1 << 16, 256, 1, 0, 0);
	u8 *data = calloc(1, bytes + 1), *want;
	struct ring_record rec;
	struct ring w, r;
	int *pid = calloc(readers + 1, sizeof(*pid));

	CHECK(ring_attach_writer(&w, one) == 0 && ring_attach_reader(&r, one, 0) == 0);
	write_call(&w, data, bytes);
	must(ring_next(&r, &rec));
	n = (u32)rec.length;
	want = malloc(n);
	must(ring_take(&r, want, n));
	for (k = 0; k < readers; k++) {
		pid[k] = fork();
		CHECK(pid[k] >= 0, "%m");
		if (pid[k])
			continue;
		must(ring_attach_reader(&r, base, k));
		for (i = 0; i < count; i++)
			read_call(&r, want, n);
		_exit(0);
	}
	if (readers)
		must(ring_attach_writer(&w, base));
	else
		must(ring_done(&r));
	begun = now(CLOCK_MONOTONIC);
	used = now(CLOCK_PROCESS_CPUTIME_ID);
	for (i = 0; i < count; i++) {
		write_call(&w, data, bytes);
		if (!readers)
			read_call(&r, want, n);
		if (rendezvous)
			must(ring_await_readers(&w, w.seq - 1));
	}
	must(ring_await_readers(&w, w.seq - 1));
	printf("%f %f\n", (double)(now(CLOCK_MONOTONIC) - begun) / (double)count,
		(double)(now(CLOCK_PROCESS_CPUTIME_ID) - used) / (double)count);
	for (k = 0; k < readers; k++)
		CHECK(wait_status(pid[k]) == 0);
	return 0;
}

int ring_program(int argc, char **argv)
{
	if (!strcmp(argv[0], "peer") && argc > 6)
		return peer(argv + 1);
	if (!strcmp(argv[0], "event"))
		serve_events();
	if (!strcmp(argv[0], "bench") && argc == 6)
		return bench(argv + 1);
	fprintf(stderr, "no such end of a ring\n");
	return 2;
}
