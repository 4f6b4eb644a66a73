/* How the variant host reads its environment and starts. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

void show_words(const char *text);

/* vhost_parse on a copy that has not a byte more than the text. */
static int parse(const char *text, size_t size, u64 word[5])
{
	char *copy = malloc(size);
	int ok;

	memcpy(copy, text, size);
	ok = vhost_parse(copy, word);
	free(copy);
	return ok;
}

void show_words(const char *text)
{
	u64 w[5];

	if (!parse(text, strlen(text) + 1, w)) {
		puts("refused");
		return;
	}
	printf("%lx %lx %lx %lx %lx\n", w[0], w[1], w[2], w[3], w[4]);
}

void test_parse(void)
{
	static const struct {
		const char *text;
		u64 want[5];
	} good[] = {
		{ "mv=0:0:0:0:0", { 0 } },
		{ "mv=1:2:3:4:5", { 1, 2, 3, 4, 5 } },
		{ "mv=a:bc:def:0123:9", { 0xa, 0xbc, 0xdef, 0x123, 9 } },
		{ "mv=ffffffffffffffff:0:0:0:ffffffffffffffff", { ~0ULL, 0, 0, 0, ~0ULL } },
		{ "mv=0000000000000001:0:8000000000000000:0:0", { 1, 0, 1ULL << 63 } },
	};
	static const char *const bad[] = {
		"", "m", "mv", "mv=", "mv=:", "mw=1:2:3:4:5", "v=1:2:3:4:5", " mv=1:2:3:4:5", "MV=1:2:3:4:5",
		"mv=1", "mv=1:", "mv=1:2:3:4", "mv=1:2:3:4:", "mv=:2:3:4:5", "mv=1::3:4:5", "mv=1:2:3:4:5:",
		"mv=1:2:3:4:5:6", "mv=1:2:3:4:5 ", "mv=1:2:3:4:5\n", "mv=1;2:3:4:5", "mv=1:2:3:4:g",
		"mv=A:2:3:4:5", "mv=0x1:2:3:4:5", "mv=-1:2:3:4:5", "mv=+1:2:3:4:5", "mv= 1:2:3:4:5",
		"mv=\xff:2:3:4:5", "mv=1:2:\x80:4:5",
		"mv=00000000000000001:2:3:4:5", "mv=1:2:3:4:fffffffffffffffff",
		"mv=1:2:3:4:11111111111111111111111111111111111111111111111111111111111111111111111",
	};
	u64 w[5];
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		CHECK(parse(good[i].text, strlen(good[i].text) + 1, w), "%s", good[i].text);
		CHECK(!memcmp(w, good[i].want, sizeof(w)), "%s", good[i].text);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(!parse(bad[i], strlen(bad[i]) + 1, w), "%s", bad[i]);
}

/* What vhost_parse shall do, said in another way. */
static int parse_plainly(const char *s, u64 word[5])
{
	char want[128];
	int i;

	if (sscanf(s, "mv=%16lx:%16lx:%16lx:%16lx:%16lx", &word[0], &word[1], &word[2], &word[3], &word[4]) != 5)
		return 0;
	/* sscanf takes signs, spaces, capitals and prefixes, too. */
	if (strspn(s + 3, "0123456789abcdef:") != strlen(s + 3))
		return 0;
	s += 3;
	for (i = 0; i < 5; i++) {
		size_t n = strspn(s, "0123456789abcdef");

		if (n < 1 || n > 16 || s[n] != (i < 4 ? ':' : 0))
			return 0;
		snprintf(want, sizeof(want), "%.*s", (int)n, s);
		if (strtoul(want, NULL, 16) != word[i])
			return 0;
		s += n + 1;
	}
	return 1;
}

