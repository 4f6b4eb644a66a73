/*
 * Descriptors made so often that agents make them: duplicates, pipes and event counters, with all
 * that can be wrong about them.
 */
#include "check.h"
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { ROUNDS = 60 };

static void calls(int n)
{
	while (n--)
		CHECK(getppid() > 0);
}

/* The number that the next descriptor gets. */
static int lowest(void)
{
	int fd = dup(0);
	CHECK(fd >= 0 && close(fd) == 0);
	return fd;
}

static int closes_on_exec(int fd)
{
	int flags = fcntl(fd, F_GETFD);
	CHECK(flags >= 0);
	return flags & FD_CLOEXEC;
}

static void duplicates(void)
{
	int free_fd = lowest(), p[2];
	CHECK(pipe(p) == 0 && p[0] == free_fd && p[1] == free_fd + 1);
	for (int i = 0; i < ROUNDS; i++) {
		char c = (char)i, got = 0;
		int fd = dup(p[1]);
		CHECK(fd == free_fd + 2 && !closes_on_exec(fd));
		CHECK(write(fd, &c, 1) == 1 && close(fd) == 0 && read(p[0], &got, 1) == 1 && got == c);
		CHECK(dup2(p[0], 40) == 40 && dup2(40, 40) == 40 && dup2(p[1], 40) == 40);
		CHECK(write(40, &c, 1) == 1 && read(p[0], &got, 1) == 1 && got == c && close(40) == 0);
		CHECK(dup3(p[0], 41, O_CLOEXEC) == 41 && closes_on_exec(41) && dup2(p[0], 41) == 41 && !closes_on_exec(41));
		CHECK(fcntl(p[0], F_DUPFD, 41) == 42 && !closes_on_exec(42));
		CHECK(fcntl(p[0], F_DUPFD_CLOEXEC, 0) == free_fd + 2 && closes_on_exec(free_fd + 2));
		CHECK(close(41) == 0 && close(42) == 0 && close(free_fd + 2) == 0);
		CHECK_ERR(dup(41), EBADF);
		CHECK_ERR(dup(-1), EBADF);
		CHECK_ERR(dup2(41, p[0]), EBADF);
		CHECK_ERR(dup2(p[0], -1), EBADF);
		CHECK_ERR(dup2(p[0], 1 << 30), EBADF);
		CHECK_ERR(dup3(p[0], p[0], 0), EINVAL);
		CHECK_ERR(syscall(SYS_dup3, p[0], 41, O_NONBLOCK), EINVAL);
		CHECK_ERR(fcntl(p[0], F_DUPFD, -1), EINVAL);
		CHECK_ERR(fcntl(p[0], F_DUPFD, 1 << 30), EINVAL);
		CHECK_ERR(fcntl(41, F_DUPFD, 0), EBADF);
	}
	CHECK(close(p[0]) == 0 && close(p[1]) == 0);
}

/* Duplicates share the position, and what is known of one is true of the other. */
static void files(void)
{
	char buf[8];
	int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600), ro = open("file", O_RDONLY);
	CHECK(fd >= 0 && ro >= 0 && write(fd, "0123456789", 10) == 10);
	char *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ro, 0);
	CHECK(map != MAP_FAILED && map[9] == '9');
	for (int i = 0; i < ROUNDS; i++) {
		int r = dup(ro), w = dup(fd);
		CHECK(r >= 0 && w >= 0 && lseek(ro, 3, SEEK_SET) == 3 && read(r, buf, 2) == 2 && memcmp(buf, "34", 2) == 0);
		CHECK(lseek(ro, 0, SEEK_CUR) == 5);
		buf[0] = (char)('a' + i % 26);
		/* What is written by a duplicate is there in the mapping. */
		CHECK(pwrite(w, buf, 1, 9) == 1 && map[9] == buf[0]);
		CHECK(dup2(w, r) == r && pwrite(r, buf, 1, 0) == 1 && map[0] == buf[0]);
		CHECK(close(r) == 0 && close(w) == 0);
	}
	CHECK(munmap(map, PAGE) == 0 && close(fd) == 0 && close(ro) == 0);
}

