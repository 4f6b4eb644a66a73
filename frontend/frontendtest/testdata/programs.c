// The programs of the conformance suite, one per first argument. They speak to the
// suite by calls of lseek on descriptor -77: the value in the offset, its place in
// whence.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

static long report(int what, uint64_t value) { return syscall(SYS_lseek, -77, value, what); }

// probe makes getppid with arguments that the kernel ignores, and reports its
// result and whether the argument registers survived.
static void probe(void) {
#ifdef __x86_64__
    register uint64_t r10 asm("r10") = 44, r8 asm("r8") = 55, r9 asm("r9") = 66;
    uint64_t rdi = 11, rsi = 22, rdx = 33;
    long ret;
    asm volatile("syscall"
                 : "=a"(ret), "+D"(rdi), "+S"(rsi), "+d"(rdx), "+r"(r10), "+r"(r8), "+r"(r9)
                 : "0"(SYS_getppid)
                 : "rcx", "r11", "memory");
    int kept = rdi == 11 && rsi == 22 && rdx == 33 && r10 == 44 && r8 == 55 && r9 == 66;
#else
    register uint64_t x0 asm("x0") = 11, x1 asm("x1") = 22, x2 asm("x2") = 33, x3 asm("x3") = 44, x4 asm("x4") = 55,
                         x5 asm("x5") = 66, x8 asm("x8") = SYS_getppid;
    asm volatile("svc 0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3), "+r"(x4), "+r"(x5) : "r"(x8) : "memory");
    long ret = x0;
    int kept = x1 == 22 && x2 == 33 && x3 == 44 && x4 == 55 && x5 == 66;
#endif
    report(1, ret);
    report(2, kept);
}

static void handler(int sig, siginfo_t *info, void *context) {
    (void)context;
    report(20, sig);
    if (info->si_code == SI_QUEUE) report(21, info->si_value.sival_int);
}

static void jump(int sig) {
    report(20, sig);
    _exit(6);
}

static void catch(int sig, int flags) {
    struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigaction(sig, &sa, NULL);
}

static void memory(void) {
    char *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(p + 2 * 4096, 4096);
    memset(p, 'a', 2 * 4096);
    mprotect(p + 4096, 4096, PROT_READ);
    report(1, (uintptr_t)p);
    report(2, (unsigned char)p[10]);
    mprotect(p, 2 * 4096, PROT_NONE);
    report(3, (uintptr_t)p);
    mprotect(p, 2 * 4096, PROT_WRITE);
    report(4, (uintptr_t)p);
    mprotect(p, 2 * 4096, PROT_EXEC);
    report(5, (uintptr_t)p);
}

static size_t depth(size_t left) {
    volatile char frame[4096];
    frame[0] = (char)left;
    if (left <= sizeof frame) return sizeof frame;
    size_t below = depth(left - sizeof frame);
    return below + (frame[0] == (char)left ? sizeof frame : 0);
}

static void place(int argc, char **argv) {
    static int data = 1;
    int local;
    report(1, (uintptr_t)place);
    report(2, (uintptr_t)&data);
    report(3, (uintptr_t)&local);
    report(4, argc);
    report(5, (uintptr_t)argv[2]);
    report(6, (uintptr_t)getenv("FRONTENDTEST"));
    report(7, depth(3 << 20) >= 3 << 20);
}

static void forks(void) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        report(10, 1);
        _exit(3);
    }
    waitpid(pid, &status, 0);
    report(1, WEXITSTATUS(status));
    pid = vfork();
    if (pid == 0) _exit(4);
    waitpid(pid, &status, 0);
    report(2, WEXITSTATUS(status));
}

static void mapfile(char *name) {
    int fd = open(name, O_RDONLY);
    char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    report(1, p == MAP_FAILED ? 0 : p[0]);
    close(fd);
}

static void fault(int handled) {
    if (handled) signal(SIGSEGV, jump);
    *(volatile int *)8 = 1;
}

static void raised(void) {
    catch(SIGUSR1, 0);
    kill(getpid(), SIGUSR1);
    report(1, 1);
}

static void interrupted(int flags) {
    catch(SIGUSR1, flags);
    catch(SIGUSR2, 0);
    probe();
}

static void suspended(void) {
    catch(SIGUSR1, 0);
    sigset_t block, old, now;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, &old);
    sigsuspend(&old);
    report(1, errno);
    sigprocmask(SIG_BLOCK, NULL, &now);
    report(2, sigismember(&now, SIGUSR1));
}

// let_through sleeps in a call whose mask lets a pending signal through.
static void let_through(const char *call) {
    struct timespec limit = {60, 0};
    sigset_t block, none, now;
    long ret;
    catch(SIGUSR1, 0);
    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, NULL);
    kill(getpid(), SIGUSR1);
    if (!strcmp(call, "ppoll"))
        ret = ppoll(NULL, 0, &limit, &none);
    else if (!strcmp(call, "pselect6"))
        ret = pselect(0, NULL, NULL, NULL, &limit, &none);
    else if (!strcmp(call, "epoll_pwait")) {
        struct epoll_event event;
        ret = epoll_pwait(epoll_create1(0), &event, 1, 60000, &none);
    } else
        ret = sigsuspend(&none);
    report(1, ret == -1 ? errno : 0);
    sigprocmask(SIG_BLOCK, NULL, &now);
    report(2, sigismember(&now, SIGUSR1));
}

