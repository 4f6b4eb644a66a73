/* System V semaphores: every command, waits of processes and threads, undoing. */
#include "check.h"
#include <pthread.h>
#include <sys/ipc.h>
#include <sys/sem.h>

#ifndef SEM_STAT_ANY
#define SEM_STAT_ANY 20
#endif

union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
	struct seminfo *info;
	void *any;
};

static int change(int id, int num, int by, int flags)
{
	struct sembuf op = {(unsigned short)num, (short)by, (short)flags};
	return semop(id, &op, 1);
}

static int get(int id, int num)
{
	return semctl(id, num, GETVAL);
}

static void commands(void)
{
	enum { SETS = 7 };
	int id = semget(IPC_PRIVATE, SETS, IPC_CREAT | 0600);
	CHECK(id >= 0);
	unsigned short in[SETS] = {1, 2, 3, 4, 5, 6, 7}, out[SETS + 2];
	CHECK(semctl(id, 0, SETALL, (union semun){.array = in}) == 0);
	memset(out, 0x55, sizeof out);
	CHECK(semctl(id, 0, GETALL, (union semun){.array = out}) == 0);
	CHECK(memcmp(in, out, sizeof in) == 0 && out[SETS] == 0x5555 && out[SETS + 1] == 0x5555);
	CHECK(semctl(id, 3, SETVAL, (union semun){.val = 300}) == 0 && get(id, 3) == 300);
	CHECK(semctl(id, 3, GETPID) == getpid() && semctl(id, 4, GETNCNT) == 0 && semctl(id, 4, GETZCNT) == 0);

	struct semid_ds ds;
	memset(&ds, 0, sizeof ds);
	CHECK(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}) == 0);
	CHECK(ds.sem_nsems == SETS && (ds.sem_perm.mode & 0777) == 0600 && ds.sem_otime == 0 && ds.sem_ctime != 0);
	ds.sem_perm.mode = 0640;
	CHECK(semctl(id, 0, IPC_SET, (union semun){.buf = &ds}) == 0);
	memset(&ds, 0, sizeof ds);
	CHECK(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}) == 0 && (ds.sem_perm.mode & 0777) == 0640);

	struct seminfo info;
	int top = semctl(0, 0, IPC_INFO, (union semun){.info = &info});
	CHECK(top >= 0 && info.semmsl > 0 && info.semopm > 0 && info.semvmx == 32767);
	CHECK(semctl(0, 0, SEM_INFO, (union semun){.info = &info}) >= 0 && info.semusz >= 1);
	int seen = 0;
	for (int i = 0; i <= top; i++) {
		int stat = semctl(i, 0, SEM_STAT, (union semun){.buf = &ds});
		int any = semctl(i, 0, SEM_STAT_ANY, (union semun){.buf = &ds});
		seen += stat == id && any == id && ds.sem_nsems == SETS;
	}
	CHECK(seen == 1);
	ok("commands");

	CHECK_ERR(semctl(id, SETS, GETVAL), EINVAL);
	CHECK_ERR(semctl(id, 0, SETVAL, (union semun){.val = 40000}), ERANGE);
	CHECK_ERR(semctl(id, 0, 999), EINVAL);
	CHECK_ERR(semctl(id, 0, GETALL, (union semun){.any = bad_address}), EFAULT);
	CHECK_ERR(semctl(id, 0, SETALL, (union semun){.any = bad_address}), EFAULT);
	CHECK_ERR(semctl(id, 0, IPC_STAT, (union semun){.any = bad_address}), EFAULT);
	CHECK_ERR(semctl(id, 0, IPC_SET, (union semun){.any = bad_address}), EFAULT);
	CHECK_ERR(semctl(-1, 0, GETALL, (union semun){.array = out}), EINVAL);
	in[2] = 40000;
	CHECK_ERR(semctl(id, 0, SETALL, (union semun){.array = in}), ERANGE);
	/* An array that ends where memory does: not a byte more is looked at. */
	unsigned short *edge = (unsigned short *)(void *)at_page_end(2 * SETS);
	CHECK(semctl(id, 0, GETALL, (union semun){.array = edge}) == 0 && edge[3] == 300);
	CHECK(semctl(id, 0, SETALL, (union semun){.array = edge}) == 0);
	CHECK_ERR(semctl(id, 0, SETALL, (union semun){.array = edge + 1}), EFAULT);

	struct sembuf op = {0, 1, 0};
	CHECK_ERR(semop(id, &op, 0), EINVAL);
	/* What is behind op are addresses. */
	CHECK_ERR(semop(id, &op, 100000), E2BIG);
	CHECK_ERR(semop(id, &op, (size_t)1 << 31), E2BIG);
	CHECK_ERR(semop(id, bad_address, 1), EFAULT);
	CHECK_ERR(semop(-1, &op, 1), EINVAL);
	CHECK_ERR(change(id, SETS, 1, 0), EFBIG);
	CHECK_ERR(change(id, 3, -301, IPC_NOWAIT), EAGAIN);
	CHECK_ERR(change(id, 3, 0, IPC_NOWAIT), EAGAIN);
	CHECK_ERR(change(id, 3, 32767, 0), ERANGE);
	struct timespec t = {0, 10000000}, wrong = {0, -1};
	op = (struct sembuf){0, -100, 0};
	CHECK_ERR(semtimedop(id, &op, 1, &t), EAGAIN);
	CHECK_ERR(semtimedop(id, &op, 1, &wrong), EINVAL);
	CHECK_ERR(semtimedop(id, &op, 1, bad_address), EFAULT);
	CHECK(semctl(id, 0, IPC_RMID) == 0);
	CHECK_ERR(semctl(id, 0, GETALL, (union semun){.array = out}), EINVAL);
	CHECK_ERR(semctl(id, 0, SETALL, (union semun){.array = in}), EINVAL);
	CHECK_ERR(semop(id, &op, 1), EINVAL);
	ok("errors");

	key_t key = ftok(".", 'k');
	CHECK(key != -1);
	id = semget(key, 2, IPC_CREAT | IPC_EXCL | 0600);
	CHECK(id >= 0 && semget(key, 2, 0) == id && semget(key, 0, 0600) == id);
	CHECK_ERR(semget(key, 2, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
	CHECK_ERR(semget(key, 3, 0600), EINVAL);
	CHECK_ERR(semget(key, -1, IPC_CREAT), EINVAL);
	CHECK(semctl(id, 0, IPC_RMID) == 0);
	CHECK_ERR(semget(key, 2, 0), ENOENT);
	ok("keys");
}

static void processes(void)
{
	int id = semget(IPC_PRIVATE, 3, 0600);
	CHECK(id >= 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		for (int i = 0; i < 100; i++) {
			CHECK(change(id, 0, -1, 0) == 0);
			CHECK(change(id, 1, 1, 0) == 0);
		}
		/* Undone when this process ends. */
		CHECK(change(id, 2, 5, SEM_UNDO) == 0 && get(id, 2) == 5);
		_exit(7);
	}
	for (int i = 0; i < 100; i++) {
		CHECK(change(id, 0, 1, 0) == 0);
		CHECK(change(id, 1, -1, 0) == 0);
	}
	reap_exit(child, 7);
	CHECK(get(id, 0) == 0 && get(id, 1) == 0 && get(id, 2) == 0);
	ok("ping-pong");

	/* Several at once: all or none, in one call. */
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		struct sembuf all[3] = {{0, -1, 0}, {1, -1, 0}, {2, 0, 0}};
		CHECK(semop(id, all, 3) == 0);
		_exit(semctl(id, 1, GETPID) == getpid() ? 0 : 1);
	}
	while (semctl(id, 0, GETNCNT) != 1)
		sleep_ms(1);
	CHECK(change(id, 0, 1, 0) == 0 && change(id, 1, 1, 0) == 0);
	reap_exit(child, 0);
	CHECK(get(id, 0) == 0 && get(id, 1) == 0);

	/* Waiting for zero. */
	CHECK(semctl(id, 0, SETVAL, (union semun){.val = 2}) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(change(id, 0, 0, 0) == 0);
		_exit(0);
	}
	while (semctl(id, 0, GETZCNT) != 1)
		sleep_ms(1);
	CHECK(change(id, 0, -1, 0) == 0 && semctl(id, 0, GETZCNT) == 1 && change(id, 0, -1, 0) == 0);
	reap_exit(child, 0);

	/* A set that goes away under those that wait. */
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK_ERR(change(id, 0, -1, 0), EIDRM);
		_exit(0);
	}
	while (semctl(id, 0, GETNCNT) != 1)
		sleep_ms(1);
	CHECK(semctl(id, 0, IPC_RMID) == 0);
	reap_exit(child, 0);
	ok("waits");
}

