/* The variant host: the program inside each process of a variant.
 *
 * It executes what the monitor writes into a task's block: system calls, and the
 * program in the processor's guest mode. It decides nothing and never touches the
 * program's memory. Freestanding: no libc, no thread-local storage, general
 * registers only, no state outside the block, because processes made by vfork and
 * threads share everything else. */
#ifndef VHOST_H
#define VHOST_H

#include <stddef.h>
#include <stdint.h>

#include "zz_layout.h"

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t i64;

struct ucontext;
struct siginfo;

/* Bits of the flags register (AMD64 manual, volume 2, 3.1.6). */
enum {
	FLAG_FIXED = 1 << 1,
	FLAG_TF = 1 << 8,
	FLAG_IF = 1 << 9,
	FLAG_RF = 1 << 16,
};

/* One system call of a batch. */
struct call {
	i64 nr;
	u64 arg[6];
	i64 ret;
	u32 flags;
	/* ref[i] = k > 0: argument i is the result of the batch's call k-1. */
	u8 ref[6];
	u8 unused[2];
};

/* Where stubs of rewritten calls are; size is 0 for nowhere. */
struct room {
	u64 start, size;
};

/* The block of a task, shared with the monitor. Who may touch it changes with
 * turn: the variant host while it is MV_TURN_HOST, else the monitor. */
struct block {
	u32 turn;
	u32 asleep; /* the variant host waits in the kernel for turn */
	u32 event;
	u32 count; /* of calls */
	u32 done;  /* calls executed, the one that ended the batch early included */
	u32 flags;
	u32 spin; /* how often to look at turn before sleeping */
	u32 signalled;
	i64 run; /* what KVM_RUN returned */
	i64 vcpu;
	u64 mask;  /* signals that are blocked in interruptible calls */
	u64 child; /* the block of the task that a clone call makes */
	int32_t pid, tid;
	u32 control; /* descriptor whose peer closes when the monitor is gone */
	u32 native;  /* the program runs in this process and not in a guest */
	u8 info[128]; /* siginfo of the signal that interrupted */
	u64 frame; /* native: the ucontext by which the program is entered, 0 before the first */
	u64 open;  /* the signals that are blocked while the program runs, or a call of its agent's sleeps */
	u64 gate;  /* where the guest comes to when it makes a call; 0: all its calls are the monitor's */
	/* What an exception leaves on the guest's stack, where it is in this process; the guest's
	 * code that returns by it, and the guest's address of it. */
	u64 trap, trap_return, trap_stack;
	u32 jumped; /* MV_GATE_*: how far a rewritten call is, 0 outside of one */
	u32 rewritten; /* calls of the native program are */
	u64 onward; /* where the native program goes on in place of its instruction pointer, or 0 */
	struct room stubs[MV_STUB_ROOMS];
	u64 arrived; /* where the guest is behind the gate's instruction, 0 when there is none */
	u64 sleeps; /* how often the task has slept until it was its turn */
	u64 entry; /* of an agent in ring 0: where the guest would come to when it makes a call, were it not there; 0: it is not */
	u32 hurry; /* the agent in ring 0 is to come out before the program goes on */
	u32 out; /* why it has: MV_OUT_* */
	u32 tries; /* how often in a row the guest could not execute the agent's code */
};

/* The page that all tasks of a session share with the monitor. */
struct bell {
	u32 rung;   /* counts reports */
	u32 asleep; /* the monitor waits in the kernel for rung */
};