// ticked waits for ever in a call while a timer sends signals.
static void ticked(const char *call, int flags) {
    const struct itimerval every = {{0, 10000}, {0, 10000}};
    int ends[2];
    char c;
    long ret;
    catch(SIGALRM, flags);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) return;
    setitimer(ITIMER_REAL, &every, NULL);
    if (!strcmp(call, "recvfrom"))
        ret = recv(ends[0], &c, 1, 0);
    else
        ret = syscall(SYS_ppoll, NULL, 0, NULL, NULL, 8);
    report(1, ret < 0 ? -errno : ret);
}

static volatile sig_atomic_t hits;

static void count(int sig) {
    (void)sig;
    hits++;
}

static void unblocked(void) {
    sigset_t block;
    int seen = 0;
    signal(SIGUSR1, count);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    for (int i = 1; i <= 100; i++) {
        sigprocmask(SIG_BLOCK, &block, NULL);
        kill(getpid(), SIGUSR1);
        sigprocmask(SIG_UNBLOCK, &block, NULL);
        seen += hits == i;
    }
    report(1, seen);
}

static volatile pid_t cleared = -1;

static void *leaves(void *unused) {
    syscall(SYS_set_tid_address, &cleared);
    return unused;
}

static void threads(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, leaves, NULL);
    syscall(SYS_getppid);
    report(1, cleared);
}

static void children(void) {
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0) _exit(0);
        report(2, waitpid(pid, NULL, 0));
    }
}

// queued computes while another process sends it signals that may not get lost or
// change their order.
enum { QUEUED = 200 };
static volatile int received, ordered;

static void arrived(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    ordered += info->si_value.sival_int == received;
    received++;
}

static void queued(void) {
    struct sigaction sa = {.sa_sigaction = arrived, .sa_flags = SA_SIGINFO};
    sigaction(SIGRTMIN, &sa, NULL);
    pid_t parent = getpid();
    if (fork() == 0) {
        for (int i = 0; i < QUEUED; i++) {
            union sigval v = {.sival_int = i};
            while (sigqueue(parent, SIGRTMIN, v) < 0) sched_yield();
        }
        _exit(0);
    }
    while (received < QUEUED) asm volatile("");
    report(1, received);
    report(2, ordered);
}

// takeover starts threads, of which the last executes another program.
static pthread_barrier_t started;

static void *worker(void *argument) {
    char **argv = argument;
    report(30, getpid() != syscall(SYS_gettid));
    pthread_barrier_wait(&started);
    if (argv) execv(argv[2], argv + 2);
    for (;;) pause();
}

static void takeover(char **argv) {
    pthread_t t;
    pthread_barrier_init(&started, NULL, 4);
    for (int i = 0; i < 3; i++) pthread_create(&t, NULL, worker, i == 2 ? argv : NULL);
    pthread_barrier_wait(&started);
    for (;;) pause();
}

static volatile int flag;

static void set_flag(int signal) { flag = signal; }

// flagged computes, without a call, until its handler has run.
static void flagged(void) {
    signal(SIGUSR1, set_flag);
    report(1, 0);
    for (unsigned i = 0; !flag; i++) asm volatile("");
    report(2, flag);
}

// sleeps computes between calls that must not be cut short.
static void sleeps(void) {
    struct timespec nap = {0, 1000000};
    int bad = 0;
    for (int i = 0; i < 100; i++) {
        for (volatile int k = 0; k < 100000; k++) {}
        bad += syscall(SYS_ppoll, NULL, 0, &nap, NULL, 8) != 0;
    }
    report(1, bad);
}

// dozes waits for ever, and with a limit of time.
static void dozes(void) {
    int word = 0;
    struct timespec limit = {1000, 0};
    report(1, syscall(SYS_futex, &word, 0, 0, NULL, NULL, 0));
    report(2, syscall(SYS_futex, &word, 0, 0, &limit, NULL, 0));
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    if (!strcmp(name, "probe")) probe();
    if (!strcmp(name, "memory")) memory();
    if (!strcmp(name, "place")) place(argc, argv);
    if (!strcmp(name, "forks")) forks();
    if (!strcmp(name, "mapfile")) mapfile(argv[2]);
    if (!strcmp(name, "fault")) fault(argc > 2);
    if (!strcmp(name, "raised")) raised();
    if (!strcmp(name, "interrupted")) interrupted(argc > 2 ? SA_RESTART : 0);
    if (!strcmp(name, "suspended")) suspended();
    if (!strcmp(name, "let")) let_through(argv[2]);
    if (!strcmp(name, "ticked")) ticked(argv[2], argc > 3 ? SA_RESTART : 0);
    if (!strcmp(name, "unblocked")) unblocked();
    if (!strcmp(name, "thread")) threads();
    if (!strcmp(name, "children")) children();
    if (!strcmp(name, "alone")) syscall(SYS_exit, 5);
    if (!strcmp(name, "queued")) queued();
    if (!strcmp(name, "takeover")) takeover(argv);
    if (!strcmp(name, "wait")) for (;;) pause();
    if (!strcmp(name, "spin")) for (;;) asm volatile("");
    if (!strcmp(name, "flagged")) flagged();
    if (!strcmp(name, "sleeps")) sleeps();
    if (!strcmp(name, "dozes")) dozes();
    if (!strcmp(name, "calls")) for (;;) syscall(SYS_getppid);
    if (!strcmp(name, "exec")) {
        execv(argv[2], argv + 2);
        report(1, errno);
    }
    if (!strcmp(name, "breed")) {
        for (int i = 0; i < 3; i++)
            if (fork() == 0) for (;;) pause();
        report(1, 1);
        for (;;) pause();
    }
#ifdef __x86_64__
    if (!strcmp(name, "tsc")) {
        unsigned aux = 0;
        report(1, __rdtsc());
        report(2, __rdtscp(&aux));
        report(3, aux);
    }
#endif
    return 42;
}
