/*
 * Threads that look at the same names again and again, which agents do then: whatever becomes of
 * what has the name.
 */
#include "check.h"
#include <pthread.h>

enum { ROUNDS = 150 };

static char here[4096], name[4200], other[4200], absent[4200], directory[4200], below[4300];
static int turn[2], done[2];

static mode_t type(const char *path, int follow)
{
	struct stat st;
	if (fstatat(AT_FDCWD, path, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW) != 0) {
		CHECK(errno == ENOENT || errno == ENOTDIR);
		CHECK(access(path, F_OK) == -1 || !follow);
		return 0;
	}
	return st.st_mode & S_IFMT;
}

static void look(void)
{
	struct stat st;
	char buf[64];
	for (int i = 0; i < ROUNDS; i++) {
		CHECK(type(name, 1) == S_IFREG && type(name, 0) == S_IFREG && access(name, R_OK) == 0);
		CHECK(type(absent, 1) == 0 && type(directory, 1) == S_IFDIR && type(here, 1) == S_IFDIR);
		CHECK_ERR(readlink(name, buf, sizeof buf), EINVAL);
		CHECK(stat("file", &st) == 0 && S_ISREG(st.st_mode));
		CHECK(type("/proc/self/exe", 0) == S_IFLNK && readlink("/proc/self/exe", buf, sizeof buf) > 0);
	}
}

static void *thread(void *arg)
{
	char c;
	UNUSED(arg);
	look();
	CHECK(write(done[1], "x", 1) == 1 && read(turn[0], &c, 1) == 1);
	return NULL;
}

/* What has the names becomes something else. */
static void changes(void)
{
	char buf[64];
	for (int i = 0; i < 20; i++) {
		CHECK(type(name, 1) == S_IFREG && unlink(name) == 0 && type(name, 1) == 0);
		CHECK(symlink("/proc/self/stat", name) == 0 && type(name, 0) == S_IFLNK && type(name, 1) == S_IFREG);
		CHECK(readlink(name, buf, sizeof buf) == 15 && unlink(name) == 0 && mkdir(name, 0700) == 0);
		CHECK(type(name, 1) == S_IFDIR && rmdir(name) == 0);
		int fd = open(name, O_CREAT | O_WRONLY, 0600);
		CHECK(fd >= 0 && close(fd) == 0 && type(name, 1) == S_IFREG);
		fd = open(absent, O_CREAT | O_WRONLY, 0600);
		CHECK(fd >= 0 && close(fd) == 0 && type(absent, 1) == S_IFREG && unlink(absent) == 0 && type(absent, 1) == 0);
		/* A part of the way, too. */
		CHECK(type(below, 1) == S_IFREG && rename(directory, other) == 0 && type(below, 1) == 0);
		CHECK(symlink(other, directory) == 0 && type(below, 1) == S_IFREG && unlink(directory) == 0);
		CHECK(rename(other, directory) == 0 && type(below, 1) == S_IFREG);
	}
}

int main(int argc, char **argv)
{
	pthread_t id;
	char c;
	begin_in(argc, argv);
	CHECK(getcwd(here, sizeof here) != NULL);
	snprintf(name, sizeof name, "%s/file", here);
	snprintf(other, sizeof other, "%s/moved", here);
	snprintf(absent, sizeof absent, "%s/absent", here);
	snprintf(directory, sizeof directory, "%s/directory", here);
	snprintf(below, sizeof below, "%s/file", directory);
	CHECK(mkdir(directory, 0700) == 0 && close(creat(name, 0600)) == 0 && close(creat(below, 0600)) == 0);
	CHECK(pipe(turn) == 0 && pipe(done) == 0 && pthread_create(&id, NULL, thread, NULL) == 0);
	look();
	for (int i = 0; i < ROUNDS; i++)
		CHECK(type(below, 1) == S_IFREG);
	/* It is there still, and looks no more. */
	CHECK(read(done[0], &c, 1) == 1);
	changes();
	CHECK(write(turn[1], "x", 1) == 1 && pthread_join(id, NULL) == 0);
	return 0;
}
