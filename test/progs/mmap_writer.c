/*
 * Files that are changed by calls while others read them in their memory: by a process
 * that does not map them, and by a thread beside one that reads.
 */
#include "check.h"
#include <pthread.h>
#include <sys/inotify.h>
#include <sys/uio.h>

#define ROUNDS 200

static int fd;
static volatile uint64_t *memory;

static void put(uint64_t n) { CHECK(pwrite(fd, &n, sizeof n, 0) == sizeof n); }

static void work(int n)
{
	for (volatile int i = 0; i < n; i++)
		;
}

/* The reader learns of each number by a pipe. What it reads depends on how far the writer
 * is, but is the same in all variants. */
static void told(void)
{
	int p[2];
	CHECK(pipe(p) == 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		for (uint64_t n = 1; n <= ROUNDS; n++) {
			put(n);
			CHECK(write(p[1], "x", 1) == 1);
		}
		_exit(0);
	}
	memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(memory != MAP_FAILED);
	for (uint64_t n = 1; n <= ROUNDS; n++) {
		char c;
		CHECK(read(p[0], &c, 1) == 1);
		/* A number that a call compares. */
		uint64_t seen = memory[0];
		CHECK(lseek(fd, (off_t)seen, SEEK_SET) == (off_t)seen && seen >= n && seen <= ROUNDS);
		work(20000);
	}
	int status;
	CHECK(waitpid(child, &status, 0) == child && status == 0 && memory[0] == ROUNDS);
	CHECK(close(p[0]) == 0 && close(p[1]) == 0);
	ok("by a process that does not map it");
}

/* The reader waits for each number in its memory alone. */
static void awaited(void)
{
	int p[2];
	CHECK(pipe(p) == 0);
	put(0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		char c;
		CHECK(munmap((void *)memory, PAGE) == 0);
		for (uint64_t n = 1; n <= 5; n++) {
			CHECK(read(p[0], &c, 1) == 1);
			put(n);
		}
		_exit(0);
	}
	for (uint64_t n = 1; n <= 5; n++) {
		CHECK(write(p[1], "x", 1) == 1);
		while (memory[0] != n)
			;
	}
	int status;
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	ok("awaited");
}

static void *writer(void *arg)
{
	for (uint64_t n = 1; n <= ROUNDS; n++) {
		put(n);
		work(10000);
	}
	return arg;
}

static void beside(void)
{
	pthread_t t;
	put(0);
	CHECK(pthread_create(&t, NULL, writer, NULL) == 0);
	uint64_t sum;
	do {
		sum = 0;
		for (int i = 0; i < 20000; i++)
			sum += memory[0];
		CHECK(lseek(fd, (off_t)sum, SEEK_SET) == (off_t)sum);
	} while (sum != 20000 * (uint64_t)ROUNDS);
	CHECK(pthread_join(t, NULL) == 0);
	ok("by a thread");
}

/* Of a file that may not be read any more what is written is in memory all the same, and
 * nobody else is seen to open it. */
static void unreadable(void)
{
	int out = open("file", O_WRONLY);
	int watch = inotify_init1(IN_NONBLOCK);
	CHECK(watch >= 0 && inotify_add_watch(watch, "file", IN_OPEN) >= 0);
	CHECK(out >= 0 && close(fd) == 0 && chmod("file", 0200) == 0);
	struct iovec v[2] = {{"one", 3}, {"two", 4}};
	volatile char *p = (volatile char *)memory;
	CHECK(pwrite(out, "hello", 6, 8) == 6 && strcmp((char *)p + 8, "hello") == 0);
	CHECK(lseek(out, 20, SEEK_SET) == 20 && writev(out, v, 2) == 7 && strcmp((char *)p + 20, "onetwo") == 0);
	CHECK(write(out, "!", 2) == 2 && p[27] == '!');
	CHECK(ftruncate(out, 2 * PAGE) == 0 && pwrite(out, "end", 3, (off_t)PAGE) == 3);
	char event[4096];
	CHECK_ERR(read(watch, event, sizeof event), EAGAIN);
	CHECK(munmap((void *)memory, PAGE) == 0 && close(out) == 0 && close(watch) == 0);
	ok("by a descriptor that cannot read");
}

