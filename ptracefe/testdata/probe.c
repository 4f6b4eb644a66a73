// Programs for the tests of package ptracefe, one per name of the first
// argument. Each prints what it found and exits with 0 when that is right.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

static volatile sig_atomic_t handled, handled_value;

static void handler(int sig, siginfo_t *info, void *context) {
    (void)context;
    handled = sig;
    handled_value = info->si_value.sival_int;
}

static void catch(int sig, int flags) {
    struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigaction(sig, &sa, NULL);
}

// call6 makes a call and reports whether the argument registers survived.
static long call6(long nr, const uint64_t in[6], int *kept) {
    uint64_t out[6];
    long ret;
    register uint64_t r10 asm("r10") = in[3], r8 asm("r8") = in[4], r9 asm("r9") = in[5];
    uint64_t rdi = in[0], rsi = in[1], rdx = in[2];
    asm volatile("syscall"
                 : "=a"(ret), "+D"(rdi), "+S"(rsi), "+d"(rdx), "+r"(r10), "+r"(r8), "+r"(r9)
                 : "0"(nr)
                 : "rcx", "r11", "memory");
    out[0] = rdi, out[1] = rsi, out[2] = rdx, out[3] = r10, out[4] = r8, out[5] = r9;
    *kept = memcmp(in, out, sizeof out) == 0;
    return ret;
}

static int hello(int argc, char **argv) {
    for (int i = 2; i < argc; i++) printf("%s%c", argv[i], i + 1 < argc ? ' ' : '\n');
    return 0;
}

static int registers(void) {
    uint64_t in[6] = {11, 22, 33, 44, 55, 66};
    int kept;
    long ret = call6(SYS_getppid, in, &kept);
    printf("%ld %d\n", ret, kept);
    return 0;
}

static int forkregisters(void) {
    uint64_t in[6] = {SIGCHLD, 0, 0, 0, 0, 77};
    int kept, status = -1;
    long ret = call6(SYS_clone, in, &kept);
    if (ret == 0) _exit(kept ? 40 : 41);
    waitpid(ret, &status, 0);
    printf("%d %d\n", kept, WEXITSTATUS(status));
    return 0;
}

static size_t depth(size_t left) {
    volatile char frame[4096];
    frame[0] = (char)left;
    if (left <= sizeof frame) return sizeof frame;
    size_t below = depth(left - sizeof frame);
    return below + (frame[0] == (char)left ? sizeof frame : 0);
}

static int recurse(void) {
    struct rlimit l;
    getrlimit(RLIMIT_STACK, &l);
    size_t size = l.rlim_cur == RLIM_INFINITY ? 64 << 20 : l.rlim_cur;
    size = size * 7 / 8;
    printf("%d\n", depth(size) >= size);
    return 0;
}

// A call that fills stack memory which nothing has touched.
static int deepread(char *file) {
    static int fd;
    fd = open(file, O_RDONLY);
    char *low = (char *)__builtin_frame_address(0) - (512 << 10);
    long n = syscall(SYS_read, fd, low, 5);
    char got[6] = "";
    memcpy(got, low, 5);
    printf("%ld %s\n", n, got);
    return 0;
}

static int tsc(void) {
    unsigned aux = 0;
    unsigned long long a = __rdtsc(), b = __rdtscp(&aux);
    printf("%llu %llu %u\n", a, b, aux);
    return 0;
}

static int suspend(void) {
    catch(SIGUSR1, 0);
    sigset_t block, old, now;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, &old);
    int r = sigsuspend(&old), e = errno;
    sigprocmask(SIG_BLOCK, NULL, &now);
    printf("%d %d %d %d %d\n", r, e == EINTR, (int)handled, (int)handled_value, sigismember(&now, SIGUSR1));
    return 0;
}

static int interruptible(int flags) {
    catch(SIGUSR1, flags);
    uint64_t in[6] = {1, 2, 3, 4, 5, 6};
    int kept;
    long ret = call6(SYS_getppid, in, &kept);
    printf("%ld %d %d %d\n", ret, (int)handled, (int)handled_value, kept);
    return 0;
}

static int fault(void) {
    *(volatile int *)8 = 1;
    return 0;
}

static int raised(void) {
    catch(SIGUSR1, 0);
    kill(getpid(), SIGUSR1);
    printf("%d\n", (int)handled);
    return 0;
}

static int mapfile(char *file) {
    int fd = open(file, O_RDONLY);
    char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (p == MAP_FAILED) return 1;
    write(1, p, strlen(p));
    return 0;
}

static int descriptors(void) {
    for (int fd = 0; fd < 64; fd++)
        if (fcntl(fd, F_GETFD) >= 0) printf("%d ", fd);
    printf("\n");
    return 0;
}

static int int80(void) {
    long ret = 20; // getpid of the 32-bit table
    asm volatile("int $0x80" : "+a"(ret) : : "memory", "r8", "r9", "r10", "r11");
    printf("%ld %ld\n", ret, syscall(0x40000000L + SYS_getpid) == -1 ? (long)-errno : 0L);
    return 0;
}

static int vsyscall(void) {
    long (*vtime)(long *) = (long (*)(long *))0xffffffffff600400;
    printf("%ld\n", vtime(NULL));
    return 0;
}

static int pdeathsig(void) {
    int sig = -1;
    syscall(SYS_prctl, 2 /* PR_GET_PDEATHSIG */, &sig);
    printf("%d\n", sig);
    return 0;
}

static void orphans(void) {
    for (int i = 0; i < 3; i++)
        if (fork() == 0) {
            fork();
            for (;;) pause();
        }
    printf("ready\n");
    fflush(stdout);
    for (;;) pause();
}

