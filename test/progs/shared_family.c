/*
 * Memory that processes share: inherited, of files that they map at any time, System V
 * segments. They race for it as badly as they can; what comes of it is the same in all
 * variants, and what locks protect is right.
 */
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/ipc.h>
#include <sys/shm.h>

enum { WORKERS = 3, TURNS = 60 };

struct shared {
	volatile unsigned long raced, counted, locked;
	int ended;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	sem_t sem;
};

static char dir[PATH_MAX];

static pid_t child(void (*start)(int, void *), int n, void *arg)
{
	fflush(stdout);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		start(n, arg);
		_exit(10 + n);
	}
	return pid;
}

static void family(void (*start)(int, void *), void *arg)
{
	pid_t pid[WORKERS];
	for (int n = 0; n < WORKERS; n++)
		pid[n] = child(start, n, arg);
	for (int n = 0; n < WORKERS; n++) {
		int status;
		CHECK(waitpid(pid[n], &status, 0) == pid[n]);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 10 + n);
	}
}

static void race(int n, void *arg)
{
	struct shared *s = arg;
	for (int i = 0; i < TURNS; i++) {
		s->raced = s->raced * 7 + (unsigned long)n + 1;
		/* What it has come to is compared here. */
		CHECK(lseek(-1, (off_t)(s->raced >> 1), SEEK_SET) == -1);
		if (i % 8 == n)
			CHECK(usleep(50) == 0);
		__atomic_add_fetch(&s->counted, 1, __ATOMIC_SEQ_CST);
	}
}

static void set_up(struct shared *s)
{
	pthread_mutexattr_t m;
	pthread_condattr_t c;
	CHECK(pthread_mutexattr_init(&m) == 0 && pthread_condattr_init(&c) == 0);
	CHECK(pthread_mutexattr_setpshared(&m, PTHREAD_PROCESS_SHARED) == 0);
	CHECK(pthread_mutexattr_setrobust(&m, PTHREAD_MUTEX_ROBUST) == 0);
	CHECK(pthread_condattr_setpshared(&c, PTHREAD_PROCESS_SHARED) == 0);
	CHECK(pthread_mutex_init(&s->mutex, &m) == 0 && pthread_cond_init(&s->changed, &c) == 0);
	CHECK(sem_init(&s->sem, 1, 1) == 0);
}

static void lock(int n, void *arg)
{
	struct shared *s = arg;
	for (int i = 0; i < TURNS; i++) {
		CHECK(pthread_mutex_lock(&s->mutex) == 0);
		unsigned long was = s->locked;
		if (i % 16 == n)
			CHECK(usleep(20) == 0);
		s->locked = was + 1;
		CHECK(pthread_mutex_unlock(&s->mutex) == 0);
		CHECK(sem_wait(&s->sem) == 0);
		s->counted++;
		CHECK(sem_post(&s->sem) == 0);
	}
	CHECK(pthread_mutex_lock(&s->mutex) == 0);
	s->ended++;
	CHECK(pthread_cond_broadcast(&s->changed) == 0);
	while (s->ended < WORKERS)
		CHECK(pthread_cond_wait(&s->changed, &s->mutex) == 0);
	CHECK(pthread_mutex_unlock(&s->mutex) == 0);
}

static struct shared *anonymous(void)
{
	struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(s != MAP_FAILED);
	return s;
}

/* Each maps the file, which is no memory of its parent's. */
static void race_in_file(int n, void *arg)
{
	UNUSED(arg);
	int fd = open(dir, O_RDWR);
	CHECK(fd >= 0);
	struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(s != MAP_FAILED && close(fd) == 0);
	race(n, s);
	CHECK(munmap(s, sizeof *s) == 0);
}

