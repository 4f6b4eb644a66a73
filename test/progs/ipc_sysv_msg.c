/* System V message queues: types, sizes, flags, waits, commands. */
#include "check.h"
#include <pthread.h>
#include <sys/ipc.h>
#include <sys/msg.h>

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif
#ifndef MSG_EXCEPT
#define MSG_EXCEPT 020000
#endif
#ifndef MSG_STAT
#define MSG_STAT 11
#define MSG_INFO 12
#endif
#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif

/* musl has it under another name, and glibc hides it from some. */
struct limits {
	int pool, map, max, mnb, mni, ssz, tql;
	unsigned short seg;
};

struct message {
	long type;
	char text[8192];
};

static int put(int id, long type, const char *text, int flags)
{
	struct message m;
	m.type = type;
	strcpy(m.text, text);
	return msgsnd(id, &m, strlen(text), flags);
}

/* Takes a message and says what it was. */
static const char *take(int id, size_t room, long type, int flags)
{
	static char line[256];
	struct message m;
	memset(&m, 'z', sizeof m);
	ssize_t n = msgrcv(id, &m, room, type, flags | IPC_NOWAIT);
	if (n < 0)
		return errno == ENOMSG ? "ENOMSG" : errname(errno);
	CHECK((size_t)n <= room && m.text[n] == 'z');
	snprintf(line, sizeof line, "%ld:%.*s", m.type, (int)n, m.text);
	return line;
}

static void selections(void)
{
	int id = msgget(IPC_PRIVATE, 0600);
	CHECK(id >= 0);
	CHECK(put(id, 3, "three", 0) == 0 && put(id, 1, "one", 0) == 0 && put(id, 2, "two", 0) == 0 && put(id, 9, "", 0) == 0);
	printf("type 2: %s\n", take(id, 100, 2, 0));
	printf("lowest up to 3: %s\n", take(id, 100, -3, 0));
	printf("but 3: %s\n", take(id, 100, 3, MSG_EXCEPT));
	printf("too little room: %s\n", take(id, 2, 0, 0));
	printf("cut: %s\n", take(id, 2, 0, MSG_NOERROR));
	printf("none: %s\n", take(id, 2, 0, 0));
	CHECK(put(id, 4, "four", 0) == 0 && put(id, 5, "five", 0) == 0);
	/* A copy, by place: not every kernel can. */
	const char *copy = take(id, 100, 1, MSG_COPY);
	CHECK(strcmp(copy, "5:five") == 0 || strcmp(copy, "ENOSYS") == 0);
	printf("first: %s\n", take(id, 100, 0, 0));
	printf("second: %s\n", take(id, 100, 0, 0));
	CHECK(msgctl(id, IPC_RMID, NULL) == 0);
	ok("selections");
}

static void commands(void)
{
	key_t key = ftok(".", 'm');
	CHECK(key != -1);
	int id = msgget(key, IPC_CREAT | IPC_EXCL | 0600);
	CHECK(id >= 0 && msgget(key, 0600) == id);
	CHECK_ERR(msgget(key, IPC_CREAT | IPC_EXCL), EEXIST);
	CHECK(put(id, 7, "a message", 0) == 0);
	struct msqid_ds ds;
	memset(&ds, 0, sizeof ds);
	CHECK(msgctl(id, IPC_STAT, &ds) == 0);
	CHECK(ds.msg_qnum == 1 && ds.msg_lspid == getpid() && ds.msg_lrpid == 0 && (ds.msg_perm.mode & 0777) == 0600);
	ds.msg_qbytes = 100;
	ds.msg_perm.mode = 0620;
	CHECK(msgctl(id, IPC_SET, &ds) == 0);
	memset(&ds, 0, sizeof ds);
	CHECK(msgctl(id, IPC_STAT, &ds) == 0 && ds.msg_qbytes == 100 && (ds.msg_perm.mode & 0777) == 0620);
	struct limits info;
	int top = msgctl(0, IPC_INFO, (struct msqid_ds *)(void *)&info);
	CHECK(top >= 0 && info.max > 0 && info.mni > 0);
	CHECK(msgctl(0, MSG_INFO, (struct msqid_ds *)(void *)&info) >= 0 && info.pool >= 1);
	int seen = 0;
	for (int i = 0; i <= top; i++)
		seen += msgctl(i, MSG_STAT, &ds) == id && msgctl(i, MSG_STAT_ANY, &ds) == id && ds.msg_qnum == 1;
	CHECK(seen == 1);

	struct message m = {1, ""};
	CHECK_ERR(msgctl(id, 999, NULL), EINVAL);
	CHECK_ERR(msgctl(id, IPC_STAT, bad_address), EFAULT);
	CHECK_ERR(msgctl(id, IPC_SET, bad_address), EFAULT);
	CHECK_ERR(msgsnd(id, &m, 100, IPC_NOWAIT), EAGAIN);
	CHECK_ERR(msgsnd(id, bad_address, 1, 0), EFAULT);
	CHECK_ERR(msgsnd(-1, &m, 1, 0), EINVAL);
	/* What is behind m are addresses. */
	CHECK_ERR(msgsnd(id, &m, (size_t)info.max + 100000, 0), EINVAL);
	CHECK_ERR(msgsnd(id, &m, (size_t)1 << 40, 0), EINVAL);
	CHECK_ERR(msgsnd(id, &m, (size_t)-1, 0), EINVAL);
	CHECK_ERR(msgsnd(id, bad_address, (size_t)-1, 0), EFAULT);
	m.type = 0;
	CHECK_ERR(msgsnd(id, &m, 1, 0), EINVAL);
	CHECK_ERR(msgrcv(id, &m, (size_t)-1, 0, 0), EINVAL);
	CHECK_ERR(msgrcv(id, &m, 10, 3, MSG_COPY), EINVAL);
	/* A message that cannot be delivered is gone. */
	CHECK_ERR(msgrcv(id, bad_address, 100, 0, 0), EFAULT);
	CHECK(msgctl(id, IPC_RMID, NULL) == 0);
	CHECK_ERR(msgrcv(id, &m, 10, 0, IPC_NOWAIT), EINVAL);
	ok("commands");
}

