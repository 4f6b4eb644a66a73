/* Opens that must happen once only: exclusive creation, a file renamed or gone, FIFOs. */
#include "check.h"

static void fifos(void)
{
	CHECK(mkfifo("fifo", 0600) == 0);
	CHECK_ERR(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
	int r = open("fifo", O_RDONLY | O_NONBLOCK);
	CHECK(r >= 0);
	int w = open("fifo", O_WRONLY | O_NONBLOCK);
	CHECK(w == r + 1);
	char c, buf[64];
	CHECK_ERR(read(r, &c, 1), EAGAIN);
	CHECK(write(w, "x", 1) == 1 && read(r, &c, 1) == 1 && c == 'x');
	CHECK(close(w) == 0);
	CHECK(read(r, &c, 1) == 0);
	CHECK(close(r) == 0);
	int both = open("fifo", O_RDWR);
	CHECK(both == r);
	CHECK(write(both, "y", 1) == 1 && read(both, &c, 1) == 1 && c == 'y');
	CHECK(close(both) == 0);

	/* Both opens block until the other side is there. */
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		int fd = open("fifo", O_WRONLY);
		CHECK(fd >= 0);
		write_all(fd, "through the fifo", 16);
		_exit(0);
	}
	r = open("fifo", O_RDONLY);
	CHECK(read_all(r, buf, sizeof buf) == 16 && memcmp(buf, "through the fifo", 16) == 0);
	reap_exit(child, 0);
	CHECK(unlink("fifo") == 0);
	ok("fifo");
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	char c, buf[16];
	int fd = open("excl", O_RDONLY | O_CREAT | O_EXCL, 0600);
	CHECK(fd == 3);
	CHECK(read(fd, &c, 1) == 0);
	CHECK_ERR(open("excl", O_RDONLY | O_CREAT | O_EXCL, 0600), EEXIST);
	CHECK(open("created", O_RDONLY | O_CREAT, 0640) == 4);
	CHECK(open("created", O_RDONLY | O_TRUNC) == 5);
	ok("exclusive creation");

	put_file("name", "original", 8, 0644);
	fd = open("name", O_RDONLY);
	CHECK(rename("name", "moved") == 0);
	put_file("name", "impostor", 8, 0644);
	CHECK(read(fd, buf, 8) == 8 && memcmp(buf, "original", 8) == 0);
	CHECK(unlink("moved") == 0);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	CHECK(read(fd, buf, 8) == 8 && memcmp(buf, "original", 8) == 0);
	struct stat st;
	CHECK(fstat(fd, &st) == 0 && st.st_nlink == 0);
	ok("read after rename and unlink");

	/* A second process changes the file between this one's reads. */
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		put_file("name", "changed!", 8, 0644);
		_exit(0);
	}
	int other = open("name", O_RDONLY);
	reap_exit(child, 0);
	CHECK(pread(other, buf, 8, 0) == 8 && memcmp(buf, "changed!", 8) == 0);
	ok("changed by a child");

	fd = open(".", O_TMPFILE | O_RDWR, 0600);
	if (fd == -1 && (errno == EOPNOTSUPP || errno == EISDIR)) {
		puts("O_TMPFILE unsupported here");
	} else {
		CHECK(fd >= 0);
		CHECK(write(fd, "t", 1) == 1 && pread(fd, &c, 1, 0) == 1 && c == 't');
		CHECK(fstat(fd, &st) == 0 && st.st_nlink == 0 && (st.st_mode & 07777) == 0600);
		ok("O_TMPFILE");
	}
	fifos();
	return 0;
}