/* A file may have another name when it is mapped than when it was opened, and none when it is
 * written. */
static void other_names(void)
{
	static const char *const last[] = {NULL, "other name", "link"};
	for (int i = 0; i < 3; i++) {
		int f = open("named", O_RDWR | O_CREAT | O_EXCL, 0644);
		CHECK(f >= 0 && ftruncate(f, PAGE) == 0);
		CHECK(i != 1 || rename("named", last[i]) == 0);
		CHECK(i != 2 || link("named", last[i]) == 0);
		CHECK(i == 1 || unlink("named") == 0);
		volatile uint64_t *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, f, 0);
		CHECK(p != MAP_FAILED);
		for (uint64_t n = 1; n <= ROUNDS / 8; n++) {
			work(3000);
			CHECK(p[0] == n - 1 && pwrite(f, &n, sizeof n, 0) == sizeof n);
		}
		CHECK(!last[i] || unlink(last[i]) == 0);
		for (uint64_t n = 1; n <= ROUNDS / 8; n++) {
			CHECK(pwrite(f, &n, sizeof n, 8) == sizeof n && p[1] == n);
			work(3000);
		}
		CHECK(munmap((void *)p, PAGE) == 0 && close(f) == 0);
	}
	int f = open("named", O_RDWR | O_CREAT | O_EXCL, 0644);
	CHECK(f >= 0 && ftruncate(f, PAGE) == 0 && rename("named", "other name") == 0);
	int in = open("other name", O_RDONLY);
	volatile uint64_t *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, in, 0);
	CHECK(in >= 0 && p != MAP_FAILED);
	for (uint64_t n = 1; n <= ROUNDS / 8; n++) {
		work(3000);
		CHECK(p[0] == n - 1 && pwrite(f, &n, sizeof n, 0) == sizeof n);
	}
	CHECK(munmap((void *)p, PAGE) == 0 && close(f) == 0 && close(in) == 0 && unlink("other name") == 0);
	ok("of another name");
}

static void *reader(void *arg)
{
	int in = *(int *)arg;
	static char buf[PAGE];
	ssize_t n, sum = 0;
	while ((n = read(in, buf, sizeof buf)) > 0)
		sum += n;
	CHECK(n == 0);
	return (void *)sum;
}

/* A pipe may have the name of a file that is mapped. Who writes there sleeps until another
 * thread reads. */
static void renamed(void)
{
	static char big[300000];
	pthread_t t;
	void *sum;
	int f = open("name", O_RDWR | O_CREAT, 0644);
	CHECK(f >= 0 && write(f, "x", 1) == 1);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, f, 0) != MAP_FAILED);
	CHECK(close(f) == 0 && unlink("name") == 0 && mkfifo("name", 0600) == 0);
	int in = open("name", O_RDONLY | O_NONBLOCK), out = open("name", O_WRONLY);
	CHECK(in >= 0 && out >= 0 && fcntl(in, F_SETFL, 0) == 0);
	CHECK(pthread_create(&t, NULL, reader, &in) == 0);
	CHECK(write(out, big, sizeof big) == sizeof big && close(out) == 0);
	CHECK(pthread_join(t, &sum) == 0 && (size_t)sum == sizeof big);
	CHECK(close(in) == 0 && unlink("name") == 0);
	ok("a pipe of that name");
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	/* Whose calls are frequent may have them dealt with beside it, and sleeps there. */
	for (int i = 0; i < 200; i++)
		CHECK(getppid() > 0);
	fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
	CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
	told();
	awaited();
	beside();
	unreadable();
	other_names();
	renamed();
	return 0;
}
