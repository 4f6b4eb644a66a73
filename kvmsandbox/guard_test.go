//go:build linux && amd64

package kvmsandbox_test

import (
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/frontendtest"
)

// A program does not get at the variant host's memory by calls about memory: what it
// would get is memory that the monitor reads and writes.
func TestSlotIsOutOfReach(t *testing.T) {
	machines(t)
	program := compile(t, `
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static char name[64], to[64];
#define TRY(n, e) do { if (!(e)) { dprintf(2, "%s: %s %s\n", #e, name, to); return (n); } } while (0)
int main(void)
{
	static char *const in[] = {(char *)0x520000000000, (char *)0x520010000000, (char *)0x520010010000,
		(char *)0x522000000000, (char *)0x524000000000, (char *)0x524000010000};
	char *own = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (unsigned i = 0; i < sizeof in / sizeof *in; i++) {
		TRY(10, mremap(in[i], 0, 4096, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
		TRY(11, mremap(in[i], 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, own) == MAP_FAILED);
		own = mmap(own, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		TRY(12, mremap(own, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, in[i]) == MAP_FAILED && errno == ENOMEM);
		TRY(13, mmap(in[i], 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED && errno == ENOMEM);
		TRY(14, mprotect(in[i], 4096, 7) == -1 && errno == ENOMEM);
		TRY(15, madvise(in[i], 4096, MADV_REMOVE) == -1 && errno == ENOMEM);
		TRY(16, madvise(in[i], 4096, MADV_DONTFORK) == -1 && errno == ENOMEM);
		TRY(17, mlock(in[i], 4096) == -1 && errno == ENOMEM);
		TRY(18, munmap(in[i], 4096) == 0);
	}
	/* The first hidden descriptors are at the limit or in the last part below it. */
	int limit = sysconf(_SC_OPEN_MAX);
	for (int fd = limit > 4096 ? limit - 4096 : 3; fd < limit + 64; fd++) {
		memset(to, 0, sizeof to);
		snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
		if (readlink(name, to, sizeof to - 1) < 0 || !strncmp(to, "/dev", 4))
			continue; /* Devices it can open by their names, too. */
		TRY(20, truncate(name, 0) == -1);
		TRY(21, open(name, O_RDWR | O_TRUNC) == -1);
		TRY(22, open(name, O_WRONLY | O_NONBLOCK) == -1);
	}
	return 42;
}`)
	if o := run(t, &frontendtest.Script{}, 1, program); o.Status.Code != 42 || o.Status.Signal != 0 {
		t.Errorf("outcome %+v", o)
	}
}

