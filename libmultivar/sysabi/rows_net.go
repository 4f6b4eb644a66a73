package sysabi

// netRows are the socket calls. Leader only: followers own no descriptors.
func netRows() []Row {
	return []Row{
		{Name: "socket", Args: args(enum("domain", socketDomainNames), flags("type", socketTypeNames), i32("protocol")), Ret: RetFD},
		{Name: "socketpair", Args: args(enum("domain", socketDomainNames), flags("type", socketTypeNames), i32("protocol"), outRec("sv", fdPairLayout))},
		{Name: "bind", Args: args(fd("sockfd"), sockIn("addr", 2), i32("addrlen"))},
		{Name: "connect", Args: args(fd("sockfd"), sockIn("addr", 2), i32("addrlen")), Blocks: true},
		{Name: "listen", Args: args(fd("sockfd"), i32("backlog"))},
		{Name: "accept", Args: args(fd("sockfd"), sockOut("addr", 2), sockLen("addrlen").when(1, anyBit)), Ret: RetFD, Blocks: true, Tame: TameHere},
		{Name: "accept4", Args: args(fd("sockfd"), sockOut("addr", 2), sockLen("addrlen").when(1, anyBit), flags("flags", socketTypeNames)), Ret: RetFD, Blocks: true, Tame: TameHere},
		{Name: "shutdown", Args: args(fd("sockfd"), i32("how")), Tame: TameHere},
		{Name: "getsockname", Args: args(fd("sockfd"), sockOut("addr", 2), sockLen("addrlen")), Tame: TameHere},
		{Name: "getpeername", Args: args(fd("sockfd"), sockOut("addr", 2), sockLen("addrlen")), Tame: TameHere},
		{Name: "sendto", Args: args(fd("sockfd"), in("buf", lenArg(2)), long("len"), flags("flags", msgNames), sockIn("dest_addr", 5), i32("addrlen")), Blocks: true, Signals: true, Wait: WaitOutput, Moves: 2, Tame: TameHere, Instant: Instant{Call: "sendto", Arg: 3, Flag: msgDontWait}, Transfer: Transfer{Kind: Sends, Flags: 3, Only: msgNoSignal, Null: 4}},
		{Name: "recvfrom", Args: args(fd("sockfd"), outRet("buf", 2), long("size"), flags("flags", msgNames), sockOut("src_addr", 5), sockLen("addrlen").when(4, anyBit)), Blocks: true, Moves: 2, Tame: TameHere, Instant: Instant{Call: "recvfrom", Arg: 3, Flag: msgDontWait, Unless: msgWaitAll}, Transfer: Transfer{Kind: Receives, Flags: 3, Null: 4}},
		{Name: "sendmsg", Args: args(fd("sockfd"), Arg{Name: "msg", Kind: Msghdr, Dir: In}, flags("flags", msgNames)), Blocks: true, Signals: true, Wait: WaitOutput, Bare: "sendto"},
		{Name: "recvmsg", Args: args(fd("sockfd"), Arg{Name: "msg", Kind: Msghdr, Dir: Out}, flags("flags", msgNames)), Blocks: true, Bare: "readv"},
		{Name: "sendmmsg", Args: args(fd("sockfd"), Arg{Name: "msgvec", Kind: Mmsghdr, Dir: In, Len: lenArg(2)}, u32("vlen"), flags("flags", msgNames)), Blocks: true, Signals: true, Wait: WaitOutput, Bare: "sendto"},
		{Name: "recvmmsg", Args: args(fd("sockfd"), Arg{Name: "msgvec", Kind: Mmsghdr, Dir: Out, Len: lenArg(2)}, u32("vlen"), flags("flags", msgNames), inOutRec("timeout", timespecLayout)), Blocks: true, Bare: "readv"},
		{Name: "setsockopt", Args: args(fd("sockfd"), i32("level"), enum("optname", nil), sub("optval")), Sub: &SubTable{
			Arg: 2, Mask: 0xffffffff, Upper: 1,
			Cases: map[uint64]SubCase{
				sockOpt(solSocket, 26): refusedOption("SO_ATTACH_FILTER", "a filter program behind a pointer"),
				sockOpt(solSocket, 51): refusedOption("SO_ATTACH_REUSEPORT_CBPF", "a filter program behind a pointer"),
				sockOpt(solIP, 64):     refusedOption("IPT_SO_SET_REPLACE", reasonFilterTables),
				sockOpt(solIPv6, 64):   refusedOption("IP6T_SO_SET_REPLACE", reasonFilterTables),
				sockOpt(solTCP, 35):    refusedOption("TCP_ZEROCOPY_RECEIVE", "the kernel would remap memory"),
				sockOpt(solSocket, 60): refusedOption("SO_ZEROCOPY", "what is sent could change after it was compared"),
				sockOpt(solIP, 96):     refusedOption("ARPT_SO_SET_REPLACE", reasonFilterTables),
				sockOpt(solIP, 128):    refusedOption("EBT_SO_SET_ENTRIES", reasonFilterTables),
				sockOpt(solPacket, 22): refusedOption("PACKET_FANOUT_DATA", "a filter program behind a pointer"),
				sockOpt(solRDS, 2):     refusedOption("RDS_GET_MR", reasonOwnMemory),
				sockOpt(solRDS, 7):     refusedOption("RDS_GET_MR_FOR_DEST", reasonOwnMemory),
				sockOpt(solXDP, 4):     refusedOption("XDP_UMEM_REG", reasonOwnMemory),
				sockOpt(solSocket, 1):  namedOption("SO_DEBUG"),
				sockOpt(solSocket, 2):  namedOption("SO_REUSEADDR"),
				sockOpt(solSocket, 6):  namedOption("SO_BROADCAST"),
				sockOpt(solSocket, 7):  namedOption("SO_SNDBUF").tame(),
				sockOpt(solSocket, 8):  namedOption("SO_RCVBUF").tame(),
				sockOpt(solSocket, 9):  namedOption("SO_KEEPALIVE").tame(),
				sockOpt(solSocket, 13): namedOption("SO_LINGER").tame(),
				sockOpt(solSocket, 15): namedOption("SO_REUSEPORT"),
				sockOpt(solSocket, 16): namedOption("SO_PASSCRED"),
				sockOpt(solSocket, 20): namedOption("SO_RCVTIMEO").tame(),
				sockOpt(solSocket, 21): namedOption("SO_SNDTIMEO").tame(),
				sockOpt(solTCP, 1):     namedOption("TCP_NODELAY").tame(),
				sockOpt(solTCP, 3):     namedOption("TCP_CORK").tame(),
				sockOpt(solTCP, 4):     namedOption("TCP_KEEPIDLE").tame(),
				sockOpt(solTCP, 5):     namedOption("TCP_KEEPINTVL").tame(),
				sockOpt(solTCP, 6):     namedOption("TCP_KEEPCNT").tame(),
				sockOpt(solTCP, 9):     namedOption("TCP_DEFER_ACCEPT").tame(),
				sockOpt(solTCP, 12):    namedOption("TCP_QUICKACK").tame(),
				sockOpt(solTCP, 13):    namedOption("TCP_CONGESTION"),
				sockOpt(solTCP, 23):    namedOption("TCP_FASTOPEN"),
				sockOpt(solIPv6, 26):   namedOption("IPV6_V6ONLY"),
				sockOpt(solSocket, 42): namedOption("SO_PEEK_OFF"),
			},
			Default: SubCase{Args: optionIn},
		}},
		{Name: "getsockopt", Args: args(fd("sockfd"), i32("level"), enum("optname", nil), sub("optval")), Sub: &SubTable{
			Arg: 2, Mask: 0xffffffff, Upper: 1,
			Cases: map[uint64]SubCase{
				sockOpt(solSocket, 3):  {Name: "SO_TYPE", Args: optionOut, Tame: TameHere},
				sockOpt(solSocket, 4):  {Name: "SO_ERROR", Args: optionOut, Tame: TameHere},
				sockOpt(solSocket, 7):  {Name: "SO_SNDBUF", Args: optionOut, Tame: TameHere},
				sockOpt(solSocket, 8):  {Name: "SO_RCVBUF", Args: optionOut, Tame: TameHere},
				sockOpt(solSocket, 9):  {Name: "SO_KEEPALIVE", Args: optionOut, Tame: TameHere},
				sockOpt(solSocket, 18): {Name: "SO_RCVLOWAT", Args: optionOut, Tame: TameHere},
				sockOpt(solSocket, 30): {Name: "SO_ACCEPTCONN", Args: optionOut, Tame: TameHere},
				sockOpt(solSocket, 38): {Name: "SO_PROTOCOL", Args: optionOut, Tame: TameHere},
				sockOpt(solSocket, 39): {Name: "SO_DOMAIN", Args: optionOut, Tame: TameHere},
				sockOpt(solTCP, 1):     {Name: "TCP_NODELAY", Args: optionOut, Tame: TameHere},
				sockOpt(solSocket, 17): {Name: "SO_PEERCRED", Args: args(recs("optval", Out, ucredLayout, lenAt(4)), sockLen("optlen"))},
				sockOpt(solSocket, 26): refusedOption("SO_GET_FILTER", "a filter program whose length counts in instructions"),
				sockOpt(solSocket, 77): {Name: "SO_PEERPIDFD", Args: args(recs("optval", Out, fdLayout, lenAt(4)), sockLen("optlen"))},
				sockOpt(solTCP, 11):    {Name: "TCP_INFO", Args: optionOut, Tame: TameHere},
				sockOpt(solTCP, 35):    refusedOption("TCP_ZEROCOPY_RECEIVE", "the kernel would remap memory"),
				sockOpt(solIP, 129):    refusedOption("EBT_SO_GET_ENTRIES", reasonFilterTables),
				sockOpt(solIP, 131):    refusedOption("EBT_SO_GET_INIT_ENTRIES", reasonFilterTables),
				sockOpt(solSCTP, 111):  refusedOption("SCTP_SOCKOPT_CONNECTX3", reasonPointers),
			},
			Default: SubCase{Args: optionOut},
		}},
	}
}

// MSG_DONTWAIT and MSG_WAITALL (include/linux/socket.h).
const (
	msgDontWait = 0x40
	msgNoSignal = 0x4000
	msgWaitAll  = 0x100
)

// Levels of socket options.
const (
	solIP     = 0
	solSocket = 1
	solTCP    = 6
	solIPv6   = 41
	solSCTP   = 132
	solPacket = 263
	solRDS    = 276
	solXDP    = 283
)

// Why options are refused whose value leads to memory.
const (
	reasonFilterTables = "packet filter tables behind a pointer"
	reasonOwnMemory    = "the kernel would write to memory while the program runs"
)

// sockOpt is the command of an option: its name below its level.
func sockOpt(level, name uint64) uint64 { return level<<32 | name }

var (
	optionIn  = args(in("optval", lenArg(4)), i32("optlen"))
	optionOut = args(out("optval", lenAt(4)), sockLen("optlen"))
)

func namedOption(name string) SubCase { return SubCase{Name: name, Args: optionIn} }

func refusedOption(name, reason string) SubCase {
	return SubCase{Name: name, Args: args(ptr("optval")), Exec: Unsupported, Errno: ENOPROTOOPT, Reason: reason}
}
