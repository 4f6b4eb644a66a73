/* Clocks that are read much more often than anything else is done: in threads, in handlers, in
 * children, and while others wait for their turn. What they tell is the same for all variants,
 * which print a digest of it, and it does not go back. */
#include "check.h"
#include <pthread.h>
#include <sys/time.h>

#define ROUNDS 1000

static uint64_t digest = 14695981039346656037u;

static void add(uint64_t word)
{
	digest = (digest ^ word) * 1099511628211u;
}

/* Reads a clock by the C library. */
static int64_t clock_ns(clockid_t clock)
{
	struct timespec t = {-1, -1};
	CHECK(clock_gettime(clock, &t) == 0);
	CHECK(t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
	add(t.tv_sec * 1000000000 + t.tv_nsec);
	return t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The same by a call. */
static int64_t now_by_call(clockid_t clock)
{
	struct timespec t = {-1, -1};
	CHECK(syscall(SYS_clock_gettime, clock, &t) == 0);
	return t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t micros(void)
{
	struct timeval t = {-1, -1};
	CHECK(gettimeofday(&t, NULL) == 0);
	CHECK(t.tv_usec >= 0 && t.tv_usec < 1000000);
	add(t.tv_sec * 1000000 + t.tv_usec);
	return t.tv_sec * 1000000 + t.tv_usec;
}

/* Reads clocks, as many as n, and makes a call. */
static void round_of(int n)
{
	static __thread int64_t last;
	for (int i = 0; i < n; i++) {
		int64_t t = clock_ns(CLOCK_MONOTONIC);
		CHECK(t >= last);
		last = t;
	}
	CHECK(getppid() > 0);
}

static void plain(void)
{
	int64_t start = clock_ns(CLOCK_MONOTONIC);
	for (int i = 0; i < ROUNDS; i++) {
		round_of(i % 4);
		if (i % 16 == 0) {
			int64_t a = micros(), b = clock_ns(CLOCK_REALTIME) / 1000, c = micros();
			CHECK(a <= b && b <= c);
			/* The clock of seconds lags behind by a tick, and a second may just have begun. */
			time_t s = 0, t = time(&s);
			CHECK(t == s && t <= c / 1000000 + 1 && t >= a / 1000000 - 1);
			add(t);
			CHECK(time(NULL) >= t);
		}
	}
	CHECK(now_by_call(CLOCK_MONOTONIC) >= start);
	ok("plain");
}

/* More readings than anybody keeps, without a call in between. */
static void many(void)
{
	for (int i = 0; i < 3; i++)
		round_of(500);
	ok("many");
}

static void others(void)
{
	struct timespec t;
	struct timezone zone;
	struct timeval v;
	for (int i = 0; i < 8; i++) {
		CHECK(clock_ns(CLOCK_PROCESS_CPUTIME_ID) >= 0 && clock_ns(CLOCK_THREAD_CPUTIME_ID) >= 0 && clock_ns(CLOCK_BOOTTIME) > 0);
		CHECK(clock_ns(CLOCK_MONOTONIC_COARSE) > 0 && clock_ns(CLOCK_MONOTONIC_RAW) > 0 && clock_ns(CLOCK_TAI) > 0);
		CHECK_ERR(clock_gettime(77, &t), EINVAL);
		CHECK_ERR(clock_gettime(12, &t), EINVAL);
		CHECK(clock_getres(CLOCK_MONOTONIC, &t) == 0 && t.tv_sec == 0);
		CHECK(gettimeofday(&v, &zone) == 0);
		round_of(5);
	}
	ok("others");
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *reader(void *arg)
{
	for (int i = 0; i < ROUNDS / 4; i++) {
		pthread_mutex_lock(&lock);
		round_of(3);
		pthread_mutex_unlock(&lock);
		struct timespec t;
		for (int k = 0; k < 3; k++)
			CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	}
	return arg;
}

static void threads(void)
{
	pthread_t t[3];
	for (int i = 0; i < 3; i++)
		CHECK(pthread_create(&t[i], NULL, reader, NULL) == 0);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	ok("threads");
}

static void children(void)
{
	for (volatile int i = 0; i < 4; i++) {
		round_of(6);
		pid_t pid = i % 2 ? vfork() : fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			struct timespec t;
			/* After vfork the memory is the parent's. */
			for (int k = 0; k < 20; k++)
				if (clock_gettime(CLOCK_MONOTONIC, &t) != 0 || getppid() <= 0)
					_exit(1);
			_exit(t.tv_sec > 0 ? 7 : 2);
		}
		int status;
		round_of(6);
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7);
	}
	ok("children");
}

static volatile sig_atomic_t alarms;
static volatile int64_t told;

static void note(int sig)
{
	struct timespec t;
	for (int i = 0; i < 3; i++)
		CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	told = t.tv_sec;
	alarms += sig == SIGALRM;
}

/* Waits for its handler with nothing but clocks, as those do that wait for a time. */
static void signals(void)
{
	struct sigaction sa = {.sa_handler = note};
	struct itimerval often = {{0, 3000}, {0, 3000}}, never = {{0, 0}, {0, 0}};
	CHECK(sigaction(SIGALRM, &sa, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
	for (int i = 0; alarms < 30; i++) {
		clock_ns(CLOCK_MONOTONIC);
		if (i % 5 == 0)
			CHECK(getppid() > 0);
	}
	for (int want = alarms + 5; alarms < want;)
		clock_ns(CLOCK_MONOTONIC);
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0 && told > 0);
	ok("signals");
}

/* Signals come to a thread that sleeps, with a handler and without, while another reads clocks. */
static void asleep(void)
{
	struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
	for (int k = 0; k < 2; k++) {
		struct sigaction sa = {.sa_handler = k ? SIG_IGN : note, .sa_flags = SA_RESTART};
		pthread_t t;
		CHECK(sigaction(SIGALRM, &sa, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
		CHECK(pthread_create(&t, NULL, reader, NULL) == 0);
		CHECK(pthread_join(t, NULL) == 0 && setitimer(ITIMER_REAL, &never, NULL) == 0);
	}
	ok("asleep");
}

static unsigned char *guarded;
static volatile sig_atomic_t faults;

static void unguard(int sig)
{
	CHECK(sig == SIGSEGV && mprotect(guarded, PAGE, PROT_READ | PROT_WRITE) == 0);
	faults++;
}

/* The answer goes where nothing can be written until a handler has seen to that, if it is not a call
 * that finds it. */
static void guards(void)
{
	struct sigaction sa = {.sa_handler = unguard};
	guarded = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(guarded != MAP_FAILED && sigaction(SIGSEGV, &sa, NULL) == 0);
	for (int i = 0; i < ROUNDS / 4; i++) {
		round_of(3);
		if (i % 20)
			continue;
		CHECK(mprotect(guarded, PAGE, PROT_READ) == 0);
		for (volatile int k = 0; k < i * 20; k++)
			;
		int seen = faults;
		struct timespec *t = (struct timespec *)guarded;
		if (clock_gettime(CLOCK_MONOTONIC, t) == 0)
			CHECK(faults == seen + 1 && t->tv_sec > 0);
		else
			CHECK(errno == EFAULT && faults == seen);
	}
	sa.sa_handler = SIG_DFL;
	CHECK(sigaction(SIGSEGV, &sa, NULL) == 0 && munmap(guarded, PAGE) == 0);
	ok("guards");
}

/* Takes its time by the clock, while others want their turn. */
static void *waits(void *arg)
{
	for (int64_t end = now_by_call(CLOCK_MONOTONIC) + 30000000; now_by_call(CLOCK_MONOTONIC) < end;)
		for (int i = 0; i < 50; i++) {
			struct timespec t;
			CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
		}
	return arg;
}

static void spinners(void)
{
	pthread_t t[2];
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&t[i], NULL, waits, NULL) == 0);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	ok("spinners");
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "again") == 0) {
		plain();
		printf("digest %016llx\n", (unsigned long long)digest);
		return 0;
	}
	begin_in(argc, argv);
	plain();
	many();
	others();
	threads();
	children();
	signals();
	asleep();
	guards();
	spinners();
	plain();
	printf("digest %016llx\n", (unsigned long long)digest);
	fflush(stdout);
	char *again[] = {argv[0], "again", NULL};
	execv("/proc/self/exe", again);
	return 1;
}
