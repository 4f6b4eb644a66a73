package sysabi

import "maps"

// reasonAIO: transfers end while the program runs, at another moment in each variant, and
// the kernel puts a ring of results where it likes. Programs do without.
const reasonAIO = "the kernel would write to memory while the program runs"

// ipcRows are the calls with which threads and processes synchronise and
// exchange messages, and asynchronous I/O.
func ipcRows() []Row {
	return []Row{
		futexRow(),
		{Name: "futex_waitv", Args: args(waiters(lenMul(1, futexWaitvLayout.Size)), u32("nr_futexes").atMost(maxFutexes), flags("flags", nil), inRec("timeout", timespecLayout), enum("clockid", clockNames).when(3, ^uint64(0))), Blocks: true, Handler: HandlerFutex2},
		{Name: "futex_wake", Args: args(addr("uaddr"), long("mask"), i32("nr"), flags("flags", nil)), Handler: HandlerFutex2},
		{Name: "futex_wait", Args: args(addr("uaddr"), long("val"), long("mask"), flags("flags", nil), inRec("timeout", timespecLayout), enum("clockid", clockNames).when(4, ^uint64(0))), Blocks: true, Handler: HandlerFutex2},
		{Name: "futex_requeue", Args: args(waiters(fixed(2*futexWaitvLayout.Size)), flags("flags", nil), i32("nr_wake"), i32("nr_requeue")), Handler: HandlerFutex2},

		{Name: "shmget", Args: args(i32("key"), long("size"), flags("shmflg", ipcNames)), Handler: HandlerShmget},
		{Name: "shmat", Args: args(i32("shmid"), addr("shmaddr"), flags("shmflg", shmNames)), Ret: RetAddr, Exec: All, Handler: HandlerShmat},
		{Name: "shmdt", Args: args(addr("shmaddr")), Exec: All, Handler: HandlerShmdt},
		shmctlRow(),
		{Name: "semget", Args: args(i32("key"), i32("nsems"), flags("semflg", ipcNames))},
		{Name: "semop", Args: args(i32("semid"), semOps, semCount), Blocks: true, Handler: HandlerSemop},
		{Name: "semtimedop", Args: args(i32("semid"), semOps, semCount, inRec("timeout", timespecLayout)), Blocks: true, Handler: HandlerSemop},
		semctlRow(),
		{Name: "msgget", Args: args(i32("key"), flags("msgflg", ipcNames))},
		// A message is a word, its type, and msgsz bytes of text.
		{Name: "msgsnd", Args: args(i32("msqid"), in("msgp", lenArg(2).behind(8)), long("msgsz").atMost(1<<31-1), flags("msgflg", msgFlagNames)), Blocks: true, Wait: WaitOutput, Handler: HandlerMsgsnd},
		{Name: "msgrcv", Args: args(i32("msqid"), out("msgp", lenRet(2, 1).behind(8)), long("msgsz"), long("msgtyp"), flags("msgflg", msgFlagNames)), Blocks: true},
		msgctlRow(),

		// Names of queues are no paths. They have no effect on files, and 255 bytes.
		{Name: "mq_open", Args: args(str("name"), flags("oflag", openNames), mode("mode").when(1, 0o100), inRec("attr", mqLimitsLayout)), Ret: RetFD},
		{Name: "mq_unlink", Args: args(str("name"))},
		{Name: "mq_timedsend", Args: args(fd("mqdes"), in("msg_ptr", lenArg(2)), long("msg_len").atMost(maxQueued), u32("msg_prio"), inRec("abs_timeout", timespecLayout)), Blocks: true, Signals: true, Wait: WaitOutput, Handler: HandlerMqSend},
		{Name: "mq_timedreceive", Args: args(fd("mqdes"), outRet("msg_ptr", 2), long("msg_len"), out("msg_prio", fixed(4)), inRec("abs_timeout", timespecLayout)), Blocks: true},
		{Name: "mq_notify", Args: args(fd("mqdes"), inRec("sevp", mqSigeventLayout)), Handler: HandlerMqNotify},
		{Name: "mq_getsetattr", Args: args(fd("mqdes"), inRec("newattr", mqFlagsLayout), outRec("oldattr", mqAttrLayout))},

		refused("io_setup", ENOSYS, reasonAIO, u32("nr_events"), ptr("ctx_idp")),
		refused("io_destroy", ENOSYS, reasonAIO, ptr("ctx_id")),
		refused("io_submit", ENOSYS, reasonAIO, ptr("ctx_id"), long("nr"), ptr("iocbpp")),
		refused("io_cancel", ENOSYS, reasonAIO, ptr("ctx_id"), ptr("iocb"), ptr("result")),
		refused("io_getevents", ENOSYS, reasonAIO, ptr("ctx_id"), long("min_nr"), long("nr"), ptr("events"), ptr("timeout")),
		refused("io_pgetevents", ENOSYS, reasonAIO, ptr("ctx_id"), long("min_nr"), long("nr"), ptr("events"), ptr("timeout"), ptr("sig")),
		refused("io_uring_setup", ENOSYS, "calls made through shared memory pass the monitor by", u32("entries"), ptr("params")),
		refused("io_uring_enter", ENOSYS, "calls made through shared memory pass the monitor by", fd("fd"), u32("to_submit"), u32("min_complete"), flags("flags", nil)),
		refused("io_uring_register", ENOSYS, "calls made through shared memory pass the monitor by", fd("fd"), u32("opcode"), ptr("arg"), u32("nr_args")),
	}
}

