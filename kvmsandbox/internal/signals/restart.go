package signals

import "github.com/multivar/multivar/libmultivar/sysabi"

// Results with which calls tell the kernel that a signal interrupted them, and how they
// go on (include/linux/errno.h). No program sees them but [Interrupted].
const (
	// Interrupted is -EINTR: the call is over.
	Interrupted = -4
	// RestartSys is -ERESTARTSYS: the call is made again, unless a handler runs that
	// was set up without SA_RESTART.
	RestartSys = -512
	// RestartNoIntr is -ERESTARTNOINTR: the call is made again in any case.
	RestartNoIntr = -513
	// RestartNoHand is -ERESTARTNOHAND: the call is made again unless a handler runs.
	RestartNoHand = -514
	// RestartBlock is -ERESTART_RESTARTBLOCK: unless a handler runs,
	// restart_syscall(2) goes on with the call, which remembers its deadline.
	RestartBlock = -516
)

// restartSyscall is the number of restart_syscall(2).
const restartSyscall = 219

// AfterCall returns how a program goes on after call nr whose result is ret: with what
// in rax, and how many bytes before the address to which the call returns. handler is
// the action of the signal that a handler runs for, nil when none does (handle_signal
// and arch_do_signal_or_restart in arch/x86/kernel/signal.c). The other registers are
// those of the program at its call.
//
// Only the first of several handlers that start one after the other asks; a thread that
// is in no call has a negative nr and gets ret back.
func AfterCall(ret, nr int64, handler *Action) (rax int64, back uint64) {
	const syscallSize = 2 // the instruction's
	if nr < 0 {
		return ret, 0
	}
	switch ret {
	case RestartNoIntr:
	case RestartSys:
		if handler != nil && handler.Flags&SARestart == 0 {
			return Interrupted, 0
		}
	case RestartNoHand:
		if handler != nil {
			return Interrupted, 0
		}
	case RestartBlock:
		if handler != nil {
			return Interrupted, 0
		}
		return restartSyscall, syscallSize
	default:
		return ret, 0
	}
	return nr, syscallSize
}

// RestartCode returns what call nr, made with args, returned inside the kernel when it
// came back with EINTR to a process whose handler was set up without SA_RESTART: one of
// the constants above (signal(7), and the kernel's sources). Calls that are not known
// to restart are [Interrupted].
//
// On sockets with a timeout the answer is [Interrupted] instead of [RestartSys]; see
// [TimeoutOption].
func RestartCode(nr int64, args [6]uint64) int64 {
	row, ok := sysabi.Lookup(sysabi.AMD64, int(nr))
	if !ok || int64(int(nr)) != nr {
		return Interrupted
	}
	switch row.Name {
	case "read", "readv", "pread64", "preadv", "preadv2",
		"write", "writev", "pwrite64", "pwritev", "pwritev2",
		"sendfile", "splice", "tee", "vmsplice",
		"open", "openat", "openat2", "creat", "open_by_handle_at", "ioctl", "fcntl", "flock",
		"wait4", "waitid",
		"connect", "accept", "accept4",
		"recvfrom", "recvmsg", "recvmmsg", "sendto", "sendmsg", "sendmmsg",
		"mq_timedsend", "mq_timedreceive",
		"futex_waitv", "futex_wait",
		"getrandom", "syslog", "init_module", "finit_module", "request_key":
		return RestartSys
	case "pause", "rt_sigsuspend", "select", "pselect6", "ppoll",
		"msgsnd", "msgrcv", "io_pgetevents":
		return RestartNoHand
	case "clone", "clone3", "fork", "vfork", "ptrace":
		return RestartNoIntr
	case "poll", "nanosleep", "restart_syscall":
		return RestartBlock
	case "clock_nanosleep":
		const absolute = 1 // TIMER_ABSTIME
		if args[1]&absolute != 0 {
			return RestartNoHand
		}
		return RestartBlock
	case "futex":
		return futexCode(args)
	}
	return Interrupted
}

// futexCode returns the restart code of futex(2) (kernel/futex).
func futexCode(args [6]uint64) int64 {
	const (
		private, clock                  = 128, 256 // FUTEX_PRIVATE_FLAG, FUTEX_CLOCK_REALTIME
		wait, lock, waitBits, waitReque = 0, 6, 9, 11
		lock2                           = 13
	)
	switch args[1] & 0xffff_ffff &^ (private | clock) {
	case wait, waitBits:
		if timeout := args[3]; timeout != 0 {
			return RestartBlock
		}
		return RestartSys
	case lock, lock2, waitReque:
		return RestartNoIntr
	}
	return Interrupted
}

// TimeoutOption returns the option of SOL_SOCKET that, when it is set to anything but
// zero on the socket in the call's first argument, has an interrupted call return EINTR
// whatever the handler: SO_RCVTIMEO or SO_SNDTIMEO (sock_intr_errno in
// include/net/sock.h). It returns false for calls that do not look at either.
func TimeoutOption(nr int64) (option int, ok bool) {
	const receive, send = 20, 21
	row, ok := sysabi.Lookup(sysabi.AMD64, int(nr))
	if !ok || int64(int(nr)) != nr {
		return 0, false
	}
	switch row.Name {
	case "read", "readv", "preadv2", "recvfrom", "recvmsg", "recvmmsg", "accept", "accept4":
		return receive, true
	case "write", "writev", "pwritev2", "sendto", "sendmsg", "sendmmsg", "connect", "sendfile":
		return send, true
	}
	return 0, false
}
