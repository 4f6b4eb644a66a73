/*
 * Threads, and processes with a common table, that open and close files for each other: what a
 * number stands for one of them has made it, and the other finds it.
 */
#include "check.h"
#include <pthread.h>
#include <sched.h>

enum { ROUNDS = 120 };

static char name[4200], other[4200], below[4300];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int whose, fd;

/* Lets the other one go on, and waits until it is this one's turn again. */
static void hand_over(int me)
{
	CHECK(pthread_mutex_lock(&lock) == 0);
	whose = !me;
	CHECK(pthread_cond_signal(&changed) == 0);
	while (whose != me)
		CHECK(pthread_cond_wait(&changed, &lock) == 0);
	CHECK(pthread_mutex_unlock(&lock) == 0);
}

static void enter(int me)
{
	CHECK(pthread_mutex_lock(&lock) == 0);
	while (whose != me)
		CHECK(pthread_cond_wait(&changed, &lock) == 0);
	CHECK(pthread_mutex_unlock(&lock) == 0);
}

static void leave(int me)
{
	CHECK(pthread_mutex_lock(&lock) == 0);
	whose = !me;
	CHECK(pthread_cond_signal(&changed) == 0 && pthread_mutex_unlock(&lock) == 0);
}

static void reads(int from, const char *text)
{
	char buf[32] = "";
	CHECK(read(from, buf, sizeof buf) == (ssize_t)strlen(text) && strcmp(buf, text) == 0);
}

static void opens(const char *path, const char *text)
{
	for (int i = 0; i < 8; i++) {
		int mine = open(path, O_RDONLY), next;
		CHECK(mine == fd);
		reads(mine, text);
		CHECK((next = open(path, O_RDONLY)) == fd + 1 && close(mine) == 0 && open(path, O_RDONLY) == mine);
		CHECK(close(next) == 0 && close(mine) == 0);
		CHECK_ERR(read(mine, &next, 1), EBADF);
		CHECK_ERR(open(below, O_RDONLY), ENOTDIR);
	}
}

static void *thread(void *arg)
{
	UNUSED(arg);
	enter(1);
	for (int i = 0; i < ROUNDS; i++) {
		/* A file that the other one has opened, and read in part. */
		char c;
		CHECK(read(fd, &c, 1) == 1 && c == 'i' && lseek(fd, 0, SEEK_SET) == 0);
		reads(fd, "first");
		CHECK(close(fd) == 0);
		opens(other, "second");
		/* The number is a pipe's now, in which there is something. */
		int p[2];
		CHECK(pipe(p) == 0 && p[0] == fd && write(p[1], "piped", 5) == 5);
		hand_over(1);
		/* It is that of a file that can be written. */
		CHECK(write(fd, "more", 4) == 4 && close(fd) == 0);
		opens(other, "second");
		hand_over(1);
	}
	leave(1);
	return NULL;
}

static void make(const char *path, const char *text)
{
	int made = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	CHECK(made >= 0 && write(made, text, strlen(text)) == (ssize_t)strlen(text) && close(made) == 0);
}

/* A process that has the same table, and other memory. */
static void family(void)
{
	int to[2], back[2], status;
	char c;
	CHECK(pipe(to) == 0 && pipe(back) == 0 && (fd = open(name, O_RDONLY)) >= 0 && close(fd) == 0);
	pid_t child = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	CHECK(child >= 0);
	for (int i = 0; i < 20; i++) {
		int p[2];
		if (child == 0) {
			CHECK(read(to[0], &c, 1) == 1);
			reads(fd, "first");
			CHECK(close(fd) == 0);
			opens(other, "second");
			CHECK(pipe(p) == 0 && p[0] == fd && write(p[1], "piped", 5) == 5 && write(back[1], "x", 1) == 1);
			continue;
		}
		opens(name, "first");
		CHECK(open(name, O_RDONLY) == fd && write(to[1], "x", 1) == 1 && read(back[0], &c, 1) == 1);
		CHECK_ERR(lseek(fd, 0, SEEK_SET), ESPIPE);
		reads(fd, "piped");
		CHECK(close(fd) == 0 && close(fd + 1) == 0);
	}
	if (child == 0)
		_exit(0);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	ok("family");
}

int main(int argc, char **argv)
{
	pthread_t t;
	char here[4096], c;
	CHECK(argc == 2 && chdir(argv[1]) == 0 && getcwd(here, sizeof here));
	snprintf(name, sizeof name, "%s/first", here);
	snprintf(other, sizeof other, "%s/second", here);
	snprintf(below, sizeof below, "%s/below", name);
	make(name, "first");
	make(other, "second");
	CHECK((fd = open("/dev/null", O_RDONLY)) >= 0 && close(fd) == 0);
	CHECK(pthread_create(&t, NULL, thread, NULL) == 0);
	/* Before the engine has seen some calls of a thread they are all its own. */
	for (int i = 0; i < 150; i++)
		umask(022);
	for (int i = 0; i < ROUNDS; i++) {
		opens(name, "first");
		CHECK(open(name, O_RDONLY) == fd && read(fd, &c, 1) == 1 && c == 'f');
		hand_over(0);
		CHECK_ERR(lseek(fd, 0, SEEK_SET), ESPIPE);
		reads(fd, "piped");
		CHECK(close(fd) == 0 && close(fd + 1) == 0);
		opens(name, "first");
		CHECK(open("third", O_RDWR | O_CREAT | O_TRUNC, 0644) == fd && write(fd, "some", 4) == 4);
		hand_over(0);
		make("third", "");
		/* What was written to is no longer there. */
		CHECK_ERR(read(fd, &c, 1), EBADF);
	}
	leave(0);
	CHECK(pthread_join(t, NULL) == 0);
	ok("handed over");
	family();
	return 0;
}
