package sysabi

import "slices"

// The layouts of 64-bit Linux, from include/uapi and, for struct stat, struct
// sigaction and struct epoll_event, arch/*/include/uapi.

func layout(name string, size uint64, fields ...Field) *Layout {
	return &Layout{Name: name, Size: size, Fields: fields}
}

func member(name string, off, size uint64, k Kind) Field {
	return Field{Name: name, Off: off, Size: size, Kind: k}
}

// when returns the member restricted to records that fulfil c.
func (f Field) when(c FieldCond) Field {
	f.If = c
	return f
}

// points returns the member, a pointer that the kernel follows, with what is there.
func (f Field) points(l *Layout) Field {
	f.Points = l
	return f
}

// block returns the member, a pointer, with the block of bytes that is there.
func (f Field) block(b Block) Field {
	f.Block = &b
	return f
}

// Values that decide which members of a record count.
const (
	saRestorer     = 0x04000000
	ssDisable      = 2
	sigevSignal    = 0
	sigevNone      = 1
	siMesgQ        = -3
	siQueue        = -1
	sigevThread    = 2
	sigevThreadID  = 4
	utimeNowNsec   = 1<<30 - 1
	utimeOmitNsec  = 1<<30 - 2
	cloneSetTLS    = 0x00080000
	cloneParentTID = 0x00100000
	clonePidFD     = 0x00001000
	cloneChildTID  = 0x01000000 | 0x00200000
)

// Layouts that the kernel writes and programs never pass in: the bytes are
// replicated.
var (
	statLayout = &Layout{Name: "stat", Size: 144, arm64: &Layout{Name: "stat", Size: 128}}

	statxLayout     = layout("statx", 256)
	statfsLayout    = layout("statfs", 120)
	ustatLayout     = layout("ustat", 32)
	utsnameLayout   = layout("new_utsname", 390)
	sysinfoLayout   = layout("sysinfo", 112)
	rusageLayout    = layout("rusage", 144)
	tmsLayout       = layout("tms", 32)
	cachestatLayout = layout("cachestat", 40)
	ownerUIDsLayout = layout("uid_t[2]", 8, member("ruid", 0, 4, Uint), member("euid", 4, 4, Uint))
	// SI_QUEUE, SI_TIMER and SI_MESGQ come with a value of the program's own.
	siginfoOutLayout = layout("siginfo", 128,
		member("si_value", 24, 8, Word).when(FieldCond{Off: 8, Size: 4, Min: siMesgQ, Max: siQueue}))
	// waitid(2) writes these members only, and leaves the rest of the caller's
	// 128 bytes alone.
	siginfoChildLayout = layout("siginfo_child", 28,
		member("si_signo", 0, 4, Signal), member("si_errno", 4, 4, Int), member("si_code", 8, 4, Int),
		member("si_pid", 16, 4, Pid), member("si_uid", 20, 4, Uint), member("si_status", 24, 4, Int))
	fdLayout     = layout("int", 4, member("fd", 0, 4, FD))
	fdPairLayout = layout("int[2]", 8, member("fd0", 0, 4, FD), member("fd1", 4, 4, FD))
)

// Time.
var (
	timespecLayout = layout("timespec", 16, member("tv_sec", 0, 8, Long), member("tv_nsec", 8, 8, Long))
	timevalLayout  = layout("timeval", 16, member("tv_sec", 0, 8, Long), member("tv_usec", 8, 8, Long))
	timezoneLayout = layout("timezone", 8, member("tz_minuteswest", 0, 4, Int), member("tz_dsttime", 4, 4, Int))
	utimbufLayout  = layout("utimbuf", 16, member("actime", 0, 8, Long), member("modtime", 8, 8, Long))

	itimervalLayout = layout("itimerval", 32,
		member("interval_sec", 0, 8, Long), member("interval_usec", 8, 8, Long),
		member("value_sec", 16, 8, Long), member("value_usec", 24, 8, Long))
	itimerspecLayout = layout("itimerspec", 32,
		member("interval_sec", 0, 8, Long), member("interval_nsec", 8, 8, Long),
		member("value_sec", 16, 8, Long), member("value_nsec", 24, 8, Long))

	// utimensat(2) ignores tv_sec when tv_nsec is UTIME_NOW or UTIME_OMIT, and
	// GNU tar leaves it uninitialised.
	utimensLayout = layout("timespec", 16,
		member("tv_sec", 0, 8, Long).when(FieldCond{Off: 8, Size: 8, Min: utimeOmitNsec, Max: utimeNowNsec, Not: true}),
		member("tv_nsec", 8, 8, Long))
)

