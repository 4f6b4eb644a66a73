/* Chance: getrandom, AT_RANDOM, /dev/urandom, printed and so compared between variants. */
#include "check.h"
#include <sys/auxv.h>
#include <sys/random.h>

static void show(const char *name, const void *p, size_t n)
{
	const unsigned char *b = p;
	printf("%s ", name);
	for (size_t i = 0; i < n; i++)
		printf("%02x", b[i]);
	printf("\n");
}

int main(void)
{
	begin();
	unsigned char a[16], b[16], c[300];
	CHECK(getrandom(a, sizeof a, 0) == 16 && getrandom(b, sizeof b, GRND_NONBLOCK) == 16);
	CHECK(memcmp(a, b, 16) != 0);
	show("getrandom", a, 16);
	CHECK(getrandom(c, sizeof c, GRND_RANDOM) == 300);
	CHECK(getrandom(c, 0, 0) == 0);
	CHECK(getentropy(a, 16) == 0);
	show("getentropy", a, 16);
	void *at = (void *)getauxval(AT_RANDOM);
	CHECK(at != NULL);
	show("AT_RANDOM", at, 16);
	static const char *const files[] = {"/dev/urandom", "/dev/random", "/proc/sys/kernel/random/uuid"};
	for (int i = 0; i < 3; i++) {
		CHECK(get_file(files[i], b, 16) == 16);
		show(files[i], b, 16);
	}
	/* A child has the parent's AT_RANDOM, and other bytes of its own. */
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(getrandom(a, 16, 0) == 16);
		show("child", a, 16);
		_exit(0);
	}
	reap_exit(child, 0);
	CHECK(getauxval(AT_PAGESZ) == PAGE && getauxval(AT_SECURE) == 0 && getauxval(AT_UID) == getuid());
	CHECK(strcmp((char *)getauxval(AT_PLATFORM), MACHINE) == 0);
	CHECK(getauxval(AT_CLKTCK) == (unsigned long)sysconf(_SC_CLK_TCK));
	return 0;
}
