package sysabi

// Flags of clone(2) that unshare(2) and setns(2) take.
const (
	newTime   = 0x80
	newNS     = 0x20000
	newCgroup = 0x2000000
	newUTS    = 0x4000000
	newIPC    = 0x8000000
	newUser   = 0x10000000
	newPID    = 0x20000000
	newNet    = 0x40000000
)

// Why a process does not get namespaces of certain kinds.
const (
	reasonNamespace = "the leader's files, ids or System V objects would be others than the monitor and its followers know"
	reasonTables    = "the monitor goes by what threads have in common when they begin"
)

// unshareRow describes unshare(2). Names of the host and the network are asked about by the
// leader alone, as are paths, so it may have its own of them. Bits that the kernel does not
// know are the kernel's to refuse.
func unshareRow() Row {
	const vm, files, sighand, thread = 0x100, 0x400, 0x800, 0x10000
	refuse := func(name, reason string) SubCase {
		return SubCase{Name: name, Exec: Unsupported, Errno: EPERM, Reason: reason}
	}
	return Row{
		Name: "unshare", Args: args(flags("flags", cloneNames), sub("none")),
		Sub: &SubTable{
			Mask: newTime | newNS | newCgroup | newUTS | newIPC | newUser | newPID | newNet | vm | files | sighand | thread,
			Cases: map[uint64]SubCase{
				// CLONE_FS and CLONE_SYSVSEM are not among the bits that count.
				0:               plain(""),
				newUTS:          plain("CLONE_NEWUTS"),
				newNet:          plain("CLONE_NEWNET"),
				newUTS | newNet: plain("CLONE_NEWUTS|CLONE_NEWNET"),
				files:           refuse("CLONE_FILES", reasonTables),
			},
			Default: refuse("other", reasonNamespace),
		},
	}
}

// setnsRow describes setns(2). With one of the types named the kernel makes sure that the
// descriptor is of a namespace of that type, or enters that one only of a process's.
func setnsRow() Row {
	return Row{
		Name: "setns", Args: args(fd("fd"), flags("nstype", cloneNames), sub("none")),
		Sub: &SubTable{
			Arg: 1, Mask: 0xffffffff,
			Cases: map[uint64]SubCase{
				newUTS:          plain("CLONE_NEWUTS"),
				newNet:          plain("CLONE_NEWNET"),
				newUTS | newNet: plain("CLONE_NEWUTS|CLONE_NEWNET"),
			},
			Default: SubCase{Name: "other", Exec: Unsupported, Errno: EPERM, Reason: reasonNamespace},
		},
	}
}

// kcmpRow describes kcmp(2): what processes of the leader's have in common.
func kcmpRow() Row {
	return Row{
		Name: "kcmp", Args: args(pid("pid1"), pid("pid2"), i32("type"), sub("idx1")),
		Sub: &SubTable{
			Arg: 2, Mask: 0xffffffff,
			Cases: map[uint64]SubCase{
				0: plain("KCMP_FILE", fd("idx1"), fd("idx2")),
				1: plain("KCMP_VM"),
				2: plain("KCMP_FILES"),
				3: plain("KCMP_FS"),
				4: plain("KCMP_SIGHAND"),
				5: plain("KCMP_IO"),
				6: plain("KCMP_SYSVSEM"),
				7: plain("KCMP_EPOLL_TFD", fd("idx1"), inRec("idx2", epollSlotLayout)),
			},
			Default: SubCase{Name: "unknown", Exec: Unsupported, Errno: EINVAL, Reason: reasonUnknownOp},
		},
	}
}
