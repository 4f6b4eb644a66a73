/*
 * A name of which there is no file, asked for often, that is one of the process's memory with
 * another root. A thread reads what it can by descriptors that it guesses.
 */
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

enum { OFTEN = 400, ROUNDS = 3000 };

static volatile int over, found;
static unsigned long *secret;

static void *guesses(void *unused)
{
	while (!over) {
		unsigned long word = 0;
		if (pread(3, &word, sizeof word, (off_t)(uintptr_t)secret) == sizeof word && word == *secret)
			found = 1;
	}
	return unused;
}

int main(void)
{
	char name[64];
	pthread_t t;
	int opened = 0;
	snprintf(name, sizeof name, "/%d/mem", getpid());
	secret = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(secret != MAP_FAILED);
	*secret = 0x5ec2e75ec2e75ec2;
	CHECK(pthread_create(&t, NULL, guesses, NULL) == 0);
	for (int i = 0; i < OFTEN; i++)
		CHECK(open(name, O_RDONLY) == -1 && errno == ENOENT);
	CHECK(chroot("/proc") == 0);
	for (int i = 0; i < ROUNDS; i++)
		opened += open(name, O_RDONLY) >= 0;
	over = 1;
	CHECK(pthread_join(t, NULL) == 0);
	printf("opened %d read %d\n", opened, found);
	return 0;
}