// timexLayout is struct timex; of its members count those that the modes name.
var timexLayout = func() *Layout {
	of := func(name string, off, size, modes uint64) Field {
		return member(name, off, size, Long).when(FieldCond{Size: 4, Mask: modes, Not: true})
	}
	const offset, freq, maxError, estError, status, constant, setOffset, tai, tick = 1, 2, 4, 8, 0x10, 0x20, 0x100, 0x80, 0x4000
	return layout("timex", 208,
		member("modes", 0, 4, Flags), of("offset", 8, 8, offset), of("freq", 16, 8, freq), of("maxerror", 24, 8, maxError),
		of("esterror", 32, 8, estError), of("status", 40, 4, status), of("constant", 48, 8, constant|tai),
		of("tv_sec", 72, 8, setOffset), of("tv_usec", 80, 8, setOffset), of("tick", 88, 8, tick))
}()

// Memory of any process of the program's, on which calls act.
var (
	pageLayout         = layout("void*", 8, member("page", 0, 8, Addr))
	remoteVectorLayout = layout("iovec", 16, member("iov_base", 0, 8, Addr), member("iov_len", 8, 8, Long))
)

// Signals.
var (
	// sigactionLayout is the kernel's structure, not libc's; glibc for arm64
	// leaves sa_restorer uninitialised.
	sigactionLayout = layout("sigaction", 32,
		member("sa_handler", 0, 8, Code),
		member("sa_flags", 8, 8, Flags),
		member("sa_restorer", 16, 8, Code).when(FieldCond{Off: 8, Size: 8, Mask: saRestorer, Not: true}),
		member("sa_mask", 24, 8, Long))
	// sigframeLayout is what a handler's frame has at the stack pointer of rt_sigreturn, up to
	// the mask (struct rt_sigframe, without the return address that is gone there): where the
	// program goes on, and what it blocks then, which is an address where there is no frame. Its other
	// registers may be anything.
	sigframeLayout = &Layout{
		Name: "rt_sigframe", Size: 304,
		Fields: []Field{member("sp", 160, 8, Code), member("ip", 168, 8, Code), member("mask", 296, 8, Word)},
		arm64: layout("rt_sigframe", 576,
			member("mask", 168, 8, Word), member("sp", 560, 8, Code), member("ip", 568, 8, Code)),
	}
	stackLayout = layout("stack_t", 24,
		member("ss_sp", 0, 8, Ptr).when(FieldCond{Off: 8, Size: 4, Mask: ssDisable}),
		member("ss_flags", 8, 4, Flags),
		member("ss_size", 16, 8, Long).when(FieldCond{Off: 8, Size: 4, Mask: ssDisable}))
	// siginfoLayout is what rt_sigqueueinfo(2) takes. The kernel sets si_signo
	// itself.
	siginfoLayout = layout("siginfo", 128,
		member("si_signo", 0, 4, None),
		member("si_errno", 4, 4, Int),
		member("si_code", 8, 4, Int),
		member("si_pid", 16, 4, Pid),
		member("si_uid", 20, 4, Uint),
		member("si_value", 24, 8, Word))
	sigeventLayout = layout("sigevent", 64,
		member("sigev_value", 0, 8, Word).when(FieldCond{Off: 12, Size: 4, Min: sigevNone, Max: sigevNone, Not: true}),
		member("sigev_signo", 8, 4, Signal).when(FieldCond{Off: 12, Size: 4, Min: sigevNone, Max: sigevNone, Not: true}),
		member("sigev_notify", 12, 4, Int),
		member("sigev_notify_thread_id", 16, 4, Pid).when(FieldCond{Off: 12, Size: 4, Min: sigevThreadID, Max: sigevThreadID}))
	// mqSigeventLayout is what mq_notify(2) takes. With SIGEV_THREAD it sends what
	// the value points to through the socket in sigev_signo, and glibc keeps
	// pointers there.
	mqSigeventLayout = layout("sigevent", 64,
		member("sigev_value", 0, 8, Word).when(FieldCond{Off: 12, Size: 4, Min: sigevSignal, Max: sigevSignal}),
		member("sigev_cookie", 0, 8, Ptr).points(notifyCookieLayout).when(FieldCond{Off: 12, Size: 4, Min: sigevThread, Max: sigevThread}),
		member("sigev_signo", 8, 4, Signal).when(FieldCond{Off: 12, Size: 4, Min: sigevNone, Max: sigevNone, Not: true}),
		member("sigev_notify", 12, 4, Int))
	// The kernel replaces the cookie's last byte (NOTIFY_COOKIE_LEN).
	notifyCookieLayout = layout("cookie", 32,
		member("word0", 0, 8, Word), member("word1", 8, 8, Word), member("word2", 16, 8, Word), member("rest", 24, 7, Buf))
)