void test_parse_random(void)
{
	static const char some[] = "0123456789abcdef::::::fgAFxmv=- ";
	struct random r = { 1 };
	int i, accepted = 0;

	for (i = 0; i < 50000; i++) {
		char text[100] = "mv=";
		u32 n, k, words = next_random(&r, 12) ? 5 : next_random(&r, 8);
		u64 got[5], want[5];
		int ok;

		for (k = 0; k < words; k++)
			sprintf(text + strlen(text), "%s%x", k ? ":" : "", next_random(&r, 1u << 31) >> next_random(&r, 31));
		n = (u32)strlen(text);
		for (k = next_random(&r, 3); k > 0; k--)
			text[next_random(&r, n)] = some[next_random(&r, sizeof(some) - 1)];
		ok = parse_plainly(text, want);
		CHECK(parse(text, strlen(text) + 1, got) == ok, "%s", text);
		CHECK(!ok || !memcmp(got, want, sizeof(got)), "%s", text);
		accepted += ok;
	}
	CHECK(accepted > 1000 && accepted < 48000, "%d", accepted);
}

/* What a starting variant host did, in memory that its parent sees. */
static struct {
	int munmaps;
	u64 at[4], size[4];
	u64 blocked;
	/* Its image when all else went. */
	int image, file_pages;
} *seen;

/* This program has no variant host's image, but something in its place. */
enum { IMAGE_PAGES = 3 };

static u8 image_byte(u32 i) { return (u8)(i * 7 + i / 251); }

static void look_at_image(void)
{
	const u8 *image = (const u8 *)MV_SLOT;
	unsigned long start, end, inode;
	char line[512], prot[5];
	FILE *f = fopen("/proc/self/maps", "r");
	u32 i;

	seen->image = 1;
	for (i = 0; i < IMAGE_PAGES * MV_PAGE; i++)
		seen->image &= image[i] == image_byte(i);
	CHECK(f, "%m");
	while (fgets(line, sizeof(line), f)) {
		CHECK(sscanf(line, "%lx-%lx %4s %*x %*s %lu", &start, &end, prot, &inode) == 4, "%s", line);
		if (start < MV_SLOT + IMAGE_PAGES * MV_PAGE && end > MV_SLOT && (inode || strcmp(prot, "r-xp")))
			seen->file_pages++;
		CHECK(start != MV_COPY);
	}
	fclose(f);
}

/* The call that shall fail, and how. */
static i64 failing_call, failure;

/* The mappings of this program must stay. */
static i64 keep_mappings(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	if (nr == failing_call && (nr != SYS_mmap || a == MV_COPY))
		return failure;
	if (nr != SYS_munmap)
		return __real_vhost_call(nr, a, b, c, d, e, f);
	if (seen->munmaps == 0)
		look_at_image();
	if (seen->munmaps < 4) {
		seen->at[seen->munmaps] = a;
		seen->size[seen->munmaps] = b;
	}
	seen->munmaps++;
	seen->blocked = blocked_signals();
	return 0;
}

static int shared_file(size_t size)
{
	int fd = memfd_create("shared", 0);

	CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0, "%m");
	return fd;
}