/* One that may only read sees what the others write. */
static void watch(int n, void *arg)
{
	int fd = open(dir, O_RDONLY);
	CHECK(fd >= 0);
	const struct shared *s = mmap(NULL, sizeof *s, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(s != MAP_FAILED && close(fd) == 0);
	while (s->counted < TURNS)
		CHECK(lseek(-1, (off_t)(s->raced >> 1), SEEK_SET) == -1 && usleep(20) == 0);
	UNUSED(arg);
	UNUSED(n);
}

static void in_file(const char *where, const char *name)
{
	struct shared none = {.raced = 1};
	CHECK(snprintf(dir, sizeof dir, "%s/shared_family.%d", where, getpid()) < (int)sizeof dir);
	int fd = open(dir, O_RDWR | O_CREAT | O_EXCL, 0600);
	CHECK(fd >= 0 && write(fd, &none, sizeof none) == sizeof none);
	pid_t watcher = child(watch, 9, NULL);
	family(race_in_file, NULL);
	int status;
	CHECK(waitpid(watcher, &status, 0) == watcher && WIFEXITED(status) && WEXITSTATUS(status) == 19);
	struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(s != MAP_FAILED && s->raced != 1 && s->counted == WORKERS * TURNS);
	CHECK(munmap(s, sizeof *s) == 0 && close(fd) == 0 && unlink(dir) == 0);
	printf("%s\n", name);
}

static int segment;

static void race_in_segment(int n, void *arg)
{
	struct shared *s = shmat(segment, NULL, 0);
	UNUSED(arg);
	CHECK(s != (void *)-1);
	race(n, s);
	CHECK(shmdt(s) == 0);
	errno = 0;
	CHECK(shmdt(s) == -1 && errno == EINVAL);
}

/* Two attachments that may lie side by side are two, and one is one whatever its parts. */
static void side_by_side(void)
{
	int id = shmget(IPC_PRIVATE, 4 * PAGE, IPC_CREAT | 0600);
	CHECK(id >= 0);
	volatile char *a = shmat(id, NULL, 0), *b = shmat(id, NULL, 0);
	CHECK(a != (void *)-1 && b != (void *)-1);
	a[0] = 7;
	CHECK(b[0] == 7 && mprotect((void *)(a + PAGE), PAGE, PROT_READ) == 0);
	CHECK(shmdt((void *)a) == 0 && b[0] == 7 && shmdt((void *)b) == 0);
	errno = 0;
	CHECK(shmdt((void *)a) == -1 && errno == EINVAL);
	CHECK(shmctl(id, IPC_RMID, NULL) == 0);
}

static void system_v(void)
{
	segment = shmget(IPC_PRIVATE, sizeof(struct shared) + PAGE, IPC_CREAT | 0600);
	CHECK(segment >= 0);
	family(race_in_segment, NULL);
	struct shmid_ds d;
	CHECK(shmctl(segment, IPC_STAT, &d) == 0);
	CHECK(d.shm_segsz == sizeof(struct shared) + PAGE && d.shm_nattch == 0 && d.shm_cpid == getpid());
	/* It keeps what is in it while nobody has it. */
	struct shared *s = shmat(segment, NULL, SHM_RDONLY);
	CHECK(s != (void *)-1 && s->counted == WORKERS * TURNS && s->raced != 0);
	CHECK(shmctl(segment, IPC_RMID, NULL) == 0);
	unsigned long was = s->raced;
	/* Another place, of the program's choice, while it has it still. */
	char *at = mmap(NULL, 16 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(at != MAP_FAILED);
	errno = 0;
	CHECK(shmat(segment, at, 0) == (void *)-1 && errno == EINVAL);
	struct shared *other = shmat(segment, at + 100, SHM_RND | SHM_REMAP);
	CHECK((void *)other == (void *)at && other->raced == was);
	other->raced = 5;
	CHECK(s->raced == 5 && shmdt(other) == 0 && shmdt(s) == 0);
	errno = 0;
	CHECK(shmat(segment, NULL, 0) == (void *)-1 && errno == EINVAL);
	side_by_side();
	errno = 0;
	CHECK(shmat(-1, NULL, 0) == (void *)-1 && errno == EINVAL);
	puts("System V segment");
}

/* Takes the mutex and is killed with it. */
static void die_with(int n, void *arg)
{
	struct shared *s = arg;
	UNUSED(n);
	CHECK(pthread_mutex_lock(&s->mutex) == 0);
	s->ended = 1;
	for (;;)
		pause();
}

static void owner_dies(void)
{
	struct shared *s = anonymous();
	set_up(s);
	pid_t pid = child(die_with, 0, s);
	int status;
	while (!*(volatile int *)&s->ended)
		CHECK(usleep(100) == 0);
	CHECK(pthread_mutex_trylock(&s->mutex) == EBUSY);
	CHECK(kill(pid, SIGKILL) == 0);
	CHECK(pthread_mutex_lock(&s->mutex) == EOWNERDEAD);
	CHECK(pthread_mutex_consistent(&s->mutex) == 0 && pthread_mutex_unlock(&s->mutex) == 0);
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	puts("the owner of a mutex is killed");
}

/* Threads of several processes at once. */
static void *locking_thread(void *arg)
{
	struct shared *s = arg;
	for (int i = 0; i < TURNS; i++) {
		CHECK(pthread_mutex_lock(&s->mutex) == 0);
		s->locked++;
		CHECK(pthread_mutex_unlock(&s->mutex) == 0);
		s->raced = s->raced * 7 + 1;
	}
	return NULL;
}

static void threads(int n, void *arg)
{
	pthread_t t;
	UNUSED(n);
	CHECK(pthread_create(&t, NULL, locking_thread, arg) == 0);
	locking_thread(arg);
	CHECK(pthread_join(t, NULL) == 0);
}

/* A process in its parent's memory, which runs beside it. */
static int beside(void *arg)
{
	struct shared *s = arg;
	for (int i = 0; i < TURNS; i++) {
		s->raced = s->raced * 7 + 3;
		lseek(-1, (off_t)(s->raced >> 1), SEEK_SET);
		s->counted++;
	}
	return 21;
}

static void one_memory(void)
{
	static struct shared s;
	static char stack[WORKERS][16 * PAGE] __attribute__((aligned(64)));
	pid_t pid[WORKERS];
	for (int n = 0; n < WORKERS; n++) {
		pid[n] = clone(beside, stack[n] + sizeof stack[n], CLONE_VM | SIGCHLD, &s);
		CHECK(pid[n] > 0);
	}
	for (int n = 0; n < WORKERS; n++) {
		int status;
		CHECK(waitpid(pid[n], &status, 0) == pid[n] && WIFEXITED(status) && WEXITSTATUS(status) == 21);
	}
	CHECK(s.raced != 0 && s.counted <= WORKERS * TURNS);
	puts("processes in one memory");
}

static void *lazy(void *arg)
{
	usleep(1000);
	return arg;
}

static void *ends_all(void *arg)
{
	UNUSED(arg);
	_exit(3);
}

/* A process that ends while its threads are being created; others share memory with it. */
static void births(int n, void *arg)
{
	pthread_t t;
	UNUSED(arg);
	for (int i = 0; i < 20; i++) {
		int e = pthread_create(&t, NULL, i == 8 + n ? ends_all : lazy, NULL);
		if (e != 0)
			break;
	}
	for (;;)
		pause();
}

static void end_during_births(void)
{
	for (int i = 0; i < 12; i++) {
		int status;
		pid_t pid = child(births, i % 3, NULL);
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 3);
	}
	puts("processes end while they create threads");
}

int main(int argc, char **argv)
{
	CHECK(argc >= 2);
	struct shared *s = anonymous();
	family(race, s);
	CHECK(s->raced != 0 && s->counted == WORKERS * TURNS);
	puts("inherited memory");
	s = anonymous();
	set_up(s);
	family(lock, s);
	CHECK(s->locked == WORKERS * TURNS && s->counted == WORKERS * TURNS && s->ended == WORKERS);
	puts("locks");
	s = anonymous();
	set_up(s);
	family(threads, s);
	CHECK(s->locked == 2 * WORKERS * TURNS);
	puts("threads");
	in_file(argv[1], "file");
	in_file("/dev/shm", "POSIX shared memory");
	system_v();
	owner_dies();
	one_memory();
	end_during_births();
	return 0;
}
