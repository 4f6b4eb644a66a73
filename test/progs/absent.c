/*
 * Names without a file, asked for again and again, until there is one: made by the program, by
 * another process, behind a link, in a directory that is one; first alone, then with a thread
 * beside, and with a file that is memory.
 *
 * usage: absent DIRECTORY
 */
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { OFTEN = 200 };

static char place[4000], name[4100], other[4100];

static void none(void)
{
	for (int i = 0; i < OFTEN; i++)
		CHECK(open(name, O_RDONLY | O_CLOEXEC) == -1 && errno == ENOENT);
}

static void there(const char *text)
{
	for (int i = 0; i < 5; i++) {
		char got[16] = "";
		int fd = open(name, O_RDONLY | O_CLOEXEC);
		CHECK(fd >= 0 && read(fd, got, sizeof got - 1) == (ssize_t)strlen(text) && strcmp(got, text) == 0 && close(fd) == 0);
	}
}

static void make(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

static void all(void)
{
	none();
	make(name, "mine");
	there("mine");
	CHECK(unlink(name) == 0);
	none();
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		make(name, "child's");
		_exit(0);
	}
	CHECK(waitpid(pid, NULL, 0) == pid);
	there("child's");
	CHECK(unlink(name) == 0);
	none();
	CHECK(symlink(other, name) == 0);
	none();
	make(other, "linked");
	there("linked");
	CHECK(unlink(name) == 0 && unlink(other) == 0);
	none();
	CHECK(mkfifo(name, 0600) == 0);
	int fd = open(name, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0 && write(fd, "piped", 5) == 5);
	int reads = open(name, O_RDONLY | O_CLOEXEC);
	char got[8] = "";
	CHECK(reads >= 0 && read(reads, got, 5) == 5 && strcmp(got, "piped") == 0 && close(reads) == 0 && close(fd) == 0);
	CHECK(unlink(name) == 0 && mkdir(name, 0700) == 0);
	CHECK((fd = open(name, O_RDONLY | O_CLOEXEC)) >= 0 && read(fd, got, 1) == -1 && errno == EISDIR && close(fd) == 0);
	CHECK(rmdir(name) == 0);
	none();
}

static void *idle(void *unused)
{
	pause();
	return unused;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	CHECK(getcwd(place, sizeof place) != NULL);
	snprintf(name, sizeof name, "%s/name", place);
	snprintf(other, sizeof other, "%s/other", place);
	all();
	pthread_t t;
	CHECK(pthread_create(&t, NULL, idle, NULL) == 0);
	all();
	make("memory", "");
	int fd = open("memory", O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0 && mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
	all();
	ok("absent");
	return 0;
}
