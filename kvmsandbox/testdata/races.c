/* Threads that try to be faster than what the monitor does for another thread. */
#include "races.h"

/* A page that is executable now and then, and one that always is. phase is 4n+1 while
 * the first is, 4n+3 while it is not, and even in between. */
static char *code;
static volatile unsigned phase;

static int called(char *page)
{
	if (sigsetjmp(back, 1))
		return 0;
	((void (*)(void))(uintptr_t)page)();
	return 1;
}

static void *caller(void *unused)
{
	unsigned long there = 0, gone = 0;

	while (!over) {
		CHECK(called(code + PAGE));
		unsigned before = phase;
		int ran = called(code);
		unsigned after = phase;

		if (before != after || before % 2 == 0)
			continue;
		CHECK(ran == (before % 4 == 1));
		*(ran ? &there : &gone) += 1;
	}
	CHECK(there && gone);
	return unused;
}

static int exec_bit(void)
{
	pthread_t t;

	code = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(code != MAP_FAILED);
	code[0] = code[PAGE] = (char)0xc3; /* ret */
	CHECK(mprotect(code, 2 * PAGE, PROT_READ | PROT_EXEC) == 0);
	CHECK(pthread_create(&t, NULL, caller, NULL) == 0);
	for (int i = 0; i < 600; i++) {
		/* Both are entered anew, while the second call is on its way. */
		CHECK(mprotect(code, 2 * PAGE, PROT_READ | PROT_EXEC) == 0);
		phase++;
		if (i % 4 == 0)
			usleep(300);
		phase++;
		CHECK(mprotect(code, PAGE, PROT_READ | PROT_WRITE) == 0);
		phase++;
		usleep(300);
		phase++;
	}
	over = 1;
	CHECK(pthread_join(t, NULL) == 0);
	return 0;
}

static void *sleeper(void *unused)
{
	while (!over)
		usleep(1000);
	return unused;
}

/* What open answers when there are threads is what it always answers. */
static int opens(void)
{
	char name[200], text[2000];
	struct rlimit limit;
	struct stat st;
	pthread_t t;
	int fd, at, i, low[8];

	CHECK(pthread_create(&t, NULL, sleeper, NULL) == 0);
	path(name, "file");
	CHECK(open(name, O_RDONLY) == -1 && errno == ENOENT);
	CHECK((fd = open(name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0640)) == 3);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0640);
	CHECK(open(name, O_CREAT | O_EXCL | O_RDWR, 0640) == -1 && errno == EEXIST);
	CHECK(write(fd, "text", 4) == 4 && lseek(fd, 0, SEEK_CUR) == 4);
	CHECK((at = open(dir, O_PATH | O_DIRECTORY)) == 4 && fcntl(at, F_GETFD) == 0);
	CHECK((fd = openat(at, "file", O_RDONLY)) == 5 && fcntl(fd, F_GETFD) == 0);
	CHECK(read(fd, text, sizeof text) == 4 && memcmp(text, "text", 4) == 0);
	CHECK(close(3) == 0 && openat(at, "file", O_APPEND | O_WRONLY) == 3 && (fcntl(3, F_GETFL) & O_APPEND));
	CHECK(openat(77, "file", O_RDONLY) == -1 && errno == EBADF);
	CHECK(openat(fd, "file", O_RDONLY) == -1 && errno == ENOTDIR);
	CHECK(syscall(SYS_open, 8L, O_RDONLY) == -1 && errno == EFAULT);
	CHECK((fd = open("/proc/thread-self/comm", O_RDWR)) == 6 && write(fd, "me", 2) == 2 && close(fd) == 0);
	CHECK((fd = open("/proc/thread-self/fd/3", O_RDONLY)) == 6 && close(fd) == 0);
	CHECK((fd = open("/proc/self/maps", O_RDONLY)) == 6 && read(fd, text, sizeof text - 1) > 0);
	CHECK(close(6) == 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = 8;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	for (i = 6; i < 8; i++)
		CHECK((low[i] = open("/dev/null", O_RDONLY)) == i);
	path(name, "none");
	CHECK(open(name, O_CREAT | O_RDWR, 0600) == -1 && errno == EMFILE);
	CHECK(access(name, F_OK) == -1 && errno == ENOENT);
	over = 1;
	CHECK(pthread_join(t, NULL) == 0);
	return 0;
}