static int loop(long n) {
    for (long i = 0; i < n; i++) syscall(SYS_getppid);
    return 0;
}

static void *sleeper(void *arg) {
    for (;;) pause();
    return arg;
}

static void *executor(void *argv) {
    execv(((char **)argv)[2], (char **)argv + 2);
    return NULL;
}

static void *nothing(void *arg) { return arg; }

/* A daemon, of which the parent has ended, makes threads. */
static int orphanthreads(void) {
    pid_t parent = getpid();
    pthread_t t;
    if (fork() > 0) return 0;
    while (getppid() == parent) usleep(1000);
    for (int i = 0; i < 300; i++)
        if (pthread_create(&t, NULL, nothing, NULL) != 0 || pthread_join(t, NULL) != 0) return 1;
    puts("made");
    return 0;
}

static int threadexec(char **argv) {
    pthread_t a, b;
    pthread_create(&a, NULL, sleeper, NULL);
    pthread_create(&b, NULL, executor, argv);
    pthread_join(b, NULL);
    return 1;
}

static int waiting(void) {
    struct epoll_event e;
    int ret = epoll_wait(epoll_create1(0), &e, 1, -1);
    printf("%d %d\n", ret, errno);
    return 0;
}

static void spin(void) {
    for (;;) asm volatile("pause");
}

// stands does what the monitor lets it stand in for a while, in a mode, and says whether it saw
// nothing of that.
static void *stands(void *mode) {
    sigset_t usr2, mask;
    sigemptyset(&usr2);
    sigaddset(&usr2, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &usr2, NULL);
    int good = 1;
    if (!strcmp(mode, "signal")) {
        raise(SIGUSR1);
        good = handled == SIGUSR1;
    } else {
        uint64_t in[6] = {11, 22, 33, 44, 55, 66};
        int kept;
        good = call6(SYS_getppid, in, &kept) == 55 && kept;
    }
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    return good && sigismember(&mask, SIGUSR2) && !sigismember(&mask, SIGUSR1) ? mode : NULL;
}

// threadstop stops a child of which another thread stands, for its parent to see. The monitor is
// told by setsid that it is seen, and by getsid that the child is to go on.
static int threadstop(char *mode) {
    pid_t child = fork();
    if (child == 0) {
        pthread_t t;
        void *good = NULL;
        catch(SIGUSR1, 0);
        pthread_create(&t, NULL, stands, mode);
        while (syscall(SYS_getpgid, 0) != 1) usleep(1000);
        kill(getpid(), SIGSTOP);
        pthread_join(t, &good);
        return good == NULL;
    }
    int st;
    if (waitpid(child, &st, WUNTRACED) != child || !WIFSTOPPED(st) || WSTOPSIG(st) != SIGSTOP) return 2;
    syscall(SYS_setsid);
    usleep(50000);
    syscall(SYS_getsid, 0);
    if (kill(child, SIGCONT) != 0 || waitpid(child, &st, 0) != child) return 3;
    return WIFEXITED(st) ? WEXITSTATUS(st) : 4;
}

static volatile sig_atomic_t first;

static void continued(int sig, siginfo_t *info, void *context) {
    handler(sig, info, context);
    if (first == 0) first = handled_value;
}

// carried gets SIGCONT at its call, and stops by the signal that came before.
static int carried(void) {
    pid_t child = fork();
    if (child == 0) {
        struct sigaction sa = {.sa_sigaction = continued, .sa_flags = SA_SIGINFO};
        sigaction(SIGCONT, &sa, NULL);
        return syscall(SYS_getppid) == 7 && handled == SIGCONT && first == 99 ? 0 : 1;
    }
    int st;
    if (waitpid(child, &st, WUNTRACED) != child || !WIFSTOPPED(st)) return 2;
    if (kill(child, SIGCONT) != 0 || waitpid(child, &st, 0) != child) return 3;
    return WIFEXITED(st) ? WEXITSTATUS(st) : 4;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    if (!strcmp(name, "hello")) return hello(argc, argv);
    if (!strcmp(name, "registers")) return registers();
    if (!strcmp(name, "forkregisters")) return forkregisters();
    if (!strcmp(name, "recurse")) return recurse();
    if (!strcmp(name, "deepread")) return deepread(argv[2]);
    if (!strcmp(name, "tsc")) return tsc();
    if (!strcmp(name, "suspend")) return suspend();
    if (!strcmp(name, "interruptible")) return interruptible(argc > 2 ? SA_RESTART : 0);
    if (!strcmp(name, "fault")) return fault();
    if (!strcmp(name, "raised")) return raised();
    if (!strcmp(name, "mapfile")) return mapfile(argv[2]);
    if (!strcmp(name, "descriptors")) return descriptors();
    if (!strcmp(name, "int80")) return int80();
    if (!strcmp(name, "vsyscall")) return vsyscall();
    if (!strcmp(name, "pdeathsig")) return pdeathsig();
    if (!strcmp(name, "orphans")) orphans();
    if (!strcmp(name, "loop")) return loop(atol(argv[2]));
    if (!strcmp(name, "threadexec")) return threadexec(argv);
    if (!strcmp(name, "orphanthreads")) return orphanthreads();
    if (!strcmp(name, "threadstop")) return threadstop(argv[2]);
    if (!strcmp(name, "carried")) return carried();
    if (!strcmp(name, "epoll")) return waiting();
    if (!strcmp(name, "spin")) spin();
    if (!strcmp(name, "exec")) return execv(argv[2], argv + 2), errno;
    fprintf(stderr, "no program %s\n", name);
    return 100;
}
