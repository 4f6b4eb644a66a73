/* Landlock: a program gives rights up, and its children, and files it may not open. */
#include "sys.h"
#include <pthread.h>

#define WRITE_FILE (1ull << 1)
#define READ_FILE (1ull << 2)
#define EXECUTE (1ull << 0)

struct beneath { uint64_t allowed; int32_t parent; } __attribute__((packed));
struct port { uint64_t allowed, port; };

/* Another thread has the same descriptors, and may do what it could. */
static int gate[2];

static void *unrestricted(void *arg)
{
	char byte;
	CHECK(read(gate[0], &byte, 1) == 1);
	int fd = open("out", O_RDONLY);
	CHECK(fd >= 0);
	close(fd);
	ok("the other thread may");
	return arg;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	CHECK(mkdir("in", 0755) == 0);
	put_file("in/f", "inside", 6, 0644);
	put_file("out", "outside", 7, 0644);
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
	printf("version %ld\n", version);
	uint64_t attr = READ_FILE | WRITE_FILE | EXECUTE;
	int rules = (int)CALL(landlock_create_ruleset, &attr, sizeof attr, 0);
	CALL(landlock_create_ruleset, &attr, 1, 0);
	CALL(landlock_create_ruleset, NOWHERE, sizeof attr, 0);
	if (rules == -1)
		return 0;
	struct beneath b = {READ_FILE, open("in", O_PATH | O_CLOEXEC)};
	CALL(landlock_add_rule, rules, 1, &b, 0);
	CALL(landlock_add_rule, -1, 1, &b, 0);
	CALL(landlock_add_rule, rules, 1, NOWHERE, 0);
	struct port p = {1, 80};
	CALL(landlock_add_rule, rules, 2, &p, 0);
	CALL(landlock_add_rule, rules, 9, &p, 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		pthread_t other;
		CHECK(pipe(gate) == 0);
		CHECK(pthread_create(&other, NULL, unrestricted, NULL) == 0);
		CHECK(syscall(SYS_prctl, 38, 1, 0, 0, 0) == 0);
		CALL(landlock_restrict_self, rules, 0);
		CALL(landlock_restrict_self, -1, 0);
		char text[16];
		int fd = open("in/f", O_RDONLY);
		CHECK(fd >= 0 && read(fd, text, 6) == 6);
		SHOW("outside", open("out", O_RDONLY));
		SHOW("write", open("in/f", O_WRONLY));
		CHECK(write(gate[1], "", 1) == 1);
		CHECK(pthread_join(other, NULL) == 0);
		execl("/bin/true", "true", (char *)NULL);
		printf("exec: %s\n", errname(errno));
		fflush(stdout);
		pid_t grandchild = fork();
		CHECK(grandchild >= 0);
		if (grandchild == 0)
			_exit(open("out", O_RDONLY) == -1 ? 7 : 1);
		reap_exit(grandchild, 7);
		_exit(0);
	}
	reap_exit(child, 0);
	int fd = open("out", O_RDONLY);
	CHECK(fd >= 0);
	ok("the parent may");
	return 0;
}