static volatile int interrupts;

static void interrupt(int sig)
{
	(void)sig;
	interrupts++;
}

static volatile int opening;

static void *fifo_reader(void *restart)
{
	char name[200], c;
	int fd;

	path(name, "fifo");
	opening = (int)syscall(SYS_gettid);
	fd = open(name, O_RDONLY);
	if (!restart) {
		CHECK(fd == -1 && errno == EINTR);
		return NULL;
	}
	CHECK(fd >= 0 && read(fd, &c, 1) == 1 && c == 'x' && close(fd) == 0);
	return NULL;
}

/* A call that waits for the other end of a pipe, for ever or until a signal. */
static int fifo(void)
{
	char name[200];
	pthread_t t;
	int fd;

	path(name, "fifo");
	CHECK(mkfifo(name, 0600) == 0);
	for (int restart = 0; restart < 2; restart++) {
		struct sigaction sa = {.sa_handler = interrupt, .sa_flags = restart ? SA_RESTART : 0};

		CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
		interrupts = opening = 0;
		CHECK(pthread_create(&t, NULL, fifo_reader, restart ? name : NULL) == 0);
		while (!opening)
			usleep(1000);
		usleep(20000);
		CHECK(pthread_kill(t, SIGUSR1) == 0);
		if (restart) {
			while (!interrupts)
				usleep(1000);
			usleep(20000);
			CHECK((fd = open(name, O_WRONLY)) >= 0 && write(fd, "x", 1) == 1);
		}
		CHECK(pthread_join(t, NULL) == 0 && interrupts == 1);
	}
	return 0;
}

static int exits_with_3(void *unused)
{
	(void)unused;
	_exit(3);
}

/* A process that ends, or executes, while one of its threads opens. */
static int ends(void)
{
	char name[200];
	int status;

	path(name, "fifo");
	CHECK(mkfifo(name, 0600) == 0);
	for (int how = 0; how < 3; how++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (pid == 0) {
			pthread_t t;

			CHECK(pthread_create(&t, NULL, fifo_reader, name) == 0);
			while (!opening)
				usleep(1000);
			usleep(10000);
			if (how == 0)
				exit(7);
			if (how == 1)
				raise(SIGKILL);
			execl("/proc/self/exe", "races", "status", dir, (char *)NULL);
		}
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK(how == 1 ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 7);
	}
	return 0;
}

/* Tables of descriptors that processes share: what belongs to those that end goes. */
static int tables(void)
{
	int status;

	for (int i = 0; i < 30; i++) {
		int fd;
		pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);

		CHECK(pid >= 0);
		if (pid == 0)
			_exit(open("/dev/null", O_RDONLY) == 3 ? 5 : 6);
		CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 5);
		CHECK((fd = open("/dev/zero", O_RDONLY)) == 4);
		CHECK(close(3) == 0 && close(4) == 0);
		syscall(SYS_lseek, -77, i, 1); /* for whoever counts descriptors */
	}
	return 0;
}

static void *opener(void *unused)
{
	for (;;)
		close(open("/dev/null", O_RDONLY));
	return unused;
}

/* An exec that ends threads in the middle of their opens, over and over. */
static int execs(void)
{
	const char *so_far = getenv("ROUND");
	int round = so_far ? atoi(so_far) : 0;
	char text[20];
	pthread_t t;

	if (round == 30)
		return 0;
	for (int i = 0; i < 3; i++)
		CHECK(pthread_create(&t, NULL, opener, NULL) == 0);
	usleep(2000);
	snprintf(text, sizeof text, "%d", round + 1);
	CHECK(setenv("ROUND", text, 1) == 0);
	execl("/proc/self/exe", "races", "execs", dir, (char *)NULL);
	CHECK(0);
	return 1;
}

