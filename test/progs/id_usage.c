/* Usage and system figures: plausible, shown, and so compared between variants. */
#include "check.h"
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/utsname.h>

int main(void)
{
	begin();
	struct rusage ru, kids;
	CHECK(getrusage(RUSAGE_SELF, &ru) == 0);
	CHECK(ru.ru_minflt > 0);
	CHECK(getrusage(RUSAGE_CHILDREN, &kids) == 0 && kids.ru_maxrss == 0);
	CHECK_ERR(getrusage(77, &ru), EINVAL);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(0);
	int status;
	struct rusage w;
	CHECK(wait4(child, &status, 0, &w) == child && status == 0);
	CHECK(w.ru_minflt > 0);
	CHECK(getrusage(RUSAGE_CHILDREN, &kids) == 0 && kids.ru_minflt >= w.ru_minflt);
	printf("faults %ld, child's %ld\n", ru.ru_minflt, w.ru_minflt);
	ok("rusage");

	struct tms tms;
	clock_t t = times(&tms);
	CHECK(t != (clock_t)-1 && times(NULL) >= t);
	printf("times %ld %ld %ld\n", (long)t, (long)tms.tms_utime, (long)tms.tms_cutime);
	struct sysinfo si;
	CHECK(sysinfo(&si) == 0 && si.totalram > 0 && si.procs > 0 && si.uptime > 0);
	printf("uptime %ld free %lu procs %u\n", si.uptime, si.freeram, si.procs);
	struct utsname u;
	CHECK(uname(&u) == 0 && strcmp(u.sysname, "Linux") == 0 && strcmp(u.machine, MACHINE) == 0);
	printf("uname %s %s %s\n", u.sysname, u.nodename, u.release);
	char host[256];
	CHECK(gethostname(host, sizeof host) == 0 && strcmp(host, u.nodename) == 0);
	unsigned cpu = 99999, node = 99999;
	CHECK(syscall(SYS_getcpu, &cpu, &node, NULL) == 0 && cpu < 99999 && node < 99999);
	printf("cpu %u\n", cpu);
	double load[3];
	CHECK(getloadavg(load, 3) == 3);
	ok("system");
	return 0;
}
