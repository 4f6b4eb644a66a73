package sysabi

// reasonPointers is why records are refused that lead to others.
const reasonPointers = "data behind pointers in a record"

// ioctlRow describes ioctl(2): the commands of terminals, sockets, file
// systems and block devices whose arguments are known. Of others those are made that say
// themselves what they do with a block of bytes that holds no pointers. What is left gets
// the answer of a driver that does not know it either, ENOTTY.
func ioctlRow() Row {
	value := func(name string) SubCase { return SubCase{Name: name, Args: args(i32("arg"))} }
	rec := func(name string, d Dir, l *Layout) SubCase {
		return SubCase{Name: name, Args: args(Arg{Name: "argp", Kind: Struct, Dir: d, Struct: l})}
	}
	block := func(name string, d Dir, n uint64) SubCase {
		return SubCase{Name: name, Args: args(Arg{Name: "argp", Kind: Buf, Dir: d, Len: fixed(n)})}
	}
	newFD := func(name string, a ...Arg) SubCase { return SubCase{Name: name, Args: a, Ret: RetFD} }
	encoded := func(name string, d Dir) SubCase {
		return SubCase{Name: name, Args: args(Arg{Name: "argp", Kind: Buf, Dir: d, Len: Len{Kind: LenEncoded, Arg: 1}}), Blocks: true}
	}
	blocking := func(c SubCase) SubCase {
		c.Blocks = true
		return c
	}
	return Row{
		Name: "ioctl", Args: args(fd("fd"), u32("op"), sub("argp")), Signals: true,
		Sub: &SubTable{
			Arg: 1, Mask: 0xffffffff,
			Cases: map[uint64]SubCase{
				// Terminals: tty_ioctl(4), TIOC*(2const).
				0x5401:     rec("TCGETS", Out, termiosLayout).tame(),
				0x5402:     rec("TCSETS", In, termiosLayout),
				0x5403:     blocking(rec("TCSETSW", In, termiosLayout)),
				0x5404:     blocking(rec("TCSETSF", In, termiosLayout)),
				0x5405:     rec("TCGETA", Out, termioLayout),
				0x5406:     rec("TCSETA", In, termioLayout),
				0x5407:     blocking(rec("TCSETAW", In, termioLayout)),
				0x5408:     blocking(rec("TCSETAF", In, termioLayout)),
				0x5409:     blocking(value("TCSBRK")),
				0x540a:     value("TCXONC"),
				0x540b:     value("TCFLSH"),
				0x540c:     plain("TIOCEXCL"),
				0x540d:     plain("TIOCNXCL"),
				0x540e:     value("TIOCSCTTY"),
				0x540f:     rec("TIOCGPGRP", Out, pidLayout),
				0x5410:     rec("TIOCSPGRP", In, pidLayout),
				0x5411:     block("TIOCOUTQ", Out, 4).tame(),
				0x5412:     block("TIOCSTI", In, 1),
				0x5413:     rec("TIOCGWINSZ", Out, winsizeLayout).tame(),
				0x5414:     rec("TIOCSWINSZ", In, winsizeLayout),
				0x5415:     block("TIOCMGET", Out, 4),
				0x5416:     block("TIOCMBIS", In, 4),
				0x5417:     block("TIOCMBIC", In, 4),
				0x5418:     block("TIOCMSET", In, 4),
				0x5419:     block("TIOCGSOFTCAR", Out, 4),
				0x541a:     block("TIOCSSOFTCAR", In, 4),
				0x541b:     block("FIONREAD", Out, 4).tame(),
				0x541d:     plain("TIOCCONS"),
				0x5420:     block("TIOCPKT", In, 4),
				0x5421:     block("FIONBIO", In, 4).unblocks().tame(),
				0x5422:     plain("TIOCNOTTY"),
				0x5423:     block("TIOCSETD", In, 4),
				0x5424:     block("TIOCGETD", Out, 4),
				0x5425:     blocking(value("TCSBRKP")),
				0x5427:     plain("TIOCSBRK"),
				0x5428:     plain("TIOCCBRK"),
				0x5429:     rec("TIOCGSID", Out, pidLayout),
				0x802c542a: rec("TCGETS2", Out, termios2Layout),
				0x402c542b: rec("TCSETS2", In, termios2Layout),
				0x402c542c: blocking(rec("TCSETSW2", In, termios2Layout)),
				0x402c542d: blocking(rec("TCSETSF2", In, termios2Layout)),
				0x80045430: block("TIOCGPTN", Out, 4),
				0x40045431: block("TIOCSPTLCK", In, 4),
				0x80045432: block("TIOCGDEV", Out, 4),
				0x40045436: value("TIOCSIG"),
				0x5437:     plain("TIOCVHANGUP"),
				0x80045438: block("TIOCGPKT", Out, 4),
				0x80045439: block("TIOCGPTLCK", Out, 4),
				0x80045440: block("TIOCGEXCL", Out, 4),
				0x5441:     newFD("TIOCGPTPEER", flags("flags", openNames)),
				0x4b33:     block("KDGKBTYPE", Out, 1),

				// Descriptors of any kind: ioctl(2), asm-generic/ioctls.h.
				0x5450: plain("FIONCLEX").tame(),
				0x5451: plain("FIOCLEX").tame(),
				0x5452: block("FIOASYNC", In, 4),
				0x5460: block("FIOQSIZE", Out, 8),

				// Sockets: socket(7), netdevice(7), asm-generic/sockios.h.
				0x8901: rec("FIOSETOWN", In, pidLayout),
				0x8902: rec("SIOCSPGRP", In, pidLayout),
				0x8903: rec("FIOGETOWN", Out, pidLayout),
				0x8904: rec("SIOCGPGRP", Out, pidLayout),
				0x8905: block("SIOCATMARK", Out, 4),
				0x8906: rec("SIOCGSTAMP", Out, timevalLayout),
				0x8907: rec("SIOCGSTAMPNS", Out, timespecLayout),
				0x8910: rec("SIOCGIFNAME", InOut, ifreqIndexLayout),
				0x8913: rec("SIOCGIFFLAGS", InOut, ifreqLayout),
				0x8915: rec("SIOCGIFADDR", InOut, ifreqLayout),
				0x8917: rec("SIOCGIFDSTADDR", InOut, ifreqLayout),
				0x8919: rec("SIOCGIFBRDADDR", InOut, ifreqLayout),
				0x891b: rec("SIOCGIFNETMASK", InOut, ifreqLayout),
				0x891d: rec("SIOCGIFMETRIC", InOut, ifreqLayout),
				0x8921: rec("SIOCGIFMTU", InOut, ifreqLayout),
				0x8927: rec("SIOCGIFHWADDR", InOut, ifreqLayout),
				0x8933: rec("SIOCGIFINDEX", InOut, ifreqLayout),
				0x8942: rec("SIOCGIFTXQLEN", InOut, ifreqLayout),
				0x8970: rec("SIOCGIFMAP", InOut, ifreqLayout),

				// Files and file systems: linux/fs.h. The flags are an int,
				// whatever the size in the command says.
				0x1:        block("FIBMAP", InOut, 4),
				0x2:        block("FIGETBSZ", Out, 4),
				0x40049409: {Name: "FICLONE", Args: args(fd("src_fd"))},
				0x4020940d: rec("FICLONERANGE", In, cloneRangeLayout),
				0x80086601: block("FS_IOC_GETFLAGS", Out, 4),
				0x40086602: block("FS_IOC_SETFLAGS", In, 4),
				0x80087601: block("FS_IOC_GETVERSION", Out, 4),
				0x801c581f: rec("FS_IOC_FSGETXATTR", Out, fsxattrLayout),
				0x401c5820: rec("FS_IOC_FSSETXATTR", In, fsxattrLayout),

				0x81009431: block("FS_IOC_GETFSLABEL", Out, 256),
				0x41009432: {Name: "FS_IOC_SETFSLABEL", Args: args(Arg{Name: "argp", Kind: String, Dir: In, Len: fixed(256)})},
				0x80111500: block("FS_IOC_GETFSUUID", Out, 17),
				0xc0185879: blocking(rec("FITRIM", InOut, trimRangeLayout)),
				0xc020660b: {Name: "FS_IOC_FIEMAP", Exec: Unsupported, Errno: EOPNOTSUPP, Reason: "the length of the answer is in the record"},
				0xc0189436: {Name: "FIDEDUPERANGE", Exec: Unsupported, Errno: EOPNOTSUPP, Reason: "the length of the record is in it"},

				// Block devices: linux/fs.h.
				0x125e:     block("BLKROGET", Out, 4),
				0x1260:     block("BLKGETSIZE", Out, 8),
				0x1261:     value("BLKFLSBUF"),
				0x1263:     block("BLKRAGET", Out, 8),
				0x1268:     block("BLKSSZGET", Out, 4),
				0x1278:     block("BLKIOMIN", Out, 4),
				0x1279:     block("BLKIOOPT", Out, 4),
				0x127a:     block("BLKALIGNOFF", Out, 4),
				0x127b:     block("BLKPBSZGET", Out, 4),
				0x127e:     block("BLKROTATIONAL", Out, 2),
				0x80081272: block("BLKGETSIZE64", Out, 8),

				// Loop devices: loop(4).
				0x4c00: {Name: "LOOP_SET_FD", Args: args(fd("file"))},
				0x4c01: plain("LOOP_CLR_FD"),
				0x4c04: rec("LOOP_SET_STATUS64", In, loopInfoLayout),
				0x4c05: rec("LOOP_GET_STATUS64", Out, loopInfoLayout),
				0x4c07: plain("LOOP_SET_CAPACITY"),
				0x4c08: value("LOOP_SET_DIRECT_IO"),
				0x4c09: value("LOOP_SET_BLOCK_SIZE"),
				0x4c0a: rec("LOOP_CONFIGURE", In, loopConfigLayout),
				0x4c80: value("LOOP_CTL_ADD"),
				0x4c81: value("LOOP_CTL_REMOVE"),
				0x4c82: plain("LOOP_CTL_GET_FREE"),

				// Network devices of user space: linux/if_tun.h. Sizes in the commands are
				// not those of what is there, and some take values.
				0x400454ca: rec("TUNSETIFF", InOut, ifreqFlagsLayout),
				0x800454d2: rec("TUNGETIFF", Out, ifreqFlagsLayout),
				0x400454d9: rec("TUNSETQUEUE", In, ifreqFlagsLayout),
				0x400454cb: value("TUNSETPERSIST"),
				0x400454cc: value("TUNSETOWNER"),
				0x400454cd: value("TUNSETLINK"),
				0x400454ce: value("TUNSETGROUP"),
				0x800454cf: block("TUNGETFEATURES", Out, 4),
				0x400454d0: value("TUNSETOFFLOAD"),
				0x800454d3: block("TUNGETSNDBUF", Out, 4),
				0x400454d4: block("TUNSETSNDBUF", In, 4),
				0x800454d7: block("TUNGETVNETHDRSZ", Out, 4),
				0x400454d8: block("TUNSETVNETHDRSZ", In, 4),

				// Virtual terminals: ioctl_console(2).
				0x4b3a: value("KDSETMODE"),
				0x4b3b: block("KDGETMODE", Out, 4),
				0x4b44: block("KDGKBMODE", Out, 4),
				0x4b45: value("KDSKBMODE"),
				0x5600: block("VT_OPENQRY", Out, 4),
				0x5603: block("VT_GETSTATE", Out, 6),
				0x5606: value("VT_ACTIVATE"),
				0x5607: blocking(value("VT_WAITACTIVE")),

				// Clocks and watchdogs: rtc(4), linux/watchdog.h.
				0x80247009: block("RTC_RD_TIME", Out, 36),
				0x4024700a: block("RTC_SET_TIME", In, 36),
				0x80285700: block("WDIOC_GETSUPPORT", Out, 40),
				0x80045704: block("WDIOC_SETOPTIONS", In, 4),

				// A file system in user space takes a descriptor, whatever its command says.
				0x8004e500: rec("FUSE_DEV_IOC_CLONE", In, fdLayout),

				// Records that lead to others.
				0x8912: {Name: "SIOCGIFCONF", Exec: Unsupported, Errno: EINVAL, Reason: reasonPointers},
				0x8946: {Name: "SIOCETHTOOL", Exec: Unsupported, Errno: EOPNOTSUPP, Reason: reasonPointers},

				// The entropy pool (random(4)) and namespaces (ioctl_nsfs(2)).
				0x80045200: block("RNDGETENTCNT", Out, 4),
				0xb701:     newFD("NS_GET_USERNS"),
				0xb702:     newFD("NS_GET_PARENT"),
				0xb703:     plain("NS_GET_NSTYPE"),
				0xb704:     block("NS_GET_OWNER_UID", Out, 4),
			},
			Encoded: &Encoded{
				Writes: encoded("_IOR", Out), Reads: encoded("_IOW", In), Both: encoded("_IOWR", InOut), Most: 4,
			},
			Default:      SubCase{Name: "unknown", Exec: Unsupported, Errno: ENOTTY, Reason: "the argument of an unknown command cannot be compared"},
			NamesUnknown: true,
		},
	}
}

