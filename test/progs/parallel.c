/*
 * Threads that make the same calls whatever the order in which they meet: at mutexes,
 * conditions, barriers and semaphores, in loops that let others run, and with signals that
 * come to them while they wait there. Each has a part of a file and memory of its own.
 */
#include "threads.h"
#include <sched.h>
#include <semaphore.h>

enum { THREADS = 4, ROUNDS = 40, PART = 64, SIGNALS = 10 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t ring[THREADS];
static pthread_t self[THREADS];
static volatile int handled[THREADS];
static int turn, total, file;
static _Thread_local int number;

static void handler(int sig)
{
	CHECK(sig == SIGUSR1 && getppid() > 0);
	handled[number]++;
}

static void put(int round)
{
	char part[PART];
	fill(part, sizeof part, (unsigned)(number * ROUNDS + round));
	CHECK(pwrite(file, part, PART, (number * ROUNDS + round) * PART) == PART);
}

static void *work(void *arg)
{
	number = (int)(long)arg;
	self[number] = pthread_self();
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < ROUNDS; i++) {
		CHECK(pthread_mutex_lock(&mutex) == 0);
		total += i;
		if (i % 8 == 0)
			sched_yield();
		CHECK(pthread_mutex_unlock(&mutex) == 0);
		put(i);
		if (i % 10 == number) {
			char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			CHECK(p != MAP_FAILED && p[PAGE] == 0);
			p[PAGE] = (char)i;
			CHECK(mprotect(p, PAGE, PROT_READ) == 0 && munmap(p, 4 * PAGE) == 0);
		}
	}
	/* One after the other, by a condition. */
	for (int i = 0; i < ROUNDS / 4; i++) {
		CHECK(pthread_mutex_lock(&mutex) == 0);
		while (turn % THREADS != number)
			CHECK(pthread_cond_wait(&turned, &mutex) == 0);
		turn++;
		CHECK(pthread_cond_broadcast(&turned) == 0);
		CHECK(pthread_mutex_unlock(&mutex) == 0);
	}
	/* In a ring, while signals come, which a wait without a limit is restarted for or not. */
	for (int i = 0; i < ROUNDS; i++) {
		while (sem_wait(&ring[number]) == -1)
			CHECK(errno == EINTR);
		if (i % 4 == 0 && i / 4 < SIGNALS)
			CHECK(pthread_kill(self[(number + 1) % THREADS], SIGUSR1) == 0);
		CHECK(sem_post(&ring[(number + 1) % THREADS]) == 0);
	}
	/* With a limit of time. */
	struct timespec limit = {time(NULL) + 1000, 0};
	CHECK(pthread_mutex_lock(&mutex) == 0);
	while (handled[number] < SIGNALS) {
		CHECK(pthread_mutex_unlock(&mutex) == 0);
		sched_yield();
		CHECK(pthread_mutex_timedlock(&mutex, &limit) == 0);
	}
	CHECK(pthread_mutex_unlock(&mutex) == 0);
	pthread_barrier_wait(&barrier);
	return NULL;
}

/* Waits for ever, and is gone with the process. */
static void *wait_for_ever(void *arg)
{
	for (;;)
		CHECK(sem_wait(arg) == -1);
	return NULL;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	struct sigaction a = {.sa_handler = handler, .sa_flags = argc > 2 ? SA_RESTART : 0};
	CHECK(sigaction(SIGUSR1, &a, NULL) == 0);
	file = open("parts", O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(file >= 0);
	CHECK(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(sem_init(&ring[i], 0, i == 0) == 0);
	run_threads(THREADS, work);
	static char all[THREADS * ROUNDS * PART];
	CHECK(pread(file, all, sizeof all, 0) == sizeof all);
	printf("total %d turns %d file %llx\n", total, turn, (unsigned long long)checksum(all, sizeof all));
	for (int i = 0; i < THREADS; i++)
		CHECK(handled[i] == SIGNALS);
	static sem_t never;
	CHECK(sem_init(&never, 0, 0) == 0);
	pthread_t t;
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&t, NULL, wait_for_ever, &never) == 0);
	ok("parallel");
	return 0;
}
