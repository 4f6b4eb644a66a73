/* A daemon of the old school: it forks twice, leaves its session and its directory, closes
 * what it has open and writes its id to a file. SIGUSR1 makes it write down an address of
 * its code, which is another one in each variant; SIGTERM ends it. */
#include "check.h"

static volatile sig_atomic_t told, ends;

static void tell(int sig)
{
	if (sig == SIGTERM)
		ends = 1;
	else
		told = 1;
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) != 0)
		_exit(99);
}

int main(int argc, char **argv)
{
	begin();
	CHECK(argc == 3);
	char text[64];
	pid_t child = fork();
	CHECK(child >= 0);
	if (child > 0) {
		printf("going\n");
		fflush(stdout);
		return 4;
	}
	CHECK(setsid() == getpid());
	child = fork();
	CHECK(child >= 0);
	if (child > 0)
		_exit(0);

	sigset_t all, none;
	sigfillset(&all);
	sigemptyset(&none);
	struct sigaction sa = {.sa_handler = tell};
	sigprocmask(SIG_BLOCK, &all, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	umask(0);
	if (chdir("/") != 0)
		_exit(98);
	for (int fd = 0; fd < 64; fd++)
		close(fd);
	if (open("/dev/null", O_RDWR) != 0 || dup(0) != 1 || dup(0) != 2)
		_exit(97);
	snprintf(text, sizeof text, "%d\n", (int)getpid());
	put(argv[1], text);
	while (!ends) {
		sigsuspend(&none);
		if (told) {
			told = 0;
			snprintf(text, sizeof text, "%#jx\n", (uintmax_t)(uintptr_t)main);
			put(argv[2], text);
		}
	}
	unlink(argv[1]);
	return 0;
}