static void pipes(void)
{
	int free_fd = lowest(), p[2];
	char buf[8];
	for (int i = 0; i < ROUNDS; i++) {
		CHECK(pipe(p) == 0 && p[0] == free_fd && p[1] == free_fd + 1);
		CHECK(write(p[1], "pipe", 4) == 4 && close(p[1]) == 0 && read(p[0], buf, 8) == 4 && read(p[0], buf, 8) == 0);
		CHECK(close(p[0]) == 0 && pipe2(p, O_NONBLOCK | O_CLOEXEC) == 0 && closes_on_exec(p[0]) && closes_on_exec(p[1]));
		CHECK_ERR(read(p[0], buf, 8), EAGAIN);
		CHECK(close(p[0]) == 0 && close(p[1]) == 0);
		CHECK_ERR(pipe(bad_address), EFAULT);
		CHECK_ERR(pipe2(bad_address, O_CLOEXEC), EFAULT);
		CHECK_ERR(pipe2(p, O_TRUNC), EINVAL);
		CHECK(lowest() == free_fd);
	}
}

static void counters(void)
{
	int free_fd = lowest();
	for (int i = 0; i < ROUNDS; i++) {
		eventfd_t v = 0;
		int fd = eventfd(3, 0);
		CHECK(fd == free_fd && eventfd_write(fd, (eventfd_t)i + 1) == 0 && eventfd_read(fd, &v) == 0 && v == (eventfd_t)i + 4);
		CHECK(close(fd) == 0 && syscall(SYS_eventfd, 1) == free_fd && close(free_fd) == 0);
		CHECK(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC) == fd && closes_on_exec(fd));
		CHECK(eventfd_read(fd, &v) == 0 && v == 1 && eventfd_read(fd, &v) == 0 && v == 1);
		CHECK_ERR(eventfd_read(fd, &v), EAGAIN);
		CHECK(close(fd) == 0);
		CHECK_ERR(eventfd(0, 0x40), EINVAL);
	}
}

/* No more numbers are to be had. */
static void few(void)
{
	struct rlimit old, less;
	int free_fd = lowest(), p[2] = {-7, -7};
	CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
	less = old;
	less.rlim_cur = (rlim_t)free_fd + 1;
	CHECK(setrlimit(RLIMIT_NOFILE, &less) == 0);
	for (int i = 0; i < ROUNDS; i++) {
		CHECK_ERR(pipe(p), EMFILE);
		CHECK(p[0] == -7 && p[1] == -7 && dup(0) == free_fd);
		CHECK_ERR(dup(0), EMFILE);
		CHECK_ERR(eventfd(0, 0), EMFILE);
		CHECK_ERR(fcntl(0, F_DUPFD, free_fd), EMFILE);
		CHECK_ERR(fcntl(0, F_DUPFD, free_fd + 1), EINVAL);
		CHECK_ERR(dup2(0, free_fd + 1), EBADF);
		CHECK(close(free_fd) == 0);
	}
	CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
}

/* What is replaced is closed: its peer comes to know. */
static void replaced(void)
{
	int s[2];
	char c;
	for (int i = 0; i < ROUNDS; i++) {
		CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
		calls(2);
		CHECK(dup2(0, s[1]) == s[1] && read(s[0], &c, 1) == 0 && close(s[0]) == 0 && close(s[1]) == 0);
	}
}

static void *thread(void *arg)
{
	int p[2];
	UNUSED(arg);
	for (int i = 0; i < ROUNDS; i++) {
		CHECK(pipe(p) == 0 && write(p[1], "x", 1) == 1);
		int fd = dup(p[0]);
		CHECK(fd >= 0 && close(fd) == 0 && close(p[0]) == 0 && close(p[1]) == 0);
	}
	return NULL;
}

/* Where others have the same descriptors, and who has got them by a fork. */
static void shared(void)
{
	pthread_t id;
	int p[2], status;
	CHECK(pthread_create(&id, NULL, thread, NULL) == 0);
	thread(NULL);
	CHECK(pthread_join(id, NULL) == 0);
	for (int i = 0; i < 5; i++) {
		char c = 0;
		CHECK(pipe(p) == 0);
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			CHECK(dup2(p[1], 1) == 1 && close(p[0]) == 0 && close(p[1]) == 0 && write(1, "c", 1) == 1);
			_exit(0);
		}
		CHECK(close(p[1]) == 0 && read(p[0], &c, 1) == 1 && c == 'c' && read(p[0], &c, 1) == 0 && close(p[0]) == 0);
		CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	}
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	calls(200);
	duplicates();
	files();
	pipes();
	counters();
	few();
	replaced();
	shared();
	duplicates();
	return 0;
}