// Bounds that no configuration moves: FUTEX_WAITV_MAX, and HARD_MSGSIZEMAX of
// include/linux/ipc_namespace.h.
const (
	maxFutexes = 128
	maxQueued  = 16 << 20
)

// waiters is an array of struct futex_waitv.
func waiters(n Len) Arg { return recs("waiters", In, futexWaitvLayout, n) }

// What semop(2) does. The administrator may allow more operations than the engine
// compares; it refuses these.
var (
	semOps   = recs("sops", In, sembufLayout, lenMul(2, sembufLayout.Size))
	semCount = u32("nsops").atMost(1 << 20)
)

// semctlRow describes semctl(2). The fourth argument is a union, of which libc
// passes on whatever is there.
func semctlRow() Row {
	values := func(d Dir) Arg { return Arg{Name: "array", Kind: Buf, Dir: d, Len: Len{Kind: LenAsked}} }
	return Row{
		Name: "semctl", Args: args(i32("semid"), i32("semnum"), i32("op"), sub("arg")), Handler: HandlerSemctl,
		Sub: &SubTable{
			Arg: 2, Mask: 0xffffffff,
			Cases: map[uint64]SubCase{
				0:  plain("IPC_RMID"),
				1:  plain("IPC_SET", inRec("buf", semidLayout)),
				2:  plain("IPC_STAT", outRec("buf", semidLayout)),
				3:  plain("IPC_INFO", outRec("buf", seminfoLayout)),
				11: {Name: "GETPID", Ret: RetPid},
				12: plain("GETVAL"),
				13: plain("GETALL", values(Out)),
				14: plain("GETNCNT"),
				15: plain("GETZCNT"),
				16: plain("SETVAL", i32("val")),
				17: plain("SETALL", values(In)),
				18: plain("SEM_STAT", outRec("buf", semidLayout)),
				19: plain("SEM_INFO", outRec("buf", seminfoLayout)),
				20: plain("SEM_STAT_ANY", outRec("buf", semidLayout)),
			},
			Default: SubCase{Name: "unknown", Exec: Unsupported, Errno: EINVAL, Reason: reasonUnknownOp},
		},
	}
}