/* A child that shares memory and descriptors takes nothing along when it ends. */
static int sharing(void)
{
	static char stack[65536];

	for (int i = 0; i < 5; i++) {
		int status;
		pid_t pid = clone(exits_with_3, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, NULL);

		CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3);
		CHECK((pid = fork()) >= 0);
		if (pid == 0)
			_exit(4);
		CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 4);
	}
	return 0;
}

/* The memory of whatever thread there is, of which some have numbers that nobody tells:
 * one opens a pipe meanwhile. */
static int memories(void)
{
	char name[200];
	pthread_t t;

	path(name, "fifo");
	CHECK(mkfifo(name, 0600) == 0);
	CHECK(pthread_create(&t, NULL, fifo_reader, name) == 0);
	while (!opening)
		usleep(1000);
	usleep(20000);
	for (int id = getpid() - 30; id < getpid() + 60; id++)
		for (int how = 0; how < 2; how++) {
			snprintf(name, sizeof name, "/proc/%d/mem", id);
			CHECK(open(name, how ? O_RDWR : O_RDONLY) == -1);
			snprintf(name, sizeof name, "/proc/self/task/%d/mem", id);
			CHECK(open(name, how ? O_RDWR : O_RDONLY) == -1);
		}
	path(name, "fifo");
	int fd = open(name, O_WRONLY);
	CHECK(fd >= 0 && write(fd, "x", 1) == 1 && pthread_join(t, NULL) == 0);
	return 0;
}

/* What is closed is closed: a lock that went with its file is free again. */
static int closed(void)
{
	char name[200];
	pthread_t t;

	path(name, "locked");
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&t, NULL, sleeper, NULL) == 0);
	for (int i = 0; i < 200; i++) {
		int fd = open(name, O_CREAT | O_RDWR, 0600);

		CHECK(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && close(fd) == 0);
	}
	over = 1;
	return 0;
}

static volatile int asked;

static void lease_asked(int sig)
{
	(void)sig;
	asked = 1;
}

/* An exec that waits until another process gives up its lease on the program, for which
 * that has to make calls. If nothing else, the kernel ends the lease after some time. */
static int lease(void)
{
	char name[200], text[65536];
	struct sigaction sa = {.sa_handler = lease_asked};
	int in, out, status, ready[2];
	ssize_t n;
	pid_t holder, other;

	path(name, "program");
	CHECK((in = open("/proc/self/exe", O_RDONLY)) >= 0 && (out = open(name, O_CREAT | O_WRONLY, 0700)) >= 0);
	while ((n = read(in, text, sizeof text)) > 0)
		CHECK(write(out, text, (size_t)n) == n);
	CHECK(close(in) == 0 && close(out) == 0 && pipe(ready) == 0 && sigaction(SIGIO, &sa, NULL) == 0);
	CHECK((holder = fork()) >= 0);
	if (holder == 0) {
		int fd = open(name, O_RDONLY), calls = 0;

		CHECK(fd >= 0 && fcntl(fd, F_SETLEASE, F_WRLCK) == 0 && write(ready[1], "r", 1) == 1);
		while (!asked)
			usleep(1000);
		while (calls++ < 100)
			CHECK(getppid() > 0);
		/* It is still there: what waits has not waited for the kernel to end it. */
		CHECK(fcntl(fd, F_SETLEASE, F_UNLCK) == 0);
		_exit(3);
	}
	CHECK(read(ready[0], text, 1) == 1 && (other = fork()) >= 0);
	if (other == 0)
		execl(name, "races", "status", dir, (char *)NULL);
	CHECK(waitpid(other, &status, 0) == other && WIFEXITED(status) && WEXITSTATUS(status) == 7);
	CHECK(waitpid(holder, &status, 0) == holder && WIFEXITED(status) && WEXITSTATUS(status) == 3);
	return 0;
}

/* A socket that is full, and waits for an hour when it is closed, unless its other end
 * goes, which is at. */