_Static_assert(sizeof(struct call) == MV_CALL_SIZE, "call");
_Static_assert(offsetof(struct call, arg) == MV_CALL_ARGS, "call.arg");
_Static_assert(offsetof(struct call, ret) == MV_CALL_RET, "call.ret");
_Static_assert(offsetof(struct call, flags) == MV_CALL_FLAGS, "call.flags");
_Static_assert(offsetof(struct call, ref) == MV_CALL_REF, "call.ref");
_Static_assert(offsetof(struct block, turn) == MV_BLOCK_TURN, "turn");
_Static_assert(offsetof(struct block, asleep) == MV_BLOCK_ASLEEP, "asleep");
_Static_assert(offsetof(struct block, event) == MV_BLOCK_EVENT, "event");
_Static_assert(offsetof(struct block, count) == MV_BLOCK_COUNT, "count");
_Static_assert(offsetof(struct block, done) == MV_BLOCK_DONE, "done");
_Static_assert(offsetof(struct block, flags) == MV_BLOCK_FLAGS, "flags");
_Static_assert(offsetof(struct block, spin) == MV_BLOCK_SPIN, "spin");
_Static_assert(offsetof(struct block, signalled) == MV_BLOCK_SIGNALLED, "signalled");
_Static_assert(offsetof(struct block, run) == MV_BLOCK_RUN, "run");
_Static_assert(offsetof(struct block, vcpu) == MV_BLOCK_VCPU, "vcpu");
_Static_assert(offsetof(struct block, mask) == MV_BLOCK_MASK, "mask");
_Static_assert(offsetof(struct block, child) == MV_BLOCK_CHILD, "child");
_Static_assert(offsetof(struct block, pid) == MV_BLOCK_PID, "pid");
_Static_assert(offsetof(struct block, tid) == MV_BLOCK_TID, "tid");
_Static_assert(offsetof(struct block, control) == MV_BLOCK_CONTROL, "control");
_Static_assert(offsetof(struct block, native) == MV_BLOCK_NATIVE, "native");
_Static_assert(offsetof(struct block, info) == MV_BLOCK_INFO, "info");
_Static_assert(offsetof(struct block, frame) == MV_BLOCK_FRAME, "frame");
_Static_assert(offsetof(struct block, open) == MV_BLOCK_OPEN, "open");
_Static_assert(offsetof(struct block, gate) == MV_BLOCK_GATE, "gate");
_Static_assert(offsetof(struct block, trap) == MV_BLOCK_TRAP, "trap");
_Static_assert(offsetof(struct block, jumped) == MV_BLOCK_JUMPED, "jumped");
_Static_assert(offsetof(struct block, rewritten) == MV_BLOCK_REWRITTEN, "rewritten");
_Static_assert(offsetof(struct block, onward) == MV_BLOCK_ONWARD, "onward");
_Static_assert(offsetof(struct block, stubs) == MV_BLOCK_STUBS, "stubs");
_Static_assert(offsetof(struct block, arrived) == MV_BLOCK_ARRIVED, "arrived");
_Static_assert(offsetof(struct block, sleeps) == MV_BLOCK_SLEEPS, "sleeps");
_Static_assert(offsetof(struct block, entry) == MV_BLOCK_ENTRY, "entry");
_Static_assert(offsetof(struct block, hurry) == MV_BLOCK_HURRY, "hurry");
_Static_assert(offsetof(struct block, out) == MV_BLOCK_OUT, "out");
_Static_assert(offsetof(struct block, tries) == MV_BLOCK_TRIES, "tries");
_Static_assert(sizeof(struct block) <= MV_CALLS, "block");
_Static_assert(offsetof(struct bell, rung) == MV_BELL_RUNG, "rung");
_Static_assert(offsetof(struct bell, asleep) == MV_BELL_ASLEEP, "bell.asleep");

/* entry.S */
i64 vhost_call(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f);
/* Executes a call unless *signalled is set or a signal comes first: then the
 * result is MV_NOT_EXECUTED. */
i64 vhost_call_unless(const u32 *signalled, const struct call *c, const u64 *arg);
extern const char vhost_unless_first[], vhost_unless_last[], vhost_unless_out[];
/* Makes a child that continues in vhost_child(block) on the stack of its block. */
i64 vhost_clone(u64 flags, u64 parent_tid, u64 child_tid, struct block *child);
void vhost_switch(struct block *b) __attribute__((noreturn));
/* Returns from a signal to what its context holds. */
void vhost_resume(struct ucontext *u) __attribute__((noreturn));

/* native.c */
/* Lets the program's calls and faults arrive as signals, the first of which is raised
 * at once: event is reported with it. Returns only if the kernel cannot do it. */
void vhost_arm(struct block *b);
/* Deals with a signal that the program's instructions have caused, or that came while
 * it ran. 0: it came in a call of the variant host's. */
int vhost_native_signal(struct block *b, int sig, const struct siginfo *info, struct ucontext *u);
/* Goes on with the program. */
void vhost_enter(struct block *b) __attribute__((noreturn));
/* Whether a signal that came in the variant host is a fault of its own instructions. */
int vhost_faulted(int sig, const struct siginfo *info, const struct ucontext *u);
/* Where a copy or comparison of the program's memory ends that is at ip, where it finds out whether that
 * is there; 0 for any other ip. */
