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
		{Name: "mseal", Args: args(addr("addr"), long("len"), flags("flags", nil)), Exec: All},
		// Where memory is placed is for the leader's sake only: nothing comes of it.
		{Name: "mbind", Args: args(addr("addr"), long("len"), i32("mode"), nodes("nodemask", 4), maxNode, flags("flags", nil))},
		{Name: "set_mempolicy", Args: args(i32("mode"), nodes("nodemask", 2), maxNode)},
		{Name: "get_mempolicy", Args: args(out("mode", fixed(4)), out("nodemask", nodeBits(2)), maxNode, addr("addr"), long("flags"))},
		{Name: "set_mempolicy_home_node", Args: args(addr("addr"), long("len"), long("home_node"), long("flags"))},
		{Name: "migrate_pages", Args: args(pid("pid"), maxNode, nodes("old_nodes", 1), nodes("new_nodes", 1))},
		{Name: "move_pages", Args: args(pid("pid"), long("count"), recs("pages", In, pageLayout, lenMul(1, pageLayout.Size)), in("nodes", lenMul(1, 4)), out("status", lenMul(1, 4)), flags("flags", nil))},
		processMadviseRow(),
		{Name: "process_mrelease", Args: args(fd("pidfd"), flags("flags", nil))},
		// Of the caller's own memory; the handler refuses that of other processes. Each variant
		// copies what it has, pointers included.
		{Name: "process_vm_readv", Args: processVMArgs, Exec: All, Handler: HandlerProcessVM},
		{Name: "process_vm_writev", Args: processVMArgs, Exec: All, Handler: HandlerProcessVM, Wait: WaitOutput},
		refused("userfaultfd", EPERM, "page faults handled by the program itself", flags("flags", openNames)),
		refused("map_shadow_stack", EOPNOTSUPP, "shadow stacks are off", addr("addr"), long("size"), flags("flags", nil)),
	}
}

// processVMArgs are the arguments of process_vm_readv(2) and process_vm_writev(2). What is
// in the memory is not compared: it is neither handed out nor taken in.
var processVMArgs = func() []Arg {
	vector := func(name string, count int) Arg {
		return recs(name, In, remoteVectorLayout, lenMul(count, remoteVectorLayout.Size))
	}
	return args(pid("pid"), vector("local_iov", 2), long("liovcnt").atMost(maxVectors), vector("remote_iov", 4), long("riovcnt").atMost(maxVectors), long("flags"))
}()

// maxVectors is how many vectors a call may have (UIO_MAXIOV).
const maxVectors = 1024

// pageSize is the size of the pages that mincore counts, in bytes.
const pageSize = 4096

// mremapTakesAddress are the flags with which mremap looks at new_address:
// MREMAP_FIXED, and MREMAP_DONTUNMAP, where it is a hint.
const mremapTakesAddress = 2 | 4

// maxNode is the number of bits of a set of nodes, and one more: the kernel takes one away
// (get_nodes and copy_nodes_to_user in mm/mempolicy.c), and refuses more than a page.
var maxNode = long("maxnode").atMost(8*pageSize + 1)

// nodeBits is the length of a set of nodes whose number of bits, and one, is argument arg.
func nodeBits(arg int) Len { return Len{Kind: LenBits, Arg: arg, N: 1} }

func nodes(name string, arg int) Arg { return in(name, nodeBits(arg)) }

// processMadviseRow describes process_madvise(2): advice that changes no contents, of
// which the leader's process alone is in need. With other advice a program could change
// the leader's memory, and nobody else's.
func processMadviseRow() Row {
	return Row{
		Name: "process_madvise", Args: args(fd("pidfd"), recs("iovec", In, remoteVectorLayout, lenMul(2, remoteVectorLayout.Size)), long("vlen").atMost(maxVectors), enum("advice", madviseNames), sub("flags")),
		Sub: &SubTable{
			Arg: 3, Mask: 0xffffffff,
			Cases: map[uint64]SubCase{
				3:  plain("MADV_WILLNEED", flags("flags", nil)),
				20: plain("MADV_COLD", flags("flags", nil)),
				21: plain("MADV_PAGEOUT", flags("flags", nil)),
				25: plain("MADV_COLLAPSE", flags("flags", nil)),
			},
			Default: SubCase{Name: "other", Exec: Unsupported, Errno: EINVAL, Reason: "memory of the leader alone would change"},
		},
	}
}
