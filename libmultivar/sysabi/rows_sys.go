package sysabi

// Reasons that several rows share.
const (
	reasonNeverThere = "Linux has no such call"
	reasonRemoved    = "Linux removed this call"
	reasonHost       = "changes the host for everyone"
	reasonKernelCode = "loads code or probes into the kernel"
	reasonPorts      = "raw hardware access"
)

// sysRows are the calls about the system as a whole, and numbers that mean
// nothing any more.
func sysRows() []Row {
	return []Row{
		ioctlRow(),
		fcntlRow(),
		{Name: "uname", Args: args(outRec("buf", utsnameLayout)), Alone: AloneRuns},
		{Name: "sysinfo", Args: args(outRec("info", sysinfoLayout)), Alone: AloneRuns},
		{Name: "getrandom", Args: args(outRet("buf", 1), long("buflen"), flags("flags", getrandomNames)), Moves: 1, Alone: AloneRuns},
		{Name: "sethostname", Args: args(in("name", lenArg(1)), i32("len"))},
		{Name: "setdomainname", Args: args(in("name", lenArg(1)), i32("len"))},
		{Name: "vhangup"},
		{Name: "syslog", Args: args(i32("type"), sub("bufp")), Sub: &SubTable{
			Mask: 0xffffffff,
			Cases: map[uint64]SubCase{
				2: {Name: "SYSLOG_ACTION_READ", Args: syslogRead, Blocks: true},
				3: {Name: "SYSLOG_ACTION_READ_ALL", Args: syslogRead},
				4: {Name: "SYSLOG_ACTION_READ_CLEAR", Args: syslogRead},
			},
			Default: SubCase{Args: args(unused("bufp"), i32("len"))},
		}},

		{Name: "acct", Args: args(path("filename"))},
		{Name: "swapon", Args: args(path("path"), flags("swapflags", swapNames))},
		{Name: "swapoff", Args: args(path("path")), Blocks: true},
		refused("reboot", EPERM, reasonHost, u32("magic"), u32("magic2"), u32("op"), ptr("arg")),
		refused("kexec_load", EPERM, reasonHost, long("entry"), long("nr_segments"), ptr("segments"), long("flags")),
		refused("kexec_file_load", EPERM, reasonHost, fd("kernel_fd"), fd("initrd_fd"), long("cmdline_len"), str("cmdline"), long("flags")),
		refused("init_module", EPERM, reasonKernelCode, ptr("module_image"), long("len"), str("param_values")),
		refused("finit_module", EPERM, reasonKernelCode, fd("fd"), str("param_values"), flags("flags", nil)),
		refused("delete_module", EPERM, reasonKernelCode, str("name"), flags("flags", nil)),
		refused("bpf", EPERM, reasonKernelCode, i32("cmd"), ptr("attr"), u32("size")),
		refused("perf_event_open", EPERM, "counters differ between variants", ptr("attr"), pid("pid"), i32("cpu"), fd("group_fd"), flags("flags", nil)),
		refused("iopl", EPERM, reasonPorts, u32("level")),
		refused("ioperm", EPERM, reasonPorts, long("from"), long("num"), i32("turn_on")),
		modifyLDTRow(),
		refused("uprobe", ENOSYS, "only the kernel's own trampoline makes this call"),
		refused("uretprobe", ENOSYS, "only the kernel's own trampoline makes this call"),

		refused("_sysctl", ENOSYS, reasonRemoved),
		{Name: "sysfs", Args: args(i32("option"), sub("arg1")), Sub: &SubTable{
			Mask: 0xffffffff,
			Cases: map[uint64]SubCase{
				1: plain("", str("fsname")),
				2: {Exec: Unsupported, Errno: EINVAL, Reason: "a name is written to memory of which nobody says how long it is"},
				3: plain(""),
			},
			Default: SubCase{Name: "unknown", Exec: Unsupported, Errno: EINVAL, Reason: reasonUnknownOp},
		}},
		refused("uselib", ENOSYS, reasonRemoved),
		refused("nfsservctl", ENOSYS, reasonRemoved),
		refused("lookup_dcookie", ENOSYS, reasonRemoved),
		refused("create_module", ENOSYS, reasonRemoved),
		refused("get_kernel_syms", ENOSYS, reasonRemoved),
		refused("query_module", ENOSYS, reasonRemoved),
		refused("set_thread_area", ENOSYS, "for 32-bit programs only"),
		refused("get_thread_area", ENOSYS, "for 32-bit programs only"),
		refused("epoll_ctl_old", ENOSYS, reasonNeverThere),
		refused("epoll_wait_old", ENOSYS, reasonNeverThere),
		refused("afs_syscall", ENOSYS, reasonNeverThere),
		refused("getpmsg", ENOSYS, reasonNeverThere),
		refused("putpmsg", ENOSYS, reasonNeverThere),
		refused("security", ENOSYS, reasonNeverThere),
		refused("tuxcall", ENOSYS, reasonNeverThere),
		refused("vserver", ENOSYS, reasonNeverThere),
	}
}

// modifyLDTRow describes modify_ldt(2). Nobody can write to the table, so all variants have
// the same one.
func modifyLDTRow() Row {
	read := args(outRet("ptr", 2), long("bytecount"))
	const reason = "segments that alias memory"
	write := func(name string) SubCase {
		return SubCase{Name: name, Args: args(ptr("ptr"), long("bytecount")), Exec: Unsupported, Errno: ENOSYS, Reason: reason}
	}
	return Row{
		Name: "modify_ldt", Args: args(i32("func"), sub("ptr")),
		Sub: &SubTable{
			Mask: 0xffffffff,
			Cases: map[uint64]SubCase{
				0:    plain("read_ldt", read...),
				1:    write("write_oldldt"),
				2:    plain("read_default_ldt", read...),
				0x11: write("write_ldt"),
			},
			Default: SubCase{Name: "unknown", Exec: Unsupported, Errno: ENOSYS, Reason: reasonUnknownOp},
		},
	}
}

var syslogRead = args(outRet("bufp", 2), i32("len"))
