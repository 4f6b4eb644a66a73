/* wait4, waitid and kin: whom they wait for, what they tell, what they leave. */
#include "check.h"
#include <sys/resource.h>

static int gate[2];

/* A child that exits with code once the gate has a byte for it, or at once. */
static pid_t child_(int code, int wait_first)
{
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		char c;
		CHECK(!wait_first || read(gate[0], &c, 1) == 1);
		_exit(code);
	}
	return pid;
}

int main(void)
{
	begin();
	CHECK(pipe(gate) == 0);
	int status = 77;
	siginfo_t si;
	memset(&si, 0, sizeof si);

	pid_t a = child_(11, 1);
	CHECK(waitpid(a, &status, WNOHANG) == 0 && waitpid(-1, &status, WNOHANG) == 0 && status == 77);
	si.si_pid = 5;
	CHECK(waitid(P_PID, (id_t)a, &si, WEXITED | WNOHANG) == 0 && si.si_pid == 0);
	CHECK(write(gate[1], "x", 1) == 1);
	CHECK(waitid(P_PID, (id_t)a, &si, WEXITED | WNOWAIT) == 0);
	CHECK(si.si_pid == a && si.si_status == 11 && si.si_code == CLD_EXITED && si.si_signo == SIGCHLD);
	CHECK(si.si_uid == getuid());
	CHECK(waitid(P_ALL, 0, &si, WEXITED | WNOWAIT | WNOHANG) == 0 && si.si_pid == a);
	CHECK(waitpid(a, &status, 0) == a && WEXITSTATUS(status) == 11);
	CHECK_ERR(waitid(P_PID, (id_t)a, &si, WEXITED), ECHILD);
	ok("WNOHANG, WNOWAIT");

	a = child_(12, 0);
	CHECK(waitid(P_ALL, 0, &si, WEXITED) == 0 && si.si_pid == a && si.si_status == 12);
	a = child_(13, 0);
	CHECK(waitid(P_PGID, (id_t)getpgrp(), &si, WEXITED) == 0 && si.si_pid == a);
	a = child_(14, 0);
	CHECK(waitpid(0, &status, 0) == a && WEXITSTATUS(status) == 14);
	a = child_(15, 1);
	CHECK(setpgid(a, a) == 0);
	pid_t b = child_(16, 0);
	CHECK(waitpid(0, &status, 0) == b && WEXITSTATUS(status) == 16);
	CHECK_ERR(waitpid(0, &status, WNOHANG), ECHILD);
	CHECK(waitpid(-a, &status, WNOHANG) == 0);
	CHECK(write(gate[1], "x", 1) == 1);
	CHECK(waitpid(-a, &status, 0) == a && WEXITSTATUS(status) == 15);
	CHECK_ERR(waitpid(-a, &status, 0), ECHILD);
	ok("groups");

	struct rusage ru;
	memset(&ru, 0xff, sizeof ru);
	a = child_(17, 0);
	CHECK(wait4(a, &status, 0, &ru) == a && WEXITSTATUS(status) == 17);
	CHECK(ru.ru_minflt > 0 && ru.ru_utime.tv_sec == 0);
	a = child_(18, 0);
	CHECK(wait3(NULL, 0, NULL) == a);
	a = child_(19, 0);
	CHECK(syscall(SYS_waitid, P_PID, a, NULL, WEXITED, &ru) == 0);
	a = child_(20, 0);
	CHECK(syscall(SYS_wait4, a, NULL, 0, NULL) == a);
	ok("rusage, nothing asked");

	CHECK_ERR(waitid(P_PID, (id_t)a, &si, 0), EINVAL);
	CHECK_ERR(waitid((idtype_t)77, 0, &si, WEXITED), EINVAL);
	CHECK_ERR(waitpid(a, &status, 0x7777), EINVAL);
	CHECK_ERR(waitpid(-1, &status, WNOHANG), ECHILD);
	ok("errors");

	for (int code = 0; code < 256; code += 51) {
		a = child_(code, 0);
		CHECK(waitpid(a, &status, 0) == a && status == code << 8);
	}
	a = child_(0x1234, 0);
	CHECK(waitpid(a, &status, 0) == a && status == 0x34 << 8);
	ok("exit codes");
	return 0;
}