// Processes and limits.
var (
	rlimitLayout     = layout("rlimit", 16, member("rlim_cur", 0, 8, Long), member("rlim_max", 8, 8, Long))
	schedParamLayout = layout("sched_param", 4, member("sched_priority", 0, 4, Int))
	capHeaderLayout  = layout("cap_user_header", 8, member("version", 0, 4, Uint), member("pid", 4, 4, Pid))
	// Versions 2 and 3 of the capability interface; version 1 has one triple.
	capDataLayout = layout("cap_user_data[2]", 24,
		member("effective0", 0, 4, Uint), member("permitted0", 4, 4, Uint), member("inheritable0", 8, 4, Uint),
		member("effective1", 12, 4, Uint), member("permitted1", 16, 4, Uint), member("inheritable1", 20, 4, Uint))
	cloneArgsLayout = layout("clone_args", 88,
		member("flags", 0, 8, Flags),
		member("pidfd", 8, 8, Ptr),
		member("child_tid", 16, 8, Ptr),
		member("parent_tid", 24, 8, Ptr),
		member("exit_signal", 32, 8, Long),
		member("stack", 40, 8, Ptr),
		member("stack_size", 48, 8, Long),
		member("tls", 56, 8, Ptr).when(FieldCond{Size: 8, Mask: cloneSetTLS, Not: true}),
		member("set_tid", 64, 8, Ptr),
		member("set_tid_size", 72, 8, Long),
		member("cgroup", 80, 8, Long))
	pidLayout   = layout("pid_t", 4, member("pid", 0, 4, Pid))
	ucredLayout = layout("ucred", 12, member("pid", 0, 4, Pid), member("uid", 4, 4, Uint), member("gid", 8, 4, Uint))
)

// System V objects and message queues. IPC_SET takes the members that are named
// and ignores the others.
var (
	semidLayout = &Layout{
		Name: "semid_ds", Size: 104, Fields: permMembers,
		arm64: &Layout{Name: "semid_ds", Size: 88, Fields: permMembers},
	}
	msqidLayout = layout("msqid_ds", 120, append(slices.Clone(permMembers),
		member("msg_qbytes", 88, 8, Long),
		member("msg_lspid", 96, 4, None), member("msg_lrpid", 100, 4, None))...)
	shmidLayout   = layout("shmid_ds", 112, permMembers...)
	shminfoLayout = layout("shminfo", 72)
	shmUseLayout  = layout("shm_info", 48)
	permMembers   = []Field{member("uid", 4, 4, Uint), member("gid", 8, 4, Uint), member("mode", 20, 4, Mode)}
	seminfoLayout = layout("seminfo", 40)
	msginfoLayout = layout("msginfo", 32)
	sembufLayout  = layout("sembuf", 6,
		member("sem_num", 0, 2, Uint), member("sem_op", 2, 2, Int), member("sem_flg", 4, 2, Flags))

	// What mq_open(2) and mq_getsetattr(2) read, and what the latter writes.
	mqLimitsLayout = layout("mq_attr", 64, member("mq_maxmsg", 8, 8, Long), member("mq_msgsize", 16, 8, Long))
	mqFlagsLayout  = layout("mq_attr", 64, member("mq_flags", 0, 8, Long))
	mqAttrLayout   = layout("mq_attr", 64)

	futexWaitvLayout = layout("futex_waitv", 24,
		member("val", 0, 8, Long), member("uaddr", 8, 8, Addr), member("flags", 16, 4, Flags), member("__reserved", 20, 4, Uint))
)

// Files and descriptors.
var (
	flockLayout = layout("flock", 32,
		member("l_type", 0, 2, Int), member("l_whence", 2, 2, Int),
		member("l_start", 8, 8, Long), member("l_len", 16, 8, Long), member("l_pid", 24, 4, None))
	// Locks of open file descriptions need l_pid to be zero (fcntl_locking(2)).
	flockOFDLayout = layout("flock", 32,
		member("l_type", 0, 2, Int), member("l_whence", 2, 2, Int),
		member("l_start", 8, 8, Long), member("l_len", 16, 8, Long), member("l_pid", 24, 4, Int))
	ownerExLayout = layout("f_owner_ex", 8, member("type", 0, 4, Int), member("pid", 4, 4, Pid))
	// poll(2) ignores events of an entry with a negative descriptor.
	pollfdLayout = layout("pollfd", 8,
		member("fd", 0, 4, FD),
		member("events", 4, 2, Flags).when(FieldCond{Size: 4, Min: 0, Max: 1<<31 - 1}),
		member("revents", 6, 2, None))
	epollEventLayout = &Layout{
		Name: "epoll_event", Size: 12,
		Fields: []Field{member("events", 0, 4, Flags), member("data", 4, 8, Word)},
		arm64: &Layout{
			Name: "epoll_event", Size: 16,
			Fields: []Field{member("events", 0, 4, Flags), member("data", 8, 8, Word)},
		},
	}
	cloneRangeLayout = layout("file_clone_range", 32,
		member("src_fd", 0, 8, FD), member("src_offset", 8, 8, Long),
		member("src_length", 16, 8, Long), member("dest_offset", 24, 8, Long))
	fsxattrLayout = layout("fsxattr", 28,
		member("fsx_xflags", 0, 4, Flags), member("fsx_extsize", 4, 4, Uint), member("fsx_nextents", 8, 4, None),
		member("fsx_projid", 12, 4, Uint), member("fsx_cowextsize", 16, 4, Uint), member("fsx_pad", 20, 8, None))
	// A handle of MAX_HANDLE_SZ bytes. Of the record only the room for the handle is read.
	fileHandleLayout     = layout("file_handle", 136, member("handle_bytes", 0, 4, Uint))
	epollSlotLayout      = layout("kcmp_epoll_slot", 12, member("efd", 0, 4, FD), member("tfd", 4, 4, FD), member("toff", 8, 4, Uint))
	pathBeneathLayout    = layout("landlock_path_beneath_attr", 12, member("allowed_access", 0, 8, Long), member("parent_fd", 8, 4, FD))
	netPortLayout        = layout("landlock_net_port_attr", 16, member("allowed_access", 0, 8, Long), member("port", 8, 8, Long))
	cachestatRangeLayout = layout("cachestat_range", 16, member("off", 0, 8, Long), member("len", 8, 8, Long))
)

