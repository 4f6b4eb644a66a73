/* System V objects, message queues and the newer futexes. */
#include "sys.h"
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef SYS_futex_wake
#define SYS_futex_wake 454
#define SYS_futex_wait 455
#define SYS_futex_requeue 456
#endif

struct waiter { uint64_t value, address; uint32_t flags, reserved; };

int main(void)
{
	begin();
	char buf[256] = {0};
	int shm = (int)CALL(shmget, IPC_PRIVATE, 4096, IPC_CREAT | 0600);
	CALL(shmget, IPC_PRIVATE, 0, IPC_CREAT | 0600);
	long at = CALL(shmat, shm, NULL, 0);
	CALL(shmat, -1, NULL, 0);
	VALUE(shmctl, shm, IPC_RMID, NULL);
	VALUE(shmctl, -1, IPC_RMID, NULL);
	VALUE(shmdt, at);
	VALUE(shmdt, at);
	int sem = (int)CALL(semget, IPC_PRIVATE, 1, IPC_CREAT | 0600);
	CALL(semget, IPC_PRIVATE, -1, IPC_CREAT | 0600);
	struct sembuf up = {0, 1, 0}, down = {0, -1, IPC_NOWAIT};
	struct timespec none = {0, 0};
	VALUE(semop, sem, &up, 1);
	VALUE(semop, sem, &up, 0);
	VALUE(semtimedop, sem, &down, 1, &none);
	VALUE(semtimedop, sem, &down, 1, &none);
	VALUE(semctl, sem, 0, IPC_RMID);
	VALUE(semctl, sem, 0, IPC_RMID);
	struct { long type; char text[8]; } msg = {1, "hello"};
	int q = (int)CALL(msgget, IPC_PRIVATE, IPC_CREAT | 0600);
	CALL(msgget, 0x7654321, 0);
	VALUE(msgsnd, q, &msg, 5L, 0);
	VALUE(msgsnd, q, &msg, -1L, 0);
	VALUE(msgrcv, q, &msg, 8L, 0L, IPC_NOWAIT);
	VALUE(msgrcv, q, &msg, 8L, 0L, IPC_NOWAIT);
	VALUE(msgctl, q, IPC_RMID, NULL);
	VALUE(msgctl, q, IPC_RMID, NULL);

	long name[2] = {0};
	snprintf((char *)name, sizeof name, "mv%d", (int)getpid());
	struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 16};
	int mq = (int)CALL(mq_open, name, O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attr);
	CALL(mq_open, "none/such", O_RDWR, 0, NULL);
	VALUE(mq_timedsend, mq, "hi", 2L, 1, NULL);
	VALUE(mq_timedsend, mq, buf, 100L, 1, NULL);
	VALUE(mq_timedreceive, mq, buf, sizeof buf, NULL, NULL);
	VALUE(mq_timedreceive, mq, buf, sizeof buf, NULL, NULL);
	struct sigevent ev = {.sigev_notify = SIGEV_NONE};
	VALUE(mq_notify, mq, &ev);
	VALUE(mq_notify, mq, &ev);
	VALUE(mq_getsetattr, mq, NULL, &attr);
	VALUE(mq_getsetattr, -1, NULL, &attr);
	VALUE(mq_unlink, name);
	VALUE(mq_unlink, name);

	/* Waits of one thread alone end with the word or the time. */
	unsigned word = 1;
	struct waiter w[2] = {{1, (uintptr_t)&word, 0x82, 0}, {1, (uintptr_t)&word, 0x82, 0}};
	VALUE(futex_wake, &word, 0xffffffffL, 1, 0x82);
	VALUE(futex_wake, &word, 0xffffffffL, 1, 99);
	VALUE(futex_wait, &word, 0L, 0xffffffffL, 0x82, NULL, 0);
	w[1].value = 2;
	VALUE(futex_waitv, w + 1, 1, 0, NULL, 0);
	VALUE(futex_waitv, w, 1, 99, NULL, 0);
	w[1].value = 1;
	VALUE(futex_requeue, w, 0, 1, 1);
	VALUE(futex_requeue, w, 99, 1, 1);
	return 0;
}
