package sysabi

// memRows are the calls that act on a variant's own memory. Those that change
// the address space run in every variant, with addresses that the engine
// picks; those that only ask or advise run in the leader.
func memRows() []Row {
	return []Row{
		{Name: "brk", Args: args(addr("addr")), Ret: RetAddr, Exec: All, Handler: HandlerBrk},
		{Name: "mmap", Args: args(addr("addr"), long("length"), flags("prot", protNames), flags("flags", mapNames), fd("fd"), long("offset")), Ret: RetAddr, Exec: All, Handler: HandlerMmap, Wait: WaitMapExec},
		{Name: "munmap", Args: args(addr("addr"), long("length")), Exec: All, Handler: HandlerMunmap},
		{Name: "mremap", Args: args(addr("old_address"), long("old_size"), long("new_size"), flags("flags", mremapNames), addr("new_address").when(3, mremapTakesAddress)), Ret: RetAddr, Exec: All, Handler: HandlerMremap},
		{Name: "mprotect", Args: args(addr("addr"), long("len"), flags("prot", protNames)), Exec: All, Handler: HandlerMprotect, Wait: WaitMapExec},
		{Name: "pkey_mprotect", Args: args(addr("addr"), long("len"), flags("prot", protNames), i32("pkey")), Exec: All, Handler: HandlerMprotect, Wait: WaitMapExec},
		{Name: "pkey_alloc", Args: args(flags("flags", nil), flags("access_rights", nil)), Exec: All},
		{Name: "pkey_free", Args: args(i32("pkey")), Exec: All},
		{Name: "madvise", Args: args(addr("addr"), long("length"), enum("advice", madviseNames)), Exec: All, Handler: HandlerMadvise},
		{Name: "msync", Args: args(addr("addr"), long("length"), flags("flags", msyncNames)), Handler: HandlerMsync},
		{Name: "mincore", Args: args(addr("addr"), long("length"), out("vec", Len{Kind: LenDiv, Arg: 1, N: pageSize}))},
		{Name: "mlock", Args: args(addr("addr"), long("len"))},
		{Name: "mlock2", Args: args(addr("addr"), long("len"), flags("flags", nil))},
		{Name: "munlock", Args: args(addr("addr"), long("len"))},
		{Name: "mlockall", Args: args(flags("flags", mlockallNames))},
		{Name: "munlockall"},
		{Name: "membarrier", Args: args(i32("cmd"), flags("flags", nil), i32("cpu_id"))},
		refused("remap_file_pages", ENOSYS, "mappings out of file order (deprecated since Linux 3.16)", addr("addr"), long("size"), flags("prot", protNames), long("pgoff"), flags("flags", mapNames)).waits(WaitMapExec),
		later("mseal", "sealed mappings", addr("addr"), long("len"), flags("flags", nil)),
		later("mbind", "memory placement", addr("addr"), long("len"), i32("mode"), ptr("nodemask"), long("maxnode"), flags("flags", nil)),
		later("set_mempolicy", "memory placement", i32("mode"), ptr("nodemask"), long("maxnode")),
		later("get_mempolicy", "memory placement", ptr("mode"), ptr("nodemask"), long("maxnode"), addr("addr"), long("flags")),
		later("set_mempolicy_home_node", "memory placement", addr("addr"), long("len"), long("home_node"), long("flags")),
		later("migrate_pages", "memory placement", pid("pid"), long("maxnode"), ptr("old_nodes"), ptr("new_nodes")),
		later("move_pages", "memory placement", pid("pid"), long("count"), ptr("pages"), ptr("nodes"), ptr("status"), flags("flags", nil)),
		later("process_madvise", "advice on another process's memory", fd("pidfd"), ptr("iovec"), long("vlen"), enum("advice", madviseNames), flags("flags", nil)),
		later("process_mrelease", "freeing a dying process's memory", fd("pidfd"), flags("flags", nil)),
		refused("process_vm_readv", EPERM, "access to other processes' memory passes the monitor by", pid("pid"), ptr("local_iov"), long("liovcnt"), ptr("remote_iov"), long("riovcnt"), long("flags")),
		refused("process_vm_writev", EPERM, "access to other processes' memory passes the monitor by", pid("pid"), ptr("local_iov"), long("liovcnt"), ptr("remote_iov"), long("riovcnt"), long("flags")).waits(WaitOutput),
		refused("userfaultfd", EPERM, "page faults handled by the program itself", flags("flags", openNames)),
		refused("map_shadow_stack", EOPNOTSUPP, "shadow stacks are off", addr("addr"), long("size"), flags("flags", nil)),
	}
}

// pageSize is the size of the pages that mincore counts, in bytes.
const pageSize = 4096

// mremapTakesAddress are the flags with which mremap looks at new_address:
// MREMAP_FIXED, and MREMAP_DONTUNMAP, where it is a hint.
const mremapTakesAddress = 2 | 4
