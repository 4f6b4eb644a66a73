package sysabi

// timeRows are the calls about clocks, sleeps and timers. The leader's time is
// everyone's.
func timeRows() []Row {
	return []Row{
		{Name: "gettimeofday", Args: args(outRec("tv", timevalLayout), outRec("tz", timezoneLayout)), Alone: AloneRuns, Tame: TameHere, Handler: HandlerClock},
		{Name: "settimeofday", Args: args(inRec("tv", timevalLayout), inRec("tz", timezoneLayout))},
		{Name: "time", Args: args(out("tloc", fixed(8))), Alone: AloneRuns, Tame: TameHere, Handler: HandlerClock},
		{Name: "times", Args: args(outRec("buf", tmsLayout)), Alone: AloneRuns, Tame: TameHere},
		{Name: "clock_gettime", Args: args(enum("clockid", clockNames), outRec("tp", timespecLayout)), Alone: AloneRuns, Tame: TameHere, Handler: HandlerClock},
		{Name: "clock_settime", Args: args(enum("clockid", clockNames), inRec("tp", timespecLayout))},
		{Name: "clock_getres", Args: args(enum("clockid", clockNames), outRec("res", timespecLayout)), Alone: AloneRuns, Tame: TameHere},
		{Name: "adjtimex", Args: args(inOutRec("buf", timexLayout))},
		{Name: "clock_adjtime", Args: args(enum("clockid", clockNames), inOutRec("buf", timexLayout))},
		{Name: "nanosleep", Args: args(inRec("req", timespecLayout), outRec("rem", timespecLayout).onErr(EINTR)), Blocks: true, Tame: TameHere},
		{Name: "clock_nanosleep", Args: args(enum("clockid", clockNames), flags("flags", timerNames), inRec("req", timespecLayout), outRec("rem", timespecLayout).onErr(EINTR)), Blocks: true, Tame: TameHere},
		{Name: "alarm", Args: args(u32("seconds"))},
		{Name: "getitimer", Args: args(enum("which", itimerNames), outRec("curr_value", itimervalLayout)), Tame: TameHere},
		{Name: "setitimer", Args: args(enum("which", itimerNames), inRec("new_value", itimervalLayout), outRec("old_value", itimervalLayout))},
		{Name: "timer_create", Args: args(enum("clockid", clockNames), inRec("sevp", sigeventLayout), out("timerid", fixed(4)))},
		{Name: "timer_settime", Args: args(i32("timerid"), flags("flags", timerNames), inRec("new_value", itimerspecLayout), outRec("old_value", itimerspecLayout))},
		{Name: "timer_gettime", Args: args(i32("timerid"), outRec("curr_value", itimerspecLayout)), Tame: TameHere},
		{Name: "timer_getoverrun", Args: args(i32("timerid")), Tame: TameHere},
		{Name: "timer_delete", Args: args(i32("timerid"))},
		{Name: "timerfd_create", Args: args(enum("clockid", clockNames), flags("flags", openNames)), Ret: RetFD},
		{Name: "timerfd_settime", Args: args(fd("fd"), flags("flags", timerNames), inRec("new_value", itimerspecLayout), outRec("old_value", itimerspecLayout)), Tame: TameHere},
		{Name: "timerfd_gettime", Args: args(fd("fd"), outRec("curr_value", itimerspecLayout)), Tame: TameHere},
	}
}
