/* Threads that try to have what a process must not open: its memory. */
#include "races.h"

/* What a thread reads through a descriptor that it guesses. */
static const unsigned long secret = 0x5ec2e75ec2e75ec2;

static void *guesser(void *unused)
{
	while (!over)
		for (int fd = 3; fd < 8; fd++) {
			unsigned long word = 0;

			CHECK(pread(fd, &word, sizeof word, (off_t)(uintptr_t)&secret) != sizeof word || word != secret);
		}
	return unused;
}

/* A path that is another one all the time. */
static char flipping[] = "/proc/self/mem";
static const unsigned flips = sizeof "/proc/self/" - 1;

static void *flipper(void *unused)
{
	volatile char *p = flipping;

	while (!over) {
		memcpy(flipping, "mem", 4);
		p[0] = '/';
		memcpy(flipping + 1, "proc/self/", flips - 1);
	}
	return unused;
}

/* What leads to a process's memory by another name. */
static void opened_otherwise(void)
{
	char link[200], name[220];

	path(link, "link");
	CHECK(symlink("/proc/self/mem", link) == 0 && open(link, O_RDWR) == -1 && errno == EACCES);
	CHECK(unlink(link) == 0 && symlink("/proc/self", link) == 0);
	snprintf(name, sizeof name, "%s/mem", link);
	CHECK(open(name, O_RDWR) == -1 && errno == EACCES && unlink(link) == 0);
	CHECK(open("/proc/../proc/self/mem", O_RDWR) == -1 && errno == EACCES);
	CHECK(open("/etc/../proc/self/root/proc/self/mem", O_RDWR) == -1 && errno == EACCES);
}

static int opened(void)
{
	pthread_t t, flip;

	CHECK(pthread_create(&t, NULL, guesser, NULL) == 0);
	opened_otherwise();
	CHECK(chdir("/proc/self") == 0 && pthread_create(&flip, NULL, flipper, NULL) == 0);
	for (int i = 0; i < 300; i++)
		CHECK(open(flipping, O_RDWR) == -1 && (errno == EACCES || errno == ENOENT));
	for (int i = 0; i < 300; i++) {
		int fd = open("/proc/self/mem", O_RDWR);

		CHECK(fd == -1 && errno == EACCES);
		CHECK((fd = open("/proc/self/maps", O_RDONLY)) >= 0 && close(fd) == 0);
	}
	over = 1;
	CHECK(pthread_join(t, NULL) == 0 && pthread_join(flip, NULL) == 0);
	return 0;
}

static void *root_opener(void *unused)
{
	while (!over)
		CHECK(open("/self/mem", O_RDWR) == -1 && (errno == ENOENT || errno == EACCES));
	return unused;
}

/* The root is another one all at once. */
static int rooted(void)
{
	enum { TIMES = 30, OPENERS = 3 };
	int status;

	for (int i = 0; i < TIMES; i++) {
		pthread_t t[OPENERS];
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (pid > 0) {
			CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
			continue;
		}
		for (int k = 0; k < OPENERS; k++)
			CHECK(pthread_create(&t[k], NULL, root_opener, NULL) == 0);
		usleep(2000);
		CHECK(chroot("/proc") == 0 || errno == EPERM);
		usleep(2000);
		over = 1;
		for (int k = 0; k < OPENERS; k++)
			CHECK(pthread_join(t[k], NULL) == 0);
		_exit(0);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct race races[] = {
		{"opened", opened}, {"rooted", rooted},
	};
	return run_race(races, sizeof races / sizeof races[0], argc, argv);
}