// What a program sends and receives by vectors and message headers is the same as
// without copies of them, and pointers to the variant host's memory are bad ones.
func TestVectors(t *testing.T) {
	machines(t)
	program := compile(t, `
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#define TRY(n, e) do { if (!(e)) { dprintf(2, "%s: %m\n", #e); return (n); } } while (0)
int main(void)
{
	char *slot = (char *)0x524000000000, buf[64] = "";
	int s[2], p[2];
	TRY(1, !socketpair(AF_UNIX, SOCK_DGRAM, 0, s) && !pipe(p));
	struct iovec v[1024];
	for (int i = 0; i < 1024; i++)
		v[i] = (struct iovec){"x", i < 7};
	TRY(2, writev(p[1], v, 1024) == 7 && read(p[0], buf, 64) == 7);
	TRY(3, writev(p[1], v, 1025) == -1 && errno == EINVAL && writev(p[1], v, 0) == 0);
	TRY(4, writev(p[1], (struct iovec *)slot, 1) == -1 && errno == EFAULT);
	TRY(5, writev(-1, (struct iovec *)slot, 1) == -1 && errno == EBADF);
	v[1].iov_base = slot;
	TRY(6, write(p[1], "abc", 3) == 3 && readv(p[0], &v[1], 1) == -1 && errno == EFAULT);
	TRY(7, writev(p[1], &v[1], 1) == -1 && errno == EFAULT);
	char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(page, v, sizeof *v);
	TRY(8, !mprotect(page, 4096, PROT_WRITE) && writev(p[1], (struct iovec *)page, 1) == 1);
	TRY(9, !mprotect(page, 4096, PROT_NONE) && writev(p[1], (struct iovec *)page, 1) == -1 && errno == EFAULT);

	char control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec one = {"hello", 5}, into = {buf, 64};
	struct msghdr m = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), p, sizeof(int));
	TRY(20, sendmsg(s[0], &m, 0) == 5);
	struct sockaddr_storage name;
	struct msghdr r = {&name, sizeof name, &into, 1, control, sizeof control, -1};
	TRY(21, recvmsg(s[1], &r, 0) == 5 && !memcmp(buf, "hello", 5));
	TRY(22, r.msg_namelen == 0 && r.msg_controllen == CMSG_SPACE(sizeof(int)) && r.msg_flags == 0 && r.msg_iov == &into);
	int got;
	memcpy(&got, CMSG_DATA(c), sizeof got);
	TRY(23, got > 2 && read(got, buf, 64) == 4);
	/* The variant host's descriptors are none, wherever they are. */
	for (int fd = sysconf(_SC_OPEN_MAX) - 4096; fd < sysconf(_SC_OPEN_MAX) + 64; fd++) {
		m.msg_controllen = sizeof control, c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
		if (fd > 2)
			TRY(24, sendmsg(s[0], &m, 0) == -1 && errno == EBADF);
	}
	m.msg_control = slot;
	TRY(25, sendmsg(s[0], &m, 0) == -1 && errno == EFAULT);
	m.msg_control = 0, m.msg_controllen = 0;
	m.msg_iov = (struct iovec *)slot;
	TRY(26, sendmsg(s[0], &m, 0) == -1 && errno == EFAULT);
	TRY(27, sendmsg(s[0], (struct msghdr *)slot, 0) == -1 && errno == EFAULT);

	struct mmsghdr a[200], b[200];
	for (int i = 0; i < 200; i++) {
		a[i] = (struct mmsghdr){{.msg_iov = &one, .msg_iovlen = 1}, -1};
		b[i] = (struct mmsghdr){{.msg_iov = &into, .msg_iovlen = 1}, -1};
	}
	TRY(30, sendmmsg(s[0], a, 3, 0) == 3 && a[0].msg_len == 5 && a[2].msg_len == 5 && a[3].msg_len == -1u);
	TRY(31, recvmmsg(s[1], b, 200, MSG_WAITFORONE, 0) == 3 && b[2].msg_len == 5 && b[3].msg_len == -1u);
	TRY(32, sendmmsg(s[0], (struct mmsghdr *)slot, 1, 0) == -1 && errno == EFAULT);
	TRY(33, sendmmsg(s[0], a, 0, 0) == 0);

	/* Nobody waits for, wakes or moves the variant host's futexes. */
	int word = 0;
	struct { unsigned long val, at; unsigned flags, zero; } f[2] = {{0, (unsigned long)&word, 2, 0}, {0, (unsigned long)slot, 2, 0}};
	struct timespec past = {0, 1};
	TRY(40, syscall(449, f, 1, 0, &past, CLOCK_MONOTONIC) == -1 && errno == ETIMEDOUT);
	TRY(41, syscall(449, f, 2, 0, &past, CLOCK_MONOTONIC) == -1 && errno == EFAULT);
	TRY(42, syscall(449, slot, 1, 0, &past, CLOCK_MONOTONIC) == -1 && errno == EFAULT);
	TRY(43, syscall(449, f, 1 << 20, 0, &past, CLOCK_MONOTONIC) == -1);
	TRY(44, syscall(456, f, 0, 1, 1) == -1 && (errno == EFAULT || errno == ENOSYS));
	f[1].at = (unsigned long)&word;
	TRY(45, syscall(456, f, 0, 1, 1) == 0 || errno == ENOSYS);

	/* Nor copies it. Pointers in single records count as those in arrays do. */
	struct iovec own = {buf, 64}, its = {slot, 64};
	TRY(50, process_vm_readv(getpid(), &own, 1, &own, 1, 0) == 64);
	TRY(51, process_vm_readv(getpid(), &own, 1, &its, 1, 0) == -1 && errno == EFAULT);
	TRY(52, process_vm_readv(getpid(), &its, 1, &own, 1, 0) == -1 && errno == EFAULT);
	TRY(53, process_vm_writev(getpid(), &own, 1, &its, 1, 0) == -1 && errno == EFAULT);
	TRY(54, process_vm_writev(getpid(), (struct iovec *)slot, 1, &own, 1, 0) == -1 && errno == EFAULT);
	struct { char *value; unsigned size, flags; } x = {slot, 64, 0};
	TRY(55, syscall(463, AT_FDCWD, "/", 0, "user.x", &x, sizeof x) == -1 && (errno == EFAULT || errno == ENOSYS));
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD, .sigev_signo = s[0], .sigev_value.sival_ptr = slot};
	TRY(56, syscall(SYS_mq_notify, -1, &ev) == -1 && errno == EFAULT);
	unsigned long handled[2] = {1};
	int rules = syscall(444, handled, 8, 0);
	struct { unsigned long allowed; int fd; } __attribute__((packed)) rule = {1, -1};
	for (rule.fd = sysconf(_SC_OPEN_MAX) - 4096; rules >= 0 && rule.fd < sysconf(_SC_OPEN_MAX) + 64; rule.fd++)
		if (rule.fd > rules)
			TRY(58, syscall(445, rules, 1, &rule, 0) == -1 && errno == EBADF);
	ev.sigev_notify = SIGEV_NONE; /* it does not lead there */
	TRY(57, syscall(SYS_mq_notify, -1, &ev) == -1 && errno == EBADF);
	return 42;
}`)
	for _, exit := range []bool{false, true} {
		m := &frontendtest.Script{}
		if exit {
			m.Call = func(id frontend.Task, c frontend.Call, _ string) []frontend.Action {
				return frontendtest.One(frontend.Action{Op: frontend.OpRun, Task: id, Nr: c.Nr, Args: c.Args, Exit: true})
			}
		}
		if o := run(t, m, 1, program); o.Status.Code != 42 || o.Status.Signal != 0 {
			t.Errorf("outcome %+v", o)
		}
	}
}