static int full_socket(int *at)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct linger hour = {1, 3600};
	socklen_t size = sizeof a;
	static char text[65536];
	int from = socket(AF_INET, SOCK_STREAM, 0), s = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(bind(from, (struct sockaddr *)&a, sizeof a) == 0 && listen(from, 1) == 0);
	CHECK(getsockname(from, (struct sockaddr *)&a, &size) == 0);
	CHECK(connect(s, (struct sockaddr *)&a, sizeof a) == 0 && (*at = accept(from, NULL, NULL)) >= 0);
	CHECK(close(from) == 0);
	while (send(s, text, sizeof text, MSG_DONTWAIT) > 0)
		;
	CHECK(errno == EAGAIN && setsockopt(s, SOL_SOCKET, SO_LINGER, &hour, sizeof hour) == 0);
	return s;
}

/* Whether the socket with this port is being closed: it has a FIN to send. */
static int is_closing(int port)
{
	char line[512], own[16];
	FILE *f = fopen("/proc/net/tcp", "r");
	int found = 0;

	CHECK(f);
	snprintf(own, sizeof own, ":%04X ", port);
	while (fgets(line, sizeof line, f)) {
		char *at = strstr(line, own);

		found |= at && at < line + 24 && strncmp(at + 6 + 14, "04", 2) == 0;
	}
	fclose(f);
	return found;
}

static void nothing(int sig) { (void)sig; }

/* How long a close takes concerns nobody but who makes it. */
static int lingers(void)
{
	struct sigaction sa = {.sa_handler = nothing};

	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	for (int how = 0; how < 9; how++) {
		int peer, s = full_socket(&peer), go[2], status;
		struct sockaddr_in a;
		socklen_t size = sizeof a;
		char c;
		pid_t pid;

		CHECK(getsockname(s, (struct sockaddr *)&a, &size) == 0 && pipe(go) == 0);
		CHECK((pid = fork()) >= 0);
		if (pid == 0) {
			pthread_t t;

			CHECK(close(peer) == 0 && read(go[0], &c, 1) == 1);
			if (how >= 5)
				CHECK(pthread_create(&t, NULL, sleeper, NULL) == 0);
			switch (how % 5) {
			case 0:
				CHECK(close(s) == 0);
				break;
			case 1:
				CHECK(dup2(0, s) == s);
				break;
			case 2:
				CHECK(syscall(SYS_close_range, s, s, 0) == 0);
				break;
			case 3:
				CHECK(syscall(SYS_close_range, s, ~0U, 0) == 0 && fcntl(s, F_GETFD) == -1);
				break;
			case 4:
				CHECK(fcntl(s, F_SETFD, FD_CLOEXEC) == 0);
				execl("/proc/self/exe", "races", "status", dir, (char *)NULL);
				CHECK(0);
			}
			_exit(7);
		}
		CHECK(close(s) == 0 && write(go[1], "g", 1) == 1);
		while (!is_closing(ntohs(a.sin_port)))
			usleep(1000);
		if (how == 2 || how == 3)
			/* The signal ends the wait, if nothing else does. */
			CHECK(kill(pid, SIGUSR1) == 0);
		else
			CHECK(close(peer) == 0);
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7);
		if (how == 2 || how == 3)
			CHECK(close(peer) == 0);
		CHECK(close(go[0]) == 0 && close(go[1]) == 0);
	}
	return 0;
}

static void *opens_often(void *unused)
{
	for (int i = 0; i < 100; i++) {
		int fd = open("/dev/null", O_RDONLY);

		CHECK(fd >= 0 && close(fd) == 0);
	}
	return unused;
}

/* A user who may have no more processes opens files all the same. */
static int slots(void)
{
	struct rlimit none = {1, 1};
	pthread_t t[2], more;
	int failed;

	/* Root may have any number. */
	if (getuid() == 0)
		CHECK(syscall(SYS_setresuid, 54321L, 54321L, 54321L) == 0);
	CHECK(pthread_create(&t[0], NULL, sleeper, NULL) == 0);
	CHECK(pthread_create(&t[1], NULL, opens_often, NULL) == 0);
	CHECK(setrlimit(RLIMIT_NPROC, &none) == 0);
	CHECK((failed = pthread_create(&more, NULL, sleeper, NULL)) == EAGAIN);
	opens_often(NULL);
	CHECK(pthread_join(t[1], NULL) == 0);
	CHECK((failed = pthread_create(&more, NULL, sleeper, NULL)) == EAGAIN);
	over = 1;
	return 0;
}

