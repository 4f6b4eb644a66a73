package sysabi

// reasonLabels is why security modules' labels are neither read nor set.
const reasonLabels = "security labels would part the leader from its followers"

// procRows are the calls about processes: their life, their ids and what they
// may do. The ids that a program sees are the leader's.
func procRows() []Row {
	return []Row{
		{
			Name:  "clone",
			Args:  args(flags("flags", cloneNames), ptr("stack"), cloneParent, cloneChild, cloneTLS),
			arm64: args(flags("flags", cloneNames), ptr("stack"), cloneParent, cloneTLS, cloneChild),
			Ret:   RetPid, Exec: All, Wait: WaitClone, Handler: HandlerClone,
		},
		{Name: "clone3", Args: args(recs("cl_args", In, cloneArgsLayout, lenArg(1)), long("size")), Ret: RetPid, Exec: All, Wait: WaitClone, Handler: HandlerClone3},
		{Name: "fork", Ret: RetPid, Exec: All, Wait: WaitClone, Handler: HandlerFork},
		{Name: "vfork", Ret: RetPid, Exec: All, Blocks: true, Wait: WaitClone, Handler: HandlerVfork},
		{Name: "execve", Args: args(path("pathname"), strVec("argv"), strVec("envp")), Exec: All, Wait: WaitExec, Handler: HandlerExecve},
		{Name: "execveat", Args: args(dirFD(), path("pathname"), strVec("argv"), strVec("envp"), flags("flags", atNames)), Exec: All, Wait: WaitExec, Handler: HandlerExecveat},
		{Name: "exit", Args: args(i32("status")), Ret: RetNone, Exec: All, Wait: WaitAlways, Handler: HandlerExit, Tame: TameHere},
		{Name: "exit_group", Args: args(i32("status")), Ret: RetNone, Exec: All, Wait: WaitAlways, Handler: HandlerExitGroup, Tame: TameHere},
		{Name: "wait4", Args: args(pid("pid"), out("wstatus", fixed(4)), flags("options", waitNames), outRec("rusage", rusageLayout)), Ret: RetPid, Blocks: true, Signals: true, Handler: HandlerWait4, Tame: TameHere},
		{Name: "waitid", Tame: TameHere, Args: args(enum("idtype", idTypeNames), sub("id")), Blocks: true, Signals: true, Handler: HandlerWaitid, Sub: &SubTable{
			Mask: 0xffffffff,
			Cases: map[uint64]SubCase{
				1: {Name: "P_PID", Args: waitidArgs(pid("id"))},
				2: {Name: "P_PGID", Args: waitidArgs(pid("id"))},
				3: {Name: "P_PIDFD", Args: waitidArgs(fd("id"))},
			},
			Default: SubCase{Args: waitidArgs(unused("id"))},
		}},
		{Name: "set_tid_address", Tame: TameHere, Args: args(ptr("tidptr")), Ret: RetPid, Exec: All, Handler: HandlerTidAddress},
		{Name: "set_robust_list", Tame: TameHere, Args: args(ptr("head"), long("len")), Exec: All, Handler: HandlerRobustList},
		{Name: "get_robust_list", Args: args(pid("pid"), out("head_ptr", fixed(8)), out("len_ptr", fixed(8))), Exec: All},
		refused("rseq", ENOSYS, "the kernel would write to memory between calls", ptr("rseq"), u32("rseq_len"), flags("flags", nil), u32("sig")),
		{Name: "restart_syscall", Blocks: true, Signals: true, Handler: HandlerRestart, Tame: TameHere},
		{Name: "personality", Args: args(u32("persona")), Exec: All, Handler: HandlerPersonality},

		{Name: "getpid", Ret: RetPid, Alone: AlonePid, Tame: TameHere},
		{Name: "getppid", Ret: RetPid, Tame: TameHere},
		{Name: "gettid", Ret: RetPid, Alone: AloneTid, Tame: TameHere},
		{Name: "getpgrp", Ret: RetPid, Tame: TameHere},
		{Name: "getpgid", Args: args(pid("pid")), Ret: RetPid, Tame: TameHere},
		{Name: "setpgid", Args: args(pid("pid"), pid("pgid"))},
		{Name: "getsid", Args: args(pid("pid")), Ret: RetPid, Tame: TameHere},
		{Name: "setsid", Ret: RetPid},
		{Name: "getuid", Tame: TameHere},
		{Name: "geteuid", Tame: TameHere},
		{Name: "getgid", Tame: TameHere},
		{Name: "getegid", Tame: TameHere},
		{Name: "setuid", Args: args(u32("uid"))},
		{Name: "setgid", Args: args(u32("gid"))},
		{Name: "setreuid", Args: args(u32("ruid"), u32("euid"))},
		{Name: "setregid", Args: args(u32("rgid"), u32("egid"))},
		{Name: "setresuid", Args: args(u32("ruid"), u32("euid"), u32("suid"))},
		{Name: "setresgid", Args: args(u32("rgid"), u32("egid"), u32("sgid"))},
		{Name: "getresuid", Args: args(out("ruid", fixed(4)), out("euid", fixed(4)), out("suid", fixed(4))), Tame: TameHere},
		{Name: "getresgid", Args: args(out("rgid", fixed(4)), out("egid", fixed(4)), out("sgid", fixed(4))), Tame: TameHere},
		{Name: "setfsuid", Args: args(u32("fsuid"))},
		{Name: "setfsgid", Args: args(u32("fsgid"))},
		{Name: "getgroups", Args: args(i32("size"), out("list", lenRet(0, 4))), Tame: TameHere},
		{Name: "setgroups", Args: args(i32("size"), in("list", lenMul(0, 4)))},
		// The kernel tells a program with an unknown version which one it wants.
		{Name: "capget", Args: args(inOutRec("hdrp", capHeaderLayout).onErr(EINVAL), outRec("datap", capDataLayout))},
		{Name: "capset", Args: args(inOutRec("hdrp", capHeaderLayout).onErr(EINVAL), inRec("datap", capDataLayout))},

		{Name: "getrlimit", Args: args(enum("resource", rlimitNames), outRec("rlim", rlimitLayout)), Handler: HandlerRlimit},
		{Name: "setrlimit", Args: args(enum("resource", rlimitNames), inRec("rlim", rlimitLayout)), Handler: HandlerRlimit},
		{Name: "prlimit64", Args: args(pid("pid"), enum("resource", rlimitNames), inRec("new_limit", rlimitLayout), outRec("old_limit", rlimitLayout)), Handler: HandlerRlimit},
		{Name: "getrusage", Args: args(i32("who"), outRec("usage", rusageLayout)), Alone: AloneRuns, Tame: TameHere},
		{Name: "getpriority", Args: args(i32("which"), pid("who"))},
		{Name: "setpriority", Args: args(i32("which"), pid("who"), i32("prio"))},
		{Name: "ioprio_get", Args: args(i32("which"), pid("who"))},
		{Name: "ioprio_set", Args: args(i32("which"), pid("who"), i32("ioprio"))},
		{Name: "sched_yield", Alone: AloneRuns, Syncs: true, Tame: TameHere},
		{Name: "sched_getaffinity", Args: args(pid("pid"), u32("cpusetsize"), outRet("mask", 1))},
		{Name: "sched_setaffinity", Args: args(pid("pid"), u32("cpusetsize"), in("mask", lenArg(1)))},
		{Name: "sched_getscheduler", Args: args(pid("pid"))},
		{Name: "sched_setscheduler", Args: args(pid("pid"), i32("policy"), inRec("param", schedParamLayout))},
		{Name: "sched_getparam", Args: args(pid("pid"), outRec("param", schedParamLayout))},
		{Name: "sched_setparam", Args: args(pid("pid"), inRec("param", schedParamLayout))},
		{Name: "sched_getattr", Args: args(pid("pid"), out("attr", lenArg(2)), u32("size"), flags("flags", nil))},
		// struct sched_attr starts with its size; zero stands for version 0. It
		// has neither padding nor pointers. With E2BIG the kernel writes the
		// size that it knows.
		{Name: "sched_setattr", Args: args(pid("pid"), inOut("attr", Len{Kind: LenPtr, Arg: 1, N: 48}).onErr(E2BIG), flags("flags", nil))},
		{Name: "sched_get_priority_max", Args: args(i32("policy")), Alone: AloneRuns, Tame: TameHere},
		{Name: "sched_get_priority_min", Args: args(i32("policy")), Alone: AloneRuns, Tame: TameHere},
		{Name: "sched_rr_get_interval", Args: args(pid("pid"), outRec("tp", timespecLayout))},
		{Name: "getcpu", Args: args(out("cpu", fixed(4)), out("node", fixed(4)), unused("tcache")), Alone: AloneRuns, Tame: TameHere},

		{Name: "pidfd_open", Args: args(pid("pid"), flags("flags", nil)), Ret: RetFD},
		// It could take descriptors from the monitor or a follower.
		{Name: "pidfd_getfd", Args: args(fd("pidfd"), fd("targetfd"), flags("flags", nil)), Ret: RetFD, Wait: WaitAlways},
		kcmpRow(),
		refused("ptrace", EPERM, "a program under the monitor cannot trace others", i32("op"), pid("pid")),
		refused("seccomp", ENOSYS, "filters would stop calls that the engine makes", u32("operation"), flags("flags", nil), ptr("args")),
		unshareRow(),
		setnsRow(),
		// As where no security module has labels: a follower would keep its own.
		refused("lsm_get_self_attr", EOPNOTSUPP, reasonLabels, u32("attr"), ptr("ctx"), ptr("size"), flags("flags", nil)),
		refused("lsm_set_self_attr", EOPNOTSUPP, reasonLabels, u32("attr"), ptr("ctx"), u32("size"), flags("flags", nil)),
		{Name: "lsm_list_modules", Args: args(out("ids", lenAt(1)), inOut("size", fixed(4)).onErr(E2BIG), flags("flags", nil))},
		prctlRow(),
		archPrctlRow(),
	}
}

// The arguments of clone whose order depends on the architecture.
var (
	cloneParent = ptr("parent_tid").when(0, cloneParentTID|clonePidFD)
	cloneChild  = ptr("child_tid").when(0, cloneChildTID)
	cloneTLS    = ptr("tls").when(0, cloneSetTLS)
)

// waitidArgs are waitid's arguments from the id on.
func waitidArgs(id Arg) []Arg {
	return args(id, outRec("infop", siginfoChildLayout), flags("options", waitNames), outRec("rusage", rusageLayout))
}