static void processes(void)
{
	int id = msgget(IPC_PRIVATE, 0600);
	CHECK(id >= 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		static struct message m;
		uint64_t sum = 0;
		for (;;) {
			ssize_t n = msgrcv(id, &m, sizeof m.text, -99, 0);
			CHECK(n >= 0);
			if (m.type == 99)
				break;
			sum = sum * 31 + checksum(m.text, (size_t)n) + (uint64_t)m.type;
		}
		m.type = 1000;
		memcpy(m.text, &sum, sizeof sum);
		CHECK(msgsnd(id, &m, sizeof sum, 0) == 0);
		_exit(0);
	}
	/* More than fits: the sender waits for the receiver. */
	static struct message m;
	uint64_t sum = 0;
	for (int i = 0; i < 60; i++) {
		size_t n = (size_t)(i * 137) % sizeof m.text;
		fill(m.text, n, (unsigned)i);
		m.type = 50;
		sum = sum * 31 + checksum(m.text, n) + 50;
		CHECK(msgsnd(id, &m, n, 0) == 0);
	}
	m.type = 99;
	CHECK(msgsnd(id, &m, 0, 0) == 0);
	CHECK(msgrcv(id, &m, sizeof m.text, 1000, 0) == sizeof sum && memcmp(m.text, &sum, sizeof sum) == 0);
	struct msqid_ds ds;
	CHECK(msgctl(id, IPC_STAT, &ds) == 0 && ds.msg_lspid == child && ds.msg_lrpid == getpid());
	reap_exit(child, 0);
	ok("a stream");

	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK_ERR(msgrcv(id, &m, 10, 0, 0), EIDRM);
		_exit(0);
	}
	wait_until_blocked(child);
	CHECK(msgctl(id, IPC_RMID, NULL) == 0);
	reap_exit(child, 0);
	ok("removed");
}

static void *echo(void *arg)
{
	int id = *(int *)arg;
	struct message m;
	for (;;) {
		ssize_t n = msgrcv(id, &m, sizeof m.text, 1, 0);
		CHECK(n >= 0);
		m.type = 2;
		CHECK(msgsnd(id, &m, (size_t)n, 0) == 0);
		if (n == 0)
			return NULL;
	}
}

static void threads(void)
{
	int id = msgget(IPC_PRIVATE, 0600);
	CHECK(id >= 0);
	pthread_t t;
	CHECK(pthread_create(&t, NULL, echo, &id) == 0);
	struct message m;
	for (int i = 100; i >= 0; i--) {
		m.type = 1;
		fill(m.text, (size_t)i, 3);
		CHECK(msgsnd(id, &m, (size_t)i, 0) == 0);
		memset(m.text, 0, sizeof m.text);
		CHECK(msgrcv(id, &m, sizeof m.text, 2, 0) == i);
		char want[128];
		fill(want, (size_t)i, 3);
		CHECK(memcmp(want, m.text, (size_t)i) == 0);
	}
	CHECK(pthread_join(t, NULL) == 0);
	CHECK(msgctl(id, IPC_RMID, NULL) == 0);
	ok("threads");
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	selections();
	commands();
	processes();
	threads();
	return 0;
}