/* As many threads as there may be, all of which open files. */
static int crowd(void)
{
	pthread_t t[64];
	int n = 0;

	CHECK(syscall(SYS_setresuid, 54321L, 54321L, 54321L) == 0);
	for (;;) {
		int error;

		CHECK(n < 64);
		error = pthread_create(&t[n], NULL, opens_often, NULL);
		if (error) {
			CHECK(error == EAGAIN && n > 2);
			break;
		}
		n++;
	}
	opens_often(NULL);
	while (n > 0)
		CHECK(pthread_join(t[--n], NULL) == 0);
	return 0;
}

/* What a child with the same descriptors is made with is nobody else's. */
static int making(void)
{
	enum { CHILDREN = 250, LOW = 3, MANY = 12, ABOVE = 100 };
	int first = open("/dev/null", O_RDONLY);

	CHECK(first >= 0 && close(first) == 0);
	for (int i = 0; i < CHILDREN; i++) {
		long pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0L, 0L, 0L, 0L);
		CHECK(pid >= 0);
		if (pid == 0)
			_exit(0);
		for (int n = 0; n < 3 * MANY; n++) {
			char path[64], link[256];
			int copy = fcntl(LOW + n % MANY, F_DUPFD, ABOVE);
			if (copy < 0)
				continue;
			snprintf(path, sizeof path, "/proc/self/fd/%d", copy);
			ssize_t k = readlink(path, link, sizeof link - 1);
			CHECK(k >= 0);
			link[k] = 0;
			CHECK(!strstr(link, "kvm") && !strstr(link, "socket:"));
			CHECK(close(copy) == 0);
		}
		CHECK(waitpid((pid_t)pid, NULL, 0) == pid);
	}
	return 0;
}

/* Nor is it when processes with the same descriptors copy all that they can. */
static int copying(void)
{
	enum { COPIERS = 5, CHILDREN = 120, LOW = 3, MANY = 4, ABOVE = 100 };
	pid_t copier[COPIERS], parent = getpid();
	int status;

	for (int i = 0; i < COPIERS; i++) {
		copier[i] = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0L, 0L, 0L, 0L);
		CHECK(copier[i] >= 0);
		for (int n = 0; copier[i] == 0; n++) {
			if (n % 64 == 0 && getppid() != parent)
				_exit(0);
			char name[64], link[256];
			int copy = fcntl(LOW + n % MANY, F_DUPFD, ABOVE);
			if (copy < 0)
				continue;
			snprintf(name, sizeof name, "/proc/self/fd/%d", copy);
			ssize_t k = readlink(name, link, sizeof link - 1);
			if (k < 0)
				continue; /* another copier's, which has closed it */
			link[k] = 0;
			CHECK(!strstr(link, "kvm") && !strstr(link, "socket:"));
			close(copy);
		}
	}
	for (int i = 0; i < CHILDREN; i++) {
		pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0L, 0L, 0L, 0L);
		CHECK(pid >= 0);
		if (pid == 0)
			_exit(0);
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	for (int i = 0; i < COPIERS; i++) {
		CHECK(kill(copier[i], SIGKILL) == 0 && waitpid(copier[i], &status, 0) == copier[i]);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
	return 0;
}

static int status(void) { return 7; }

int main(int argc, char **argv)
{
	static const struct race races[] = {
		{"exec-bit", exec_bit}, {"opens", opens}, {"fifo", fifo}, {"ends", ends}, {"tables", tables}, {"lease", lease}, {"execs", execs},
		{"sharing", sharing}, {"memories", memories}, {"closed", closed}, {"lingers", lingers}, {"slots", slots}, {"making", making},
		{"copying", copying}, {"crowd", crowd}, {"status", status},
	};
	return run_race(races, sizeof races / sizeof races[0], argc, argv);
}