static void map_image(void)
{
	int fd = shared_file(IMAGE_PAGES * MV_PAGE);
	u8 *image = mmap((void *)MV_SLOT, IMAGE_PAGES * MV_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	u32 i;

	CHECK(image == (u8 *)MV_SLOT, "%m");
	for (i = 0; i < IMAGE_PAGES * MV_PAGE; i++)
		image[i] = image_byte(i);
	close(fd);
}

/* Starts a variant host in a child, as the kernel does: with its arguments and its
 * environment on the stack. */
static int start(const char *variable)
{
	static u64 stack[8] __attribute__((aligned(16)));
	int pid;

	map_image();
	seen = mmap(NULL, MV_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(seen != MAP_FAILED, "%m");
	stack[0] = 2;
	stack[1] = (u64)"vhost";
	stack[2] = (u64)"argument";
	stack[4] = (u64)variable;
	hook = keep_mappings;
	pid = fork();
	CHECK(pid >= 0, "%m");
	if (pid == 0)
		vhost_start(stack);
	return pid;
}

void test_start(void)
{
	int arena = shared_file(BLOCKS * MV_BLOCK_SIZE), bell = shared_file(MV_PAGE), pid;
	struct block *b = block(3);
	char variable[100];

	CHECK(mmap((void *)MV_BLOCKS, BLOCKS * MV_BLOCK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, arena, 0)
		!= MAP_FAILED, "%m");
	CHECK(mmap((void *)MV_BELL, MV_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, bell, 0) != MAP_FAILED, "%m");
	sprintf(variable, "mv=%x:%x:3:7b:1c8", arena, bell);
	b->turn = MV_TURN_HOST;
	pid = start(variable);
	await_report(b);
	CHECK(b->event == MV_EVENT_READY, "%u", b->event);
	CHECK(b->pid == pid && b->tid == pid, "%d %d", b->pid, b->tid);
	CHECK(b->control == 0x7b && b->spin == 0x1c8, "%u %u", b->control, b->spin);
	CHECK(the_bell->rung == 1, "%u", the_bell->rung);
	CHECK(seen->munmaps == 2, "%d", seen->munmaps);
	CHECK(seen->at[0] == 0 && seen->size[0] == MV_SLOT, "%lx %lx", seen->at[0], seen->size[0]);
	CHECK(seen->at[1] == MV_SLOT_END && seen->size[1] == MV_TASK_END - MV_SLOT_END, "%lx %lx", seen->at[1], seen->size[1]);
	CHECK(seen->image && seen->file_pages == 0, "%d %d", seen->image, seen->file_pages);
	CHECK((seen->blocked | signal_bit(9) | signal_bit(19)) == ~0ULL, "%lx", seen->blocked);
	put_call(b, 0, SYS_exit_group, 7, 0, 0, 0);
	post(b, 1, 0);
	CHECK(wait_status(pid) == 7);
}

void test_start_refused(void)
{
	int arena = shared_file(MV_BLOCK_SIZE);
	char no_bell[100], no_block[100];

	CHECK(wait_status(start(NULL)) == MV_EXIT_ALONE);
	CHECK(wait_status(start("PATH=/bin")) == MV_EXIT_ALONE);
	CHECK(wait_status(start("mv=3:4:10000:5:6")) == MV_EXIT_ALONE);
	CHECK(wait_status(start("mv=3:4:ffffffffffffffff:5:6")) == MV_EXIT_ALONE);
	CHECK(wait_status(start("mv=3e7:3e8:0:5:6")) == MV_EXIT_NO_MEMORY);
	sprintf(no_bell, "mv=%x:3e8:0:5:6", arena);
	CHECK(wait_status(start(no_bell)) == MV_EXIT_NO_MEMORY);
	sprintf(no_block, "mv=%x:%x:10000:5:6", arena, arena);
	CHECK(wait_status(start(no_block)) == MV_EXIT_ALONE);
}

/* Where a step fails, as where the kernel does not give up its own mappings, there
 * is no variant host. */
void test_start_fails(void)
{
	static const struct {
		i64 nr, ret;
		int want;
	} cases[] = {
		{ SYS_mmap, -ENOMEM, MV_EXIT_NO_MEMORY }, { SYS_mprotect, -EACCES, MV_EXIT_NO_MEMORY },
		{ SYS_mremap, -ENOMEM, MV_EXIT_NO_MEMORY }, { SYS_mremap, MV_COPY, MV_EXIT_NO_MEMORY },
		{ SYS_munmap, -EPERM, MV_EXIT_MAPPED },
	};
	int arena = shared_file(MV_BLOCK_SIZE), bell = shared_file(MV_PAGE);
	char variable[100];
	size_t i;

	sprintf(variable, "mv=%x:%x:0:5:6", arena, bell);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		failing_call = cases[i].nr;
		failure = cases[i].ret;
		CHECK(wait_status(start(variable)) == cases[i].want, "call %ld", failing_call);
	}
}