static volatile sig_atomic_t rang;

static void ring(int sig)
{
	UNUSED(sig);
	rang++;
}

static void interrupted(void)
{
	int id = semget(IPC_PRIVATE, 1, 0600);
	CHECK(id >= 0);
	struct sigaction sa = {.sa_handler = ring, .sa_flags = SA_RESTART};
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	pid_t parent = getpid(), child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		while (semctl(id, 0, GETNCNT) != 1)
			sleep_ms(1);
		CHECK(kill(parent, SIGUSR1) == 0);
		_exit(0);
	}
	/* It is not restarted, whatever the handler says. */
	CHECK_ERR(change(id, 0, -1, 0), EINTR);
	CHECK(rang == 1);
	reap_exit(child, 0);
	CHECK(semctl(id, 0, IPC_RMID) == 0);
	ok("interrupted");
}

enum { WORKERS = 4, ROUNDS = 100 };
static int shared_set, counter;

static void *work(void *arg)
{
	UNUSED(arg);
	for (int i = 0; i < ROUNDS; i++) {
		CHECK(change(shared_set, 0, -1, SEM_UNDO) == 0);
		counter++;
		CHECK(change(shared_set, 0, 1, SEM_UNDO) == 0);
	}
	/* Threads have what is to be undone in common. */
	CHECK(change(shared_set, 1, 1, SEM_UNDO) == 0);
	return NULL;
}

static void threads(void)
{
	shared_set = semget(IPC_PRIVATE, 2, 0600);
	CHECK(shared_set >= 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(change(shared_set, 0, 1, 0) == 0);
		pthread_t t[WORKERS];
		for (int i = 0; i < WORKERS; i++)
			CHECK(pthread_create(&t[i], NULL, work, NULL) == 0);
		for (int i = 0; i < WORKERS; i++)
			CHECK(pthread_join(t[i], NULL) == 0);
		CHECK(counter == WORKERS * ROUNDS && get(shared_set, 0) == 1 && get(shared_set, 1) == WORKERS);
		_exit(0);
	}
	reap_exit(child, 0);
	CHECK(get(shared_set, 0) == 1 && get(shared_set, 1) == 0);
	CHECK(semctl(shared_set, 0, IPC_RMID) == 0);
	ok("threads");
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	commands();
	processes();
	interrupted();
	threads();
	return 0;
}
