package sysabi

const (
	reasonVDSO        = "the monitor places programs, and the vDSO if they have one"
	reasonShadowStack = "shadow stacks are off"
	reasonUnknownOp   = "unknown command"
)

// prctlRow describes prctl(2). Only the arguments that an option uses are
// compared, and those that the kernel wants to be zero: libc passes on
// whatever is in the other registers.
func prctlRow() Row {
	zeros := func(n int) []Arg {
		return args(long("arg2"), long("arg3"), long("arg4"), long("arg5"))[4-n:]
	}
	with := func(a Arg, zero int) []Arg { return append(args(a), zeros(zero)...) }
	leader := func(name string, a ...Arg) SubCase { return SubCase{Name: name, Args: a} }
	all := func(name string, a ...Arg) SubCase { return SubCase{Name: name, Args: a, Exec: All} }
	answer := func(name string, a ...Arg) SubCase { return SubCase{Name: name, Args: a, Exec: Answer} }
	refuse := func(name, reason string, errno uint16) SubCase {
		return SubCase{Name: name, Exec: Unsupported, Errno: errno, Reason: reason}
	}
	word := func(name string) Arg { return out(name, fixed(4)) }
	return Row{
		Name: "prctl", Args: args(i32("option"), sub("arg2")), Handler: HandlerPrctl,
		Sub: &SubTable{
			Mask: 0xffffffff,
			Cases: map[uint64]SubCase{
				1: leader("PR_SET_PDEATHSIG", Arg{Name: "sig", Kind: Signal, Names: signalNames}),
				2: leader("PR_GET_PDEATHSIG", word("sig")),
				// The engine knows the answer: really undumpable processes
				// could not be read by an unprivileged monitor.
				3: answer("PR_GET_DUMPABLE"),
				4: answer("PR_SET_DUMPABLE", long("dumpable")),
				7: leader("PR_GET_KEEPCAPS"),
				8: leader("PR_SET_KEEPCAPS", long("state")),
				// A name is cut to 15 bytes and NUL.
				15: all("PR_SET_NAME", Arg{Name: "name", Kind: String, Dir: In, Len: fixed(16)}),
				16: leader("PR_GET_NAME", out("name", fixed(16))),
				21: refuse("PR_GET_SECCOMP", "as on a kernel without seccomp", EINVAL),
				22: refuse("PR_SET_SECCOMP", "filters would stop calls that the engine makes", EINVAL),
				23: leader("PR_CAPBSET_READ", long("cap")),
				24: leader("PR_CAPBSET_DROP", long("cap")),
				// The engine keeps the counter trapped and answers its readers.
				25: answer("PR_GET_TSC", word("mode")),
				26: answer("PR_SET_TSC", i32("mode")),
				27: leader("PR_GET_SECUREBITS"),
				28: leader("PR_SET_SECUREBITS", long("bits")),
				29: leader("PR_SET_TIMERSLACK", long("slack_ns")),
				30: leader("PR_GET_TIMERSLACK"),
				31: leader("PR_TASK_PERF_EVENTS_DISABLE"),
				32: leader("PR_TASK_PERF_EVENTS_ENABLE"),
				33: leader("PR_MCE_KILL", zeros(4)...),
				34: leader("PR_MCE_KILL_GET", zeros(4)...),
				35: refuse("PR_SET_MM", "the engine places the program's memory", EPERM),
				36: leader("PR_SET_CHILD_SUBREAPER", long("set")),
				37: leader("PR_GET_CHILD_SUBREAPER", word("isset")),
				38: all("PR_SET_NO_NEW_PRIVS", zeros(4)...),
				// The engine sets it for its own filter; the program must not see that.
				39: answer("PR_GET_NO_NEW_PRIVS", zeros(4)...),
				40: all("PR_GET_TID_ADDRESS", out("addrp", fixed(8))),
				41: all("PR_SET_THP_DISABLE", with(long("flag"), 3)...),
				42: leader("PR_GET_THP_DISABLE", zeros(4)...),
				47: leader("PR_CAP_AMBIENT", zeros(4)...),
				52: leader("PR_GET_SPECULATION_CTRL", zeros(4)...),
				53: all("PR_SET_SPECULATION_CTRL", zeros(4)...),
				57: leader("PR_SET_IO_FLUSHER", zeros(4)...),
				58: leader("PR_GET_IO_FLUSHER", zeros(4)...),
				59: refuse("PR_SET_SYSCALL_USER_DISPATCH", "calls would be taken from the monitor", EINVAL),
				62: refuse("PR_SCHED_CORE", "variants must be free to share a core", EINVAL),
				65: all("PR_SET_MDWE", zeros(4)...),
				66: leader("PR_GET_MDWE", zeros(4)...),
				67: all("PR_SET_MEMORY_MERGE", zeros(4)...),
				68: leader("PR_GET_MEMORY_MERGE", zeros(4)...),
				// The name may be null.
				0x53564d41: all("PR_SET_VMA", long("attr"), addr("addr"), long("size"), str("val")),
				// The vector holds addresses: each variant gets its own.
				0x41555856: all("PR_GET_AUXV", out("auxv", lenRet(2, 1)), long("size"), long("arg4"), long("arg5")),
				0x59616d61: leader("PR_SET_PTRACER", pid("pid")),
			},
			Default: refuse("unknown", reasonUnknownOp, EINVAL),
		},
	}
}

