/* What the tests of the variant host's C code have in common. The sources of src
 * are part of the same program, but for two things: their start is called
 * vhost_entry, and their calls of vhost_call arrive in hook. */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vhost.h"

/* A test. All of them are in main.c's list; each has a process of its own. */
#define TESTS(F) \
	F(parse) F(parse_random) \
	F(start) F(start_refused) F(start_fails) \
	F(batch_refs) F(batch_must) F(batch_count) F(batch_store) F(batch_signalled) F(serve_run) \
	F(signal_before) F(signal_during) F(signal_restart) F(signal_none) F(signal_window) \
	F(signal_everywhere) F(signal_storm) F(report_everywhere) \
	F(wake_asleep) F(wake_spinning) F(wake_two) \
	F(clone_stack) F(clone_fails) F(monitor_dies) \
	F(ring_records) F(ring_large) F(ring_boundary) F(ring_in_place) F(ring_match) F(ring_drop) F(ring_ahead) F(ring_head) \
	F(ring_misuse) F(ring_positions) F(ring_headers) F(ring_scribbling_writer) F(ring_scribbling_reader) \
	F(ring_wait_everywhere) F(ring_wake_everywhere) F(ring_asleep) F(ring_spinning) F(ring_spin_only) F(ring_away) F(ring_looks) \
	F(ring_patience) F(ring_fault_told) F(ring_no_futex) \
	F(event_misuse) \
	F(guest_calls) F(guest_no_calls) F(guest_signalled) \
	F(native_door) F(native_wild) F(native_late) F(native_identity) \
	F(agent_files) F(agent_reads_all) F(agent_whole) F(agent_ready_and_slow) F(agent_lingers) F(agent_constants) F(agent_much) F(agent_revoked) \
	F(agent_closes) F(agent_closes_shared) F(agent_streams) F(agent_stream_gone) F(agent_stream_refused) F(agent_stream_both_ways) F(agent_stream_families) F(agent_brief) F(agent_opens) F(agent_absent) F(agent_nameless) F(agent_name_ends) F(agent_messages) F(agent_atomic) F(agent_own) F(agent_looks) F(agent_known_looks) F(agent_sees) F(agent_timed) F(agent_mapped) F(agent_raw) F(agent_tells) \
	F(mask_changes) F(mask_waits) F(mask_jumped) F(mask_follows) \
	F(dup_files) F(dup_replaces) F(dup_known) F(answers) F(answers_refused) \
	F(hash_defined) F(hash_differs) F(hash_absent) F(hash_compared) F(hash_not) F(hash_unasked) \
	F(stamp_told) F(stamp_alone) F(stamp_differs) F(stamp_refused) F(stamp_forged) F(stamp_code) F(ring_again) F(guest_stamps) \
	F(ring0_kernel) F(ring0_out) F(ring0_interrupted) F(ring0_copies) F(ring0_step) F(ring0_tries) F(ring0_signalled) F(ring0_fails) F(ring0_program) \
	F(ring0_calls) F(ring0_stamps) \
	F(several_sent) F(several_differ) F(several_sleep) F(several_refused) F(several_received) F(several_answers_refused)

#define DECLARE(name) void test_##name(void);
TESTS(DECLARE)

#define CHECK(cond, ...) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "%s:%d: %s:", __FILE__, __LINE__, #cond); \
			fprintf(stderr, " " __VA_ARGS__); \
			fprintf(stderr, "\n"); \
			_exit(1); \
		} \
	} while (0)

void _exit(int status) __attribute__((noreturn));

/* The exit status of a test for which the machine lacks something. */
enum { MISSING = 77 };

/* Where blocks and the bell are in this process: memory that it shares with its
 * children, at the addresses that the variant host expects. */
enum { BLOCKS = 8 };
struct block *block(int i);
struct call *calls_of(struct block *b);
static struct bell *const the_bell = (struct bell *)MV_BELL;

/* All calls that the variant host makes outside of vhost_call_unless. NULL makes
 * them as they are. */
typedef i64 hook_fn(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f);
extern hook_fn *hook;
hook_fn __real_vhost_call;

/* The number of a call that only hooks know. */
enum { FAKE_CALL = 100000 };

/* Calls f on the block's stack, as the variant host runs. */
u32 on_block_stack(struct block *b, u32 (*f)(struct block *));

/* Lets the variant host handle a signal. */
void handle_signal(int sig, u64 flags);
/* The signals that are blocked. */
u64 blocked_signals(void);
void block_all_signals(void);
static inline u64 signal_bit(int sig) { return 1ULL << (sig - 1); }
/* What the kernel told about the signal that a block kept. */
int info_signal(const struct block *b);
int info_value(const struct block *b);

/* Gives the block's task a batch and the turn, as Block.Post does. */
void post(struct block *b, u32 count, u32 flags);
/* Waits for the block's report, with the bell. */
void await_report(struct block *b);
void put_call(struct block *b, u32 i, i64 nr, u64 arg0, u64 arg1, u64 arg2, u32 flags);
/* The exit status of a child, or 1000 and the signal that killed it. */
int wait_status(int pid);

/* A sequence of numbers that looks random, the same in each run. */
struct random {
	u64 state;
};
u32 next_random(struct random *r, u32 limit);

#endif
