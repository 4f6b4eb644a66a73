package sysabi

// mountRows are the calls about mounts. All variants are in one mount namespace, so the
// leader mounts for all of them.
func mountRows() []Row {
	attr := func(flag Arg) []Arg {
		// struct mount_attr has neither padding nor pointers, whatever its size.
		return args(dirFD(), path("pathname"), flag, in("attr", lenArg(4)), long("size"))
	}
	// struct mnt_id_req begins with its size.
	request := in("req", lenAt(0))
	return []Row{
		// File systems take their options as text; of one that does not, what is in front
		// of the first zero byte is compared.
		{Name: "mount", Args: args(path("source"), path("target"), str("filesystemtype"), long("mountflags"), str("data")), Blocks: true},
		{Name: "umount2", Args: args(path("target"), flags("flags", nil)), Blocks: true, Handler: HandlerUnmount},
		refused("pivot_root", EPERM, "the monitor would get another root as well", path("new_root"), path("put_old")),
		{Name: "open_tree", Args: args(dirFD(), path("pathname"), flags("flags", nil)), Ret: RetFD},
		{Name: "open_tree_attr", Args: attr(flags("flags", nil)), Ret: RetFD},
		{Name: "move_mount", Args: args(dirFDNamed("from_dirfd"), path("from_pathname"), dirFDNamed("to_dirfd"), path("to_pathname"), flags("flags", nil))},
		{Name: "fsopen", Args: args(str("fsname"), flags("flags", nil)), Ret: RetFD},
		fsconfigRow(),
		{Name: "fsmount", Args: args(fd("fd"), flags("flags", nil), flags("attr_flags", nil)), Ret: RetFD},
		{Name: "fspick", Args: args(dirFD(), path("pathname"), flags("flags", nil)), Ret: RetFD},
		{Name: "mount_setattr", Args: attr(flags("flags", nil))},
		{Name: "statmount", Args: args(request, out("buf", lenArg(2)), long("bufsize"), flags("flags", nil))},
		{Name: "listmount", Args: args(request, out("mnt_ids", lenRet(2, 8)), long("nr_mnt_ids"), flags("flags", nil))},
	}
}

// fsconfigRow describes fsconfig(2). File systems in user space and of other hosts may
// take long to be made. The error for unknown commands is the kernel's.
func fsconfigRow() Row {
	create := func(name string) SubCase { return plain(name, str("key"), ptr("value"), i32("aux")) }
	named := func(name string) SubCase { return plain(name, str("key"), path("value"), dirFDNamed("aux")) }
	return Row{
		Name: "fsconfig", Args: args(fd("fd"), u32("cmd"), sub("key")), Blocks: true,
		Sub: &SubTable{
			Arg: 1, Mask: 0xffffffff,
			Cases: map[uint64]SubCase{
				0: plain("FSCONFIG_SET_FLAG", str("key"), ptr("value"), i32("aux")),
				1: plain("FSCONFIG_SET_STRING", str("key"), str("value"), i32("aux")),
				2: plain("FSCONFIG_SET_BINARY", str("key"), in("value", lenArg(4)), i32("aux")),
				3: named("FSCONFIG_SET_PATH"),
				4: named("FSCONFIG_SET_PATH_EMPTY"),
				5: plain("FSCONFIG_SET_FD", str("key"), ptr("value"), fd("aux")),
				6: create("FSCONFIG_CMD_CREATE"),
				7: create("FSCONFIG_CMD_RECONFIGURE"),
				8: create("FSCONFIG_CMD_CREATE_EXCL"),
			},
			Default: SubCase{Name: "unknown", Exec: Unsupported, Errno: EOPNOTSUPP, Reason: reasonUnknownOp},
		},
	}
}

// quotactlRow describes quotactl(2) and quotactl_fd(2). The command is behind the kind of
// quota, which is the lowest byte. Those of XFS begin with X.
func quotactlRow(name string, cmd int, where ...Arg) Row {
	rec := func(name string, d Dir, n uint64) SubCase {
		return SubCase{Name: name, Args: args(i32("id"), Arg{Name: "addr", Kind: Buf, Dir: d, Len: fixed(n)})}
	}
	none := func(name string) SubCase { return plain(name, i32("id")) }
	// struct if_dqblk and if_nextdqblk, struct if_dqinfo.
	const block, info = 72, 24
	return Row{
		Name: name, Args: append(where, sub("id")),
		Sub: &SubTable{
			Arg: cmd, Mask: 0xffffff00,
			Cases: map[uint64]SubCase{
				0x800001 << 8: none("Q_SYNC"),
				0x800002 << 8: plain("Q_QUOTAON", i32("id"), path("addr")),
				0x800003 << 8: none("Q_QUOTAOFF"),
				0x800004 << 8: rec("Q_GETFMT", Out, 4),
				0x800005 << 8: rec("Q_GETINFO", Out, info),
				0x800006 << 8: rec("Q_SETINFO", In, info),
				0x800007 << 8: rec("Q_GETQUOTA", Out, block),
				0x800008 << 8: rec("Q_SETQUOTA", In, block),
				0x800009 << 8: rec("Q_GETNEXTQUOTA", Out, block),
			},
			Default: SubCase{Name: "unknown", Exec: Unsupported, Errno: EINVAL, Reason: reasonUnknownOp},
		},
	}
}

// fanotifyInitRow describes fanotify_init(2): groups whose events name files by handles.
// Those of others bring descriptors with them, which nobody would look at before the
// program has them.
func fanotifyInitRow() Row {
	const fid, dirFID, pidFD = 0x200, 0x400, 0x80
	c := func(name string) SubCase {
		return SubCase{Name: name, Args: args(flags("event_f_flags", openNames)), Ret: RetFD}
	}
	return Row{
		Name: "fanotify_init", Args: args(flags("flags", nil), sub("event_f_flags")),
		Sub: &SubTable{
			Mask: fid | dirFID | pidFD,
			Cases: map[uint64]SubCase{
				fid:          c("FAN_REPORT_FID"),
				dirFID:       c("FAN_REPORT_DIR_FID"),
				fid | dirFID: c(""),
			},
			Default: SubCase{Name: "other", Exec: Unsupported, Errno: EINVAL, Reason: "descriptors inside events"},
		},
	}
}
