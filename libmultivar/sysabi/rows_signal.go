package sysabi

// signalRows are the calls about signals. Handlers, masks and stacks are set
// in every variant; signals are sent and awaited by the leader only and reach
// the followers as events.
func signalRows() []Row {
	// SIG_BLOCK is 0, and counts in 32 bits. Without a set nothing changes.
	maskBlocks := []ArgBits{{Arg: 0, Mask: 0xffffffff}, {Arg: 1, Mask: ^uint64(0)}}
	return []Row{
		{Name: "rt_sigaction", Args: args(sig("signum"), inRec("act", sigactionLayout), outRec("oldact", sigactionLayout), long("sigsetsize")), Exec: All, Handler: HandlerSigaction},
		{Name: "rt_sigprocmask", Args: args(enum("how", sigHowNames).when(1, ^uint64(0)), sigset("set"), out("oldset", fixed(sigsetSize)), long("sigsetsize")), Exec: All, Signals: true, Silent: maskBlocks, Handler: HandlerSigprocmask, Tame: TameHere},
		{Name: "rt_sigreturn", Args: args(inRec("frame", sigframeLayout)), Ret: RetNone, Exec: Each, Signals: true, Handler: HandlerSigreturn, Tame: TameHere},
		{Name: "sigaltstack", Args: args(inRec("ss", stackLayout), outRec("old_ss", stackLayout)), Exec: All, Handler: HandlerSigaltstack, Tame: TameHere},
		{Name: "rt_sigsuspend", Args: args(sigset("mask"), long("sigsetsize")), Blocks: true, AwaitsEvents: true, Signals: true, Handler: HandlerSigsuspend, Tame: TameHere},
		{Name: "rt_sigpending", Args: args(out("set", lenArg(1)), long("sigsetsize")), Handler: HandlerPending, Tame: TameHere},
		{Name: "rt_sigtimedwait", Args: args(sigset("set"), outRec("info", siginfoOutLayout), inRec("timeout", timespecLayout), long("sigsetsize")), Blocks: true, Handler: HandlerPending, Tame: TameHere},
		{Name: "pause", Blocks: true, AwaitsEvents: true, Signals: true, Tame: TameHere},
		{Name: "kill", Args: args(pid("pid"), sig("sig")), Signals: true, Handler: HandlerKill},
		{Name: "tkill", Args: args(pid("tid"), sig("sig")), Signals: true, Handler: HandlerTgkill},
		{Name: "tgkill", Args: args(pid("tgid"), pid("tid"), sig("sig")), Signals: true, Handler: HandlerTgkill},
		{Name: "rt_sigqueueinfo", Args: args(pid("tgid"), sig("sig"), inRec("info", siginfoLayout)), Signals: true, Handler: HandlerSigqueue},
		{Name: "rt_tgsigqueueinfo", Args: args(pid("tgid"), pid("tid"), sig("sig"), inRec("info", siginfoLayout)), Signals: true, Handler: HandlerSigqueue},
		{Name: "pidfd_send_signal", Args: args(fd("pidfd"), sig("sig"), inRec("info", siginfoLayout), flags("flags", nil)), Signals: true, Handler: HandlerSigqueue},
		{Name: "signalfd", Args: args(fd("fd"), in("mask", fixed(sigsetSize)), long("sizemask")), Ret: RetFD},
		{Name: "signalfd4", Args: args(fd("fd"), in("mask", fixed(sigsetSize)), long("sizemask"), flags("flags", openNames)), Ret: RetFD},
	}
}