// controlRow describes shmctl(2) or msgctl(2), with the commands that only one of them has
// beside those of all System V objects.
func controlRow(name, id string, h Handler, object, info *Layout, own map[uint64]SubCase) Row {
	cases := map[uint64]SubCase{
		0: plain("IPC_RMID"),
		1: plain("IPC_SET", inRec("buf", object)),
		2: plain("IPC_STAT", outRec("buf", object)),
		3: plain("IPC_INFO", outRec("buf", info)),
	}
	maps.Copy(cases, own)
	return Row{
		Name: name, Args: args(i32(id), i32("op"), sub("buf")), Handler: h,
		Sub: &SubTable{
			Arg: 1, Mask: 0xffffffff, Cases: cases,
			Default: SubCase{Name: "unknown", Exec: Unsupported, Errno: EINVAL, Reason: reasonUnknownOp},
		},
	}
}

func shmctlRow() Row {
	return controlRow("shmctl", "shmid", HandlerShmctl, shmidLayout, shminfoLayout, map[uint64]SubCase{
		11: plain("SHM_LOCK"),
		12: plain("SHM_UNLOCK"),
		13: plain("SHM_STAT", outRec("buf", shmidLayout)),
		14: plain("SHM_INFO", outRec("buf", shmUseLayout)),
		15: plain("SHM_STAT_ANY", outRec("buf", shmidLayout)),
	})
}

func msgctlRow() Row {
	return controlRow("msgctl", "msqid", HandlerMsgctl, msqidLayout, msginfoLayout, map[uint64]SubCase{
		11: plain("MSG_STAT", outRec("buf", msqidLayout)),
		12: plain("MSG_INFO", outRec("buf", msginfoLayout)),
		13: plain("MSG_STAT_ANY", outRec("buf", msqidLayout)),
	})
}

// futexOpMask are the bits of futex_op that are the operation: without
// FUTEX_PRIVATE_FLAG (128) and FUTEX_CLOCK_REALTIME (256).
const futexOpMask = 0xffffffff &^ (128 | 256)

// futexRow describes futex(2). The leader's engine executes it; what the
// fourth argument is depends on the operation. An unknown one gets the
// kernel's ENOSYS.
func futexRow() Row {
	var (
		val      = u32("val")
		timeout  = inRec("timeout", timespecLayout)
		noTime   = unused("timeout")
		val2     = u32("val2")
		uaddr2   = addr("uaddr2")
		noAddr2  = unused("uaddr2")
		changed  = Arg{Name: "uaddr2", Kind: Addr, Dir: Out, Len: fixed(4)}
		val3     = u32("val3")
		blocking = func(name string, a ...Arg) SubCase { return SubCase{Name: name, Args: a, Blocks: true} }
		noVal    = unused("val")
		// These no program makes since glibc 2.25.
		requeues = func(name string) SubCase {
			return SubCase{Name: name, Args: args(val), Exec: Unsupported, Errno: ENOSYS, Reason: "moving waiters to a futex that inherits priorities"}
		}
	)
	return Row{
		Name: "futex", Args: args(addr("uaddr"), i32("futex_op"), sub("val")), Handler: HandlerFutex, Syncs: true,
		Sub: &SubTable{
			Arg: 1, Mask: futexOpMask,
			Cases: map[uint64]SubCase{
				0:  blocking("FUTEX_WAIT", val, timeout),
				1:  plain("FUTEX_WAKE", val),
				3:  plain("FUTEX_REQUEUE", val, val2, uaddr2),
				4:  plain("FUTEX_CMP_REQUEUE", val, val2, uaddr2, val3),
				5:  plain("FUTEX_WAKE_OP", val, val2, changed, val3),
				6:  blocking("FUTEX_LOCK_PI", noVal, timeout),
				7:  plain("FUTEX_UNLOCK_PI"),
				8:  plain("FUTEX_TRYLOCK_PI"),
				9:  blocking("FUTEX_WAIT_BITSET", val, timeout, noAddr2, val3),
				10: plain("FUTEX_WAKE_BITSET", val, noTime, noAddr2, val3),
				11: requeues("FUTEX_WAIT_REQUEUE_PI"),
				12: requeues("FUTEX_CMP_REQUEUE_PI"),
				13: blocking("FUTEX_LOCK_PI2", noVal, timeout),
			},
			Default: SubCase{Name: "unknown", Args: args(val), Exec: Unsupported, Errno: ENOSYS, Reason: "unknown operation"},
		},
	}
}