// archPrctlRow describes arch_prctl(2), which only x86 has.
func archPrctlRow() Row {
	all := func(name string, a ...Arg) SubCase { return SubCase{Name: name, Args: a, Exec: All} }
	leader := func(name string, a ...Arg) SubCase { return SubCase{Name: name, Args: a} }
	refuse := func(name, reason string, errno uint16) SubCase {
		return SubCase{Name: name, Exec: Unsupported, Errno: errno, Reason: reason}
	}
	return Row{
		Name: "arch_prctl", Args: args(i32("op"), sub("addr")), Handler: HandlerArchPrctl,
		Sub: &SubTable{
			Mask: 0xffffffff,
			Cases: map[uint64]SubCase{
				0x1001: all("ARCH_SET_GS", ptr("addr")),
				0x1002: all("ARCH_SET_FS", ptr("addr")),
				0x1003: all("ARCH_GET_FS", out("addr", fixed(8))),
				0x1004: all("ARCH_GET_GS", out("addr", fixed(8))),
				0x1011: leader("ARCH_GET_CPUID"),
				0x1012: refuse("ARCH_SET_CPUID", "faulting CPUID is the engine's", ENODEV),
				0x1021: leader("ARCH_GET_XCOMP_SUPP", out("features", fixed(8))),
				0x1022: leader("ARCH_GET_XCOMP_PERM", out("features", fixed(8))),
				0x1023: all("ARCH_REQ_XCOMP_PERM", long("feature")),
				0x2001: refuse("ARCH_MAP_VDSO_X32", reasonVDSO, EINVAL),
				0x2002: refuse("ARCH_MAP_VDSO_32", reasonVDSO, EINVAL),
				0x2003: refuse("ARCH_MAP_VDSO_64", reasonVDSO, EINVAL),
				0x3001: refuse("ARCH_CET_STATUS", reasonShadowStack, EINVAL),
				0x4001: refuse("ARCH_GET_UNTAG_MASK", "linear address masking is off", EINVAL),
				0x4002: refuse("ARCH_ENABLE_TAGGED_ADDR", "linear address masking is off", ENODEV),
				0x5001: refuse("ARCH_SHSTK_ENABLE", reasonShadowStack, EOPNOTSUPP),
				0x5002: refuse("ARCH_SHSTK_DISABLE", reasonShadowStack, EOPNOTSUPP),
				0x5003: refuse("ARCH_SHSTK_LOCK", reasonShadowStack, EOPNOTSUPP),
				0x5004: refuse("ARCH_SHSTK_UNLOCK", reasonShadowStack, EOPNOTSUPP),
				0x5005: refuse("ARCH_SHSTK_STATUS", reasonShadowStack, EOPNOTSUPP),
			},
			Default: refuse("unknown", reasonUnknownOp, EINVAL),
		},
	}
}
