/*
 * Two builds of one program that differ in what rules may allow: the one with
 * -DDIFFERS=1 writes another stamp and asks for ids and the like between other
 * calls, in two threads that share a number. Code and layout are the same in
 * both.
 *
 * usage: builds DIRECTORY
 */
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <sys/utsname.h>

#ifndef DIFFERS
#define DIFFERS 0
#endif

static const volatile int differs = DIFFERS;

enum { ROUNDS = 50 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned shared = 1;
static int out;

/* What only one build does. */
static void extra(long pid)
{
	struct utsname u;
	if (!differs)
		return;
	CHECK(syscall(SYS_getpid) == pid);
	CHECK(uname(&u) == 0 && strcmp(u.sysname, "Linux") == 0);
}

static void *work(void *factor)
{
	long pid = getpid();
	for (int i = 0; i < ROUNDS; i++) {
		extra(pid);
		CHECK(pthread_mutex_lock(&lock) == 0);
		shared = shared * (unsigned)(uintptr_t)factor + 1;
		CHECK(dprintf(out, "%u\n", shared) > 0);
		CHECK(pthread_mutex_unlock(&lock) == 0);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	int log = open("log", O_WRONLY | O_CREAT | O_TRUNC, 0644);
	out = open("numbers", O_WRONLY | O_CREAT | O_TRUNC, 0644);
	CHECK(log >= 0 && out >= 0);
	CHECK(dprintf(log, "build %c starts\n", differs ? 'B' : 'A') > 0);
	pthread_t t;
	CHECK(pthread_create(&t, NULL, work, (void *)3) == 0);
	work((void *)5);
	CHECK(pthread_join(t, NULL) == 0);
	puts("done");
	return 0;
}
