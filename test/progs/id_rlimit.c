/* Resource limits: all of them as natively, lowered ones in force, children inherit. */
#include "check.h"
#include <sys/resource.h>

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	if (argc > 2) {
		struct rlimit rl;
		CHECK(getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur == 50);
		ok("kept over exec");
		return 0;
	}
	for (int i = 0; i < 16; i++) {
		struct rlimit a, b;
		CHECK(getrlimit(i, &a) == 0);
		CHECK(syscall(SYS_prlimit64, getpid(), i, NULL, &b) == 0);
		CHECK(a.rlim_cur == b.rlim_cur && a.rlim_max == b.rlim_max);
		printf("limit %d: %lld %lld\n", i, (long long)a.rlim_cur, (long long)a.rlim_max);
	}
	struct rlimit rl;
	CHECK_ERR(getrlimit(77, &rl), EINVAL);
	CHECK(getrlimit(RLIMIT_NOFILE, &rl) == 0);
	rl.rlim_cur = rl.rlim_max + 1;
	if (rl.rlim_max != RLIM_INFINITY)
		CHECK_ERR(setrlimit(RLIMIT_NOFILE, &rl), EINVAL);
	ok("reading");

	rl.rlim_cur = 50;
	CHECK(setrlimit(RLIMIT_NOFILE, &rl) == 0);
	int fd = -1;
	while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		CHECK(fd < 50);
	CHECK(errno == EMFILE);
	for (int i = 3; i < 50; i++)
		CHECK(close(i) == 0);
	ok("number of files");

	/* The size limit: EFBIG if its signal is ignored, death if not. */
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		struct rlimit size = {1000, 1000}, core = {0, 0};
		CHECK(setrlimit(RLIMIT_CORE, &core) == 0);
		CHECK(setrlimit(RLIMIT_FSIZE, &size) == 0);
		signal(SIGXFSZ, SIG_IGN);
		char buf[800] = {0};
		int f = open("limited", O_WRONLY | O_CREAT | O_TRUNC, 0644);
		CHECK(write(f, buf, 800) == 800);
		CHECK(write(f, buf, 800) == 200);
		CHECK_ERR(write(f, buf, 800), EFBIG);
		signal(SIGXFSZ, SIG_DFL);
		CHECK(write(f, buf, 800) == -2);
		_exit(1);
	}
	reap_signal(child, SIGXFSZ);
	ok("file size");

	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		struct rlimit as = {64 << 20, 64 << 20};
		CHECK(setrlimit(RLIMIT_AS, &as) == 0);
		CHECK(mmap(NULL, 128 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM);
		_exit(0);
	}
	reap_exit(child, 0);
	ok("address space");
	execl("/proc/self/exe", argv[0], ".", "child", (char *)NULL);
	CHECK(!"exec");
}