// The values of extended attributes that the calls with a record set and get. The kernel
// refuses larger ones before it looks at them (XATTR_SIZE_MAX).
var (
	xattrSetLayout = xattrArgs(In)
	xattrGetLayout = xattrArgs(Out)
)

func xattrArgs(d Dir) *Layout {
	return layout("xattr_args", 16,
		member("value", 0, 8, Ptr).block(Block{SizeOff: 8, Most: 65536, Dir: d}),
		member("size", 8, 4, Uint), member("flags", 12, 4, Flags))
}

// Loop devices (linux/loop.h); lo_init is not read.
var (
	loopInfoMembers = func(at uint64) []Field {
		return []Field{
			member("lo_offset", at+24, 8, Long), member("lo_sizelimit", at+32, 8, Long),
			member("lo_encrypt_type", at+44, 4, Uint), member("lo_encrypt_key_size", at+48, 4, Uint), member("lo_flags", at+52, 4, Flags),
			member("lo_file_name", at+56, 64, Buf), member("lo_crypt_name", at+120, 64, Buf), member("lo_encrypt_key", at+184, 32, Buf),
		}
	}
	loopInfoLayout   = layout("loop_info64", 232, loopInfoMembers(0)...)
	loopConfigLayout = layout("loop_config", 304, append([]Field{member("fd", 0, 4, FD), member("block_size", 4, 4, Uint)},
		append(loopInfoMembers(8), member("__reserved", 240, 64, Buf))...)...)
	trimRangeLayout = layout("fstrim_range", 24, member("start", 0, 8, Long), member("len", 8, 8, Long), member("minlen", 16, 8, Long))
)

// Network devices, by name or by number; the kernel writes the whole record
// back.
var (
	ifreqFlagsLayout = layout("ifreq", 40, member("ifr_name", 0, 16, Buf), member("ifr_flags", 16, 2, Flags))
	ifreqLayout      = layout("ifreq", 40, member("ifr_name", 0, 16, Buf))
	ifreqIndexLayout = layout("ifreq", 40, member("ifr_ifindex", 16, 4, Int))
)

// Terminals. The kernel's termios has 19 control characters, libc's has 32.
var (
	winsizeLayout = layout("winsize", 8,
		member("ws_row", 0, 2, Uint), member("ws_col", 2, 2, Uint),
		member("ws_xpixel", 4, 2, Uint), member("ws_ypixel", 6, 2, Uint))
	termiosLayout = layout("termios", 36,
		member("c_iflag", 0, 4, Flags), member("c_oflag", 4, 4, Flags),
		member("c_cflag", 8, 4, Flags), member("c_lflag", 12, 4, Flags),
		member("c_line", 16, 1, Uint), member("c_cc", 17, 19, Buf))
	termios2Layout = layout("termios2", 44,
		member("c_iflag", 0, 4, Flags), member("c_oflag", 4, 4, Flags),
		member("c_cflag", 8, 4, Flags), member("c_lflag", 12, 4, Flags),
		member("c_line", 16, 1, Uint), member("c_cc", 17, 19, Buf),
		member("c_ispeed", 36, 4, Uint), member("c_ospeed", 40, 4, Uint))
	termioLayout = layout("termio", 18,
		member("c_iflag", 0, 2, Flags), member("c_oflag", 2, 2, Flags),
		member("c_cflag", 4, 2, Flags), member("c_lflag", 6, 2, Flags),
		member("c_line", 8, 1, Uint), member("c_cc", 9, 8, Buf))
)