u64 vhost_behind(u64 ip);
/* Leads a fault in a copy of the program's memory to where the copy ends; 0 if it is
 * another one. */
int vhost_repair(struct ucontext *u);

/* guest.c */
/* Runs the guest until there is something for the monitor. */
void vhost_run_guest(struct block *b);
/* Deals with a signal that came in the variant host while the agent was at work. 0: it came
 * in a call that signals may interrupt. */
int vhost_guest_signal(struct block *b, int sig, const struct siginfo *info, struct ucontext *u);

/* ring0.S: where the guest comes to in ring 0 when the agent is there. */
extern const char vhost_ring0_door_call[], vhost_ring0_call[];
/* Between first and last the agent is done with a call and the program's registers are being put back,
 * which can be done again from first; likewise with an exception. last is the instruction that leaves
 * ring 0. */
extern const char vhost_ring0_call_first[], vhost_ring0_call_last[];
extern const char vhost_ring0_fault_first[], vhost_ring0_fault_last[];

/* ring0.c */
/* Whether this code runs in the ring 0 of a guest. */
static inline int in_ring0(void)
{
	uint16_t cs;

	__asm__("mov %%cs, %0" : "=r"(cs));
	return !(cs & 3);
}
/* The program's call, or exception: 0 if the agent does not deal with it. */
u32 vhost_ring0_called(struct block *b);
u32 vhost_ring0_faulted(struct block *b);
/* What the variant host does about a stop of a guest whose agent is in ring 0. */
enum ring0 {
	RING0_NOT, /* it is not about the agent; the program is where its call or exception has led it */
	RING0_ON, /* the guest goes on */
	RING0_SIGNALLED, /* a call has been dealt with, and a signal come with it */
	RING0_STOPS, /* it is an exception with which the agent has not dealt */
	RING0_BROKEN, /* nobody knows what has happened: the program must not go on */
};
enum ring0 vhost_ring0_stopped(struct block *b, u64 *regs);

/* gate.S */
/* At the door, and in front of known, the gate does not know yet whether it takes the call. */
extern const char vhost_door[], vhost_gate[], vhost_gate_known[];
extern const char vhost_gate_first[], vhost_gate_last[], vhost_gate_again[];

/* gate.c */
/* A rewritten call of the program's. 0: it is done; otherwise it goes to the monitor by a
 * signal, for which the program's registers are put back. */
u32 vhost_gated(struct block *b);
/* A signal has come with the call, or behind it. */
u32 vhost_gate_late(struct block *b);
/* The stub that an address is in, 0 for none. The program may jump to where no stub is, of
 * which stub_there knows. */
u64 stub_of(const struct block *b, u64 ip);
int stub_there(u64 stub);
u64 stub_return(u64 stub);
/* Where the program is that is at ip in a stub. */
u64 stub_original(u64 stub, u64 ip);
/* Leads a program that goes step by step past what is not its own. 0: this step is. */
int stub_steps(u64 stub, struct ucontext *u);
/* The result of the call by which the program has come to the gate. */
u64 gate_result(struct block *b);

/* serve.c */
void vhost_serve(struct block *b, u32 event) __attribute__((noreturn));
void vhost_child(struct block *b) __attribute__((noreturn));
void vhost_signal(int sig, const void *info, void *context);
/* What a batch's calls do; apart from the loop so that tests can run it. */
u32 vhost_batch(struct block *b);
void vhost_report(struct block *b, u32 event);
/* Has the monitor look. */
void vhost_ring(void);
/* Ends the process if the monitor is gone: its end of the control socket closes with it. */
void vhost_mourn(const struct block *b);

/* Where the image is, which the linker knows. */
extern const char vhost_first[], vhost_end[];

/* The action of signals by which a native program comes to the variant host. */
extern const char vhost_action[];

/* start.c */
void vhost_start(u64 *stack) __attribute__((noreturn));
void vhost_begin(struct block *b) __attribute__((noreturn));
/* Reads the numbers that the monitor left in the environment: "mv=" and five
 * hexadecimal words with a colon between them. Returns 0 if it is not that. */
int vhost_parse(const char *s, u64 word[5]);

#endif
