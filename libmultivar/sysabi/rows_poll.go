package sysabi

// pollRows are the calls that wait for descriptors and the descriptors made
// for waiting. The kernel writes the rest of a timeout back also when a signal
// ends the call (fs/select.c, poll_select_finish), and poll's results too.
func pollRows() []Row {
	pollfds := recs("fds", InOut, pollfdLayout, lenMul(1, pollfdLayout.Size)).onErr(EINTR)
	set := func(name string) Arg { return inOut(name, Len{Kind: LenBits, Arg: 0}) }
	epollEvents := recs("events", Out, epollEventLayout, lenRet(2, epollEventLayout.Size))
	return []Row{
		{Name: "poll", Args: args(pollfds, u32("nfds"), i32("timeout")), Blocks: true, AwaitsEvents: true, Handler: HandlerPoll, Tame: TameHere},
		{Name: "ppoll", Args: args(pollfds, u32("nfds"), inOutRec("timeout", timespecLayout).onErr(EINTR), sigset("sigmask"), long("sigsetsize")), Blocks: true, AwaitsEvents: true, Signals: true, Handler: HandlerPoll, Tame: TameHere},
		{Name: "select", Args: args(i32("nfds"), set("readfds"), set("writefds"), set("exceptfds"), inOutRec("timeout", timevalLayout).onErr(EINTR)), Blocks: true, AwaitsEvents: true, Tame: TameHere},
		{Name: "pselect6", Args: args(i32("nfds"), set("readfds"), set("writefds"), set("exceptfds"), inOutRec("timeout", timespecLayout).onErr(EINTR), Arg{Name: "sigmask", Kind: SigsetArg, Dir: In}), Blocks: true, AwaitsEvents: true, Signals: true, Tame: TameHere},
		{Name: "epoll_create", Args: args(i32("size")), Ret: RetFD},
		{Name: "epoll_create1", Args: args(flags("flags", openNames)), Ret: RetFD},
		{Name: "epoll_ctl", Args: args(fd("epfd"), enum("op", epollOpNames), fd("fd"), sub("event")), Handler: HandlerEpollCtl, Tame: TameHere, Sub: &SubTable{
			Arg: 1, Mask: 0xffffffff,
			Cases: map[uint64]SubCase{
				// EPOLL_CTL_DEL ignores the event since Linux 2.6.9.
				2: {Args: args(unused("event"))},
			},
			Default: SubCase{Args: args(inRec("event", epollEventLayout))},
		}},
		{Name: "epoll_wait", Args: args(fd("epfd"), epollEvents, i32("maxevents"), i32("timeout")), Blocks: true, AwaitsEvents: true, Handler: HandlerEpollWait, Tame: TameHere},
		{Name: "epoll_pwait", Args: args(fd("epfd"), epollEvents, i32("maxevents"), i32("timeout"), sigset("sigmask"), long("sigsetsize")), Blocks: true, AwaitsEvents: true, Signals: true, Handler: HandlerEpollWait, Tame: TameHere},
		{Name: "epoll_pwait2", Args: args(fd("epfd"), epollEvents, i32("maxevents"), inRec("timeout", timespecLayout), sigset("sigmask"), long("sigsetsize")), Blocks: true, AwaitsEvents: true, Signals: true, Handler: HandlerEpollWait, Tame: TameHere},
		{Name: "eventfd", Args: args(u32("initval")), Ret: RetFD, Tame: TameHere},
		{Name: "eventfd2", Args: args(u32("initval"), flags("flags", eventfdNames)), Ret: RetFD, Tame: TameHere},
	}
}
