/* Paths of 256 bytes up to the longest the kernel takes, and one byte more. */
#include "check.h"
#include <limits.h>

#ifndef PATH_MAX
#define PATH_MAX 4096
#endif

/* Makes "./././" of exactly n bytes that names the file at its end. */
static char *padded(size_t n, const char *name)
{
	char *p = malloc(n + 1);
	CHECK(p != NULL);
	size_t len = strlen(name), pad = n - len;
	for (size_t i = 0; i < pad; i++)
		p[i] = i % 2 ? '/' : '.';
	if (pad % 2)
		p[pad - 1] = '/';
	memcpy(p + pad, name, len + 1);
	/* An odd pad ends in "//" only if it began with "."; keep the front legal. */
	p[0] = '.';
	return p;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	static const size_t lengths[] = {255, 256, 257, 511, 1023, 1024, 1025, 2048, 4000, PATH_MAX - 2, PATH_MAX - 1};
	char c, name[32];
	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		snprintf(name, sizeof name, "file%zu", lengths[i]);
		char *p = padded(lengths[i], name);
		CHECK(strlen(p) == lengths[i]);
		put_file(p, "x", 1, 0644);
		int fd = open(name, O_RDONLY);
		CHECK(fd >= 0 && read(fd, &c, 1) == 1 && c == 'x');
		CHECK(close(fd) == 0);
		struct stat st;
		CHECK(stat(p, &st) == 0 && lstat(p, &st) == 0 && st.st_size == 1);
		CHECK(chmod(p, 0600) == 0);
		CHECK(access(p, R_OK) == 0);
		CHECK(rename(p, "renamed") == 0);
		CHECK(rename("renamed", p) == 0);
		CHECK(unlink(p) == 0);
		CHECK_ERR(stat(name, &st), ENOENT);
		free(p);
	}
	ok("lengths");

	for (size_t n = PATH_MAX; n < PATH_MAX + 3; n++) {
		char *p = padded(n, "toolong");
		struct stat st;
		CHECK_ERR(open(p, O_WRONLY | O_CREAT, 0644), ENAMETOOLONG);
		CHECK_ERR(stat(p, &st), ENAMETOOLONG);
		CHECK_ERR(mkdir(p, 0755), ENAMETOOLONG);
		CHECK_ERR(unlink(p), ENAMETOOLONG);
		CHECK_ERR(chdir(p), ENAMETOOLONG);
		CHECK_ERR(rename(p, "x"), ENAMETOOLONG);
		CHECK_ERR(execl(p, "x", (char *)NULL), ENAMETOOLONG);
		free(p);
	}
	char *huge = malloc(1 << 20);
	CHECK(huge != NULL);
	memset(huge, 'a', (1 << 20) - 1);
	huge[(1 << 20) - 1] = 0;
	CHECK_ERR(open(huge, O_RDONLY), ENAMETOOLONG);
	free(huge);
	ok("too long");

	char part[300];
	memset(part, 'n', sizeof part);
	part[255] = 0;
	put_file(part, "y", 1, 0644);
	CHECK(unlink(part) == 0);
	part[255] = 'n';
	part[256] = 0;
	CHECK_ERR(open(part, O_WRONLY | O_CREAT, 0644), ENAMETOOLONG);
	ok("longest component");

	/* A link's text may be as long as a path; reading it back is exact. */
	char *text = padded(PATH_MAX - 1, "target"), *back = malloc(PATH_MAX);
	CHECK(back != NULL);
	CHECK(symlink(text, "link") == 0);
	CHECK(readlink("link", back, PATH_MAX) == PATH_MAX - 1);
	CHECK(memcmp(text, back, PATH_MAX - 1) == 0);
	CHECK(readlink("link", back, 10) == 10);
	CHECK(unlink("link") == 0);
	free(text);
	text = padded(PATH_MAX, "target");
	CHECK_ERR(symlink(text, "link"), ENAMETOOLONG);
	free(text);
	free(back);
	ok("link text");

	/* A directory deeper than PATH_MAX: reached step by step, its name does not fit. */
	char dir[201];
	memset(dir, 'd', 200);
	dir[200] = 0;
	for (int i = 0; i < 25; i++)
		CHECK(mkdir(dir, 0755) == 0 && chdir(dir) == 0);
	put_file("bottom", "b", 1, 0644);
	char cwd[16384];
	CHECK(getcwd(cwd, 64) == NULL);
	printf("small getcwd: %s\n", errname(errno));
	SHOW("raw getcwd below the longest path", syscall(SYS_getcwd, cwd, sizeof cwd));
	CHECK(unlink("bottom") == 0);
	for (int i = 0; i < 25; i++)
		CHECK(chdir("..") == 0 && rmdir(dir) == 0);
	ok("deep directory");
	return 0;
}