// fcntlRow describes fcntl(2). Unknown commands get the kernel's EINVAL.
func fcntlRow() Row {
	with := func(name string, a Arg) SubCase { return SubCase{Name: name, Args: args(a)} }
	newFD := func(name string) SubCase { return SubCase{Name: name, Args: args(fd("min_fd")), Ret: RetFD} }
	waiting := func(name string, a Arg) SubCase { return SubCase{Name: name, Args: args(a), Blocks: true} }
	return Row{
		Name: "fcntl", Args: args(fd("fd"), u32("op"), sub("arg")),
		Sub: &SubTable{
			Arg: 1, Mask: 0xffffffff,
			Cases: map[uint64]SubCase{
				0:    newFD("F_DUPFD").tameApart(),
				1:    plain("F_GETFD").tame(),
				2:    with("F_SETFD", flags("flags", fdFlagNames)).tame(),
				3:    plain("F_GETFL").tame(),
				4:    with("F_SETFL", flags("flags", openNames)).unblocks().tame(),
				5:    with("F_GETLK", inOutRec("lock", flockLayout)),
				6:    with("F_SETLK", inRec("lock", flockLayout)).tame(),
				7:    waiting("F_SETLKW", inRec("lock", flockLayout)),
				8:    with("F_SETOWN", pid("owner")),
				9:    {Name: "F_GETOWN", Ret: RetPid},
				10:   with("F_SETSIG", Arg{Name: "sig", Kind: Signal, Names: signalNames}),
				11:   plain("F_GETSIG"),
				15:   with("F_SETOWN_EX", inRec("owner", ownerExLayout)),
				16:   with("F_GETOWN_EX", outRec("owner", ownerExLayout)),
				17:   with("F_GETOWNER_UIDS", outRec("uids", ownerUIDsLayout)),
				36:   with("F_OFD_GETLK", inOutRec("lock", flockOFDLayout)),
				37:   with("F_OFD_SETLK", inRec("lock", flockOFDLayout)).tame(),
				38:   waiting("F_OFD_SETLKW", inRec("lock", flockOFDLayout)),
				1024: with("F_SETLEASE", i32("type")),
				1025: plain("F_GETLEASE"),
				1026: with("F_NOTIFY", flags("mask", nil)),
				1027: with("F_DUPFD_QUERY", fd("other")),
				1028: plain("F_CREATED_QUERY"),
				1030: newFD("F_DUPFD_CLOEXEC").tameApart(),
				1031: with("F_SETPIPE_SZ", i32("size")),
				1032: plain("F_GETPIPE_SZ").tame(),
				1033: with("F_ADD_SEALS", flags("seals", sealNames)),
				1034: plain("F_GET_SEALS"),
				1035: with("F_GET_RW_HINT", out("hint", fixed(8))),
				1036: with("F_SET_RW_HINT", in("hint", fixed(8))),
				1037: with("F_GET_FILE_RW_HINT", out("hint", fixed(8))),
				1038: with("F_SET_FILE_RW_HINT", in("hint", fixed(8))),
			},
			Default: SubCase{Name: "unknown", Exec: Unsupported, Errno: EINVAL, Reason: reasonUnknownOp},
		},
	}
}
