/* What kernel.h and layout.go say of Linux, compared with the system's headers when
 * this is compiled. */
#define _GNU_SOURCE
#define timespec our_timespec
#define pollfd our_pollfd
#define ucontext our_ucontext
#include "kernel.h"
#undef timespec
#undef pollfd
#undef ucontext

#define EACH(F) \
	F(SYS_poll) F(SYS_mmap) F(SYS_mprotect) F(SYS_munmap) F(SYS_rt_sigprocmask) F(SYS_ioctl) F(SYS_mremap) \
	F(SYS_getpid) F(SYS_gettid) F(SYS_futex) F(SYS_exit_group) F(SIG_SETMASK) F(SIGKILL) F(FUTEX_WAIT) \
	F(FUTEX_WAKE) F(ETIMEDOUT) F(POLLERR) F(POLLHUP) F(PROT_READ) F(PROT_WRITE) F(PROT_EXEC) F(MAP_SHARED) \
	F(MAP_PRIVATE) F(MAP_FIXED) F(MAP_ANONYMOUS) F(MREMAP_MAYMOVE) F(MREMAP_FIXED) F(KVM_RUN)

#define OURS(name) OUR_##name = name,
enum { EACH(OURS) };

#include <errno.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>

#include "zz_layout.h"

#define SAME(name) _Static_assert(OUR_##name == name, #name);
EACH(SAME)

_Static_assert(sizeof(struct our_timespec) == sizeof(struct timespec), "timespec");
_Static_assert(offsetof(struct our_timespec, nsec) == offsetof(struct timespec, tv_nsec), "nsec");
_Static_assert(sizeof(struct our_pollfd) == sizeof(struct pollfd), "pollfd");
_Static_assert(offsetof(struct our_pollfd, revents) == offsetof(struct pollfd, revents), "revents");

/* glibc's set of signals is larger than the kernel's, so sizes differ. */
#define REGISTER(name, number) \
	_Static_assert(offsetof(struct our_ucontext, name) == \
		offsetof(ucontext_t, uc_mcontext.gregs) + 8 * (number), #name);
REGISTER(r8, REG_R8)
REGISTER(rdi, REG_RDI)
REGISTER(rax, REG_RAX)
REGISTER(rsp, REG_RSP)
REGISTER(rip, REG_RIP)
REGISTER(eflags, REG_EFL)
_Static_assert(offsetof(struct our_ucontext, mask) == offsetof(ucontext_t, uc_sigmask), "mask");

_Static_assert(MV_RUN_DIRTY == offsetof(struct kvm_run, kvm_dirty_regs), "kvm_dirty_regs");
_Static_assert(MV_RUN_REGS == offsetof(struct kvm_run, s.regs.regs.rax), "rax");
_Static_assert(MV_SYNC_REGS == KVM_SYNC_X86_REGS, "KVM_SYNC_X86_REGS");
_Static_assert(MV_NOT_EXECUTED == -513, "ERESTARTNOINTR");
