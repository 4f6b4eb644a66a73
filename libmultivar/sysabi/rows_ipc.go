package sysabi

// ipcRows are the calls with which threads and processes synchronise and
// exchange messages, and asynchronous I/O.
func ipcRows() []Row {
	return []Row{
		futexRow(),
		later("futex_waitv", "waiting for several futexes", ptr("waiters"), u32("nr_futexes"), flags("flags", nil), ptr("timeout"), enum("clockid", clockNames)),
		later("futex_wake", "futexes of the second interface", addr("uaddr"), long("mask"), i32("nr"), flags("flags", nil)),
		later("futex_wait", "futexes of the second interface", addr("uaddr"), long("val"), long("mask"), flags("flags", nil), ptr("timeout"), enum("clockid", clockNames)),
		later("futex_requeue", "futexes of the second interface", ptr("waiters"), flags("flags", nil), i32("nr_wake"), i32("nr_requeue")),

		later("shmget", "System V shared memory", i32("key"), long("size"), flags("shmflg", nil)),
		later("shmat", "System V shared memory", i32("shmid"), addr("shmaddr"), flags("shmflg", nil)),
		later("shmdt", "System V shared memory", addr("shmaddr")),
		later("shmctl", "System V shared memory", i32("shmid"), i32("op"), ptr("buf")),
		later("semget", "System V semaphores", i32("key"), i32("nsems"), flags("semflg", nil)),
		later("semop", "System V semaphores", i32("semid"), ptr("sops"), long("nsops")),
		later("semtimedop", "System V semaphores", i32("semid"), ptr("sops"), long("nsops"), ptr("timeout")),
		later("semctl", "System V semaphores", i32("semid"), i32("semnum"), i32("op")),
		later("msgget", "System V message queues", i32("key"), flags("msgflg", nil)),
		later("msgsnd", "System V message queues", i32("msqid"), ptr("msgp"), long("msgsz"), flags("msgflg", nil)).waits(WaitOutput),
		later("msgrcv", "System V message queues", i32("msqid"), ptr("msgp"), long("msgsz"), long("msgtyp"), flags("msgflg", nil)),
		later("msgctl", "System V message queues", i32("msqid"), i32("op"), ptr("buf")),
		later("mq_open", "POSIX message queues", path("name"), flags("oflag", openNames), mode("mode").when(1, openCreates), ptr("attr")),
		later("mq_unlink", "POSIX message queues", path("name")),
		later("mq_timedsend", "POSIX message queues", fd("mqdes"), in("msg_ptr", lenArg(2)), long("msg_len"), u32("msg_prio"), ptr("abs_timeout")).waits(WaitOutput),
		later("mq_timedreceive", "POSIX message queues", fd("mqdes"), ptr("msg_ptr"), long("msg_len"), ptr("msg_prio"), ptr("abs_timeout")),
		later("mq_notify", "POSIX message queues", fd("mqdes"), ptr("sevp")),
		later("mq_getsetattr", "POSIX message queues", fd("mqdes"), ptr("newattr"), ptr("oldattr")),

		later("io_setup", "asynchronous I/O", u32("nr_events"), ptr("ctx_idp")),
		later("io_destroy", "asynchronous I/O", ptr("ctx_id")),
		later("io_submit", "asynchronous I/O", ptr("ctx_id"), long("nr"), ptr("iocbpp")),
		later("io_cancel", "asynchronous I/O", ptr("ctx_id"), ptr("iocb"), ptr("result")),
		later("io_getevents", "asynchronous I/O", ptr("ctx_id"), long("min_nr"), long("nr"), ptr("events"), ptr("timeout")),
		later("io_pgetevents", "asynchronous I/O", ptr("ctx_id"), long("min_nr"), long("nr"), ptr("events"), ptr("timeout"), ptr("sig")),
		refused("io_uring_setup", ENOSYS, "calls made through shared memory pass the monitor by", u32("entries"), ptr("params")),
		refused("io_uring_enter", ENOSYS, "calls made through shared memory pass the monitor by", fd("fd"), u32("to_submit"), u32("min_complete"), flags("flags", nil)),
		refused("io_uring_register", ENOSYS, "calls made through shared memory pass the monitor by", fd("fd"), u32("opcode"), ptr("arg"), u32("nr_args")),
	}
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
		val3     = u32("val3")
		blocking = func(name string, a ...Arg) SubCase { return SubCase{Name: name, Args: a, Blocks: true} }
		quick    = func(name string, a ...Arg) SubCase { return SubCase{Name: name, Args: a} }
		// The kernel writes the word of such a futex, also while its owner computes.
		inherits = func(name string) SubCase {
			return SubCase{Name: name, Args: args(val), Exec: Unsupported, Errno: ENOSYS, Reason: "priority inheritance: the kernel changes the futex behind the monitor's back"}
		}
	)
	return Row{
		Name: "futex", Args: args(addr("uaddr"), i32("futex_op"), sub("val")), Handler: HandlerFutex,
		Sub: &SubTable{
			Arg: 1, Mask: futexOpMask,
			Cases: map[uint64]SubCase{
				0:  blocking("FUTEX_WAIT", val, timeout),
				1:  quick("FUTEX_WAKE", val),
				3:  quick("FUTEX_REQUEUE", val, val2, uaddr2),
				4:  quick("FUTEX_CMP_REQUEUE", val, val2, uaddr2, val3),
				5:  quick("FUTEX_WAKE_OP", val, val2, uaddr2, val3),
				6:  inherits("FUTEX_LOCK_PI"),
				7:  inherits("FUTEX_UNLOCK_PI"),
				8:  inherits("FUTEX_TRYLOCK_PI"),
				9:  blocking("FUTEX_WAIT_BITSET", val, timeout, noAddr2, val3),
				10: quick("FUTEX_WAKE_BITSET", val, noTime, noAddr2, val3),
				11: inherits("FUTEX_WAIT_REQUEUE_PI"),
				12: inherits("FUTEX_CMP_REQUEUE_PI"),
				13: inherits("FUTEX_LOCK_PI2"),
			},
			Default: SubCase{Name: "unknown", Args: args(val), Exec: Unsupported, Errno: ENOSYS, Reason: "unknown operation"},
		},
	}
}
