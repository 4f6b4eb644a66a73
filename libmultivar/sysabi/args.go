package sysabi

// The constructors below keep a row on one line. Positions in their lengths
// and conditions count all arguments of the call from 0, also in a SubCase.

func args(a ...Arg) []Arg { return a }

func i32(name string) Arg        { return Arg{Name: name, Kind: Int} }
func u32(name string) Arg        { return Arg{Name: name, Kind: Uint} }
func long(name string) Arg       { return Arg{Name: name, Kind: Long} }
func fd(name string) Arg         { return Arg{Name: name, Kind: FD} }
func dirFD() Arg                 { return dirFDNamed("dirfd") }
func dirFDNamed(name string) Arg { return Arg{Name: name, Kind: DirFD} }
func pid(name string) Arg        { return Arg{Name: name, Kind: Pid} }
func addr(name string) Arg       { return Arg{Name: name, Kind: Addr} }
func ptr(name string) Arg        { return Arg{Name: name, Kind: Ptr} }
func path(name string) Arg       { return Arg{Name: name, Kind: Path, Dir: In} }
func str(name string) Arg        { return Arg{Name: name, Kind: String, Dir: In} }
func strVec(name string) Arg     { return Arg{Name: name, Kind: StrVec, Dir: In} }
func mode(name string) Arg       { return Arg{Name: name, Kind: Mode} }
func sig(name string) Arg        { return Arg{Name: name, Kind: Signal, Names: signalNames} }
func unused(name string) Arg     { return Arg{Name: name, Kind: None} }
func sub(name string) Arg        { return Arg{Name: name, Kind: Sub} }

// flags is a 32-bit set of flags; names may be nil.
func flags(name string, names *Names) Arg { return Arg{Name: name, Kind: Flags, Names: names} }

// enum is a signed 32-bit number with named values.
func enum(name string, names *Names) Arg { return Arg{Name: name, Kind: Int, Names: names} }

// in, out and inOut are blocks of bytes.
func in(name string, l Len) Arg    { return Arg{Name: name, Kind: Buf, Dir: In, Len: l} }
func out(name string, l Len) Arg   { return Arg{Name: name, Kind: Buf, Dir: Out, Len: l} }
func inOut(name string, l Len) Arg { return Arg{Name: name, Kind: Buf, Dir: InOut, Len: l} }

// outRet is an output of as many bytes as the call returns, at most argument
// limit.
func outRet(name string, limit int) Arg { return out(name, lenRet(limit, 1)) }

// inRec, outRec and inOutRec are single records.
func inRec(name string, l *Layout) Arg  { return Arg{Name: name, Kind: Struct, Dir: In, Struct: l} }
func outRec(name string, l *Layout) Arg { return Arg{Name: name, Kind: Struct, Dir: Out, Struct: l} }
func inOutRec(name string, l *Layout) Arg {
	return Arg{Name: name, Kind: Struct, Dir: InOut, Struct: l}
}

// recs is an array of records of n bytes in all.
func recs(name string, d Dir, l *Layout, n Len) Arg {
	return Arg{Name: name, Kind: Struct, Dir: d, Struct: l, Len: n}
}

// iovIn and iovOut are arrays of struct iovec whose length argument count says.
func iovIn(name string, count int) Arg {
	return Arg{Name: name, Kind: Iovec, Dir: In, Len: lenArg(count)}
}
func iovOut(name string, count int) Arg {
	return Arg{Name: name, Kind: Iovec, Dir: Out, Len: lenArg(count)}
}

// sockIn is an address of argument size bytes, sockOut one whose room and
// length argument lenPtr points to.
func sockIn(name string, size int) Arg {
	return Arg{Name: name, Kind: Sockaddr, Dir: In, Len: lenArg(size)}
}
func sockOut(name string, lenPtr int) Arg {
	return Arg{Name: name, Kind: Sockaddr, Dir: Out, Len: lenAt(lenPtr)}
}
func sockLen(name string) Arg { return Arg{Name: name, Kind: SockLen, Dir: InOut} }

// sigset is the pointer to a kernel signal set. The kernel knows one size of
// it and refuses a call whose size argument differs.
func sigset(name string) Arg { return in(name, fixed(sigsetSize)) }

// sigsetSize is the size of the kernel's sigset_t in bytes.
const sigsetSize = 8

// anyBit is the mask of an argument that counts when another one is not zero.
const anyBit = ^uint64(0)

// when returns a restricted to calls whose argument arg has bits of mask set.
func (a Arg) when(arg int, mask uint64) Arg {
	a.If = Cond{Arg: arg, Mask: mask}
	return a
}

// onErr returns the output a, which the kernel writes also when the call fails
// with errno.
func (a Arg) onErr(errno uint16) Arg {
	a.OnErr = errno
	return a
}

// fixed is a constant length.
func fixed(n uint64) Len { return Len{Kind: LenConst, N: n} }

// lenArg is the value of argument arg, in bytes or, for arrays, in elements.
func lenArg(arg int) Len { return Len{Kind: LenArg, Arg: arg} }

// lenMul is the value of argument arg in elements of n bytes.
func lenMul(arg int, n uint64) Len { return Len{Kind: LenArg, Arg: arg, N: n} }

// lenRet is the call's result in elements of n bytes, limited by argument arg.
func lenRet(arg int, n uint64) Len { return Len{Kind: LenRet, Arg: arg, N: n} }

// behind returns the length l with n bytes in front of what it counts.
func (l Len) behind(n uint64) Len {
	l.Head = n
	return l
}

// atMost returns the count a, of which the kernel accepts n at most.
func (a Arg) atMost(n uint64) Arg {
	a.Most = n
	return a
}

// lenAt is the 32-bit number that argument arg points to.
func lenAt(arg int) Len { return Len{Kind: LenPtr, Arg: arg} }

// refused is a row of a call that the engine refuses by design. What is given of its
// arguments is compared and printed.
func refused(name string, errno uint16, reason string, a ...Arg) Row {
	return Row{Name: name, Exec: Unsupported, Errno: errno, Reason: reason, Args: a}
}

// waits returns the row with reasons to wait.
func (r Row) waits(w Wait) Row {
	r.Wait = w
	return r
}

// tame returns the command as one that is tame.
func (c SubCase) tame() SubCase {
	c.Tame = TameHere
	return c
}

// tameApart returns the command as one that is tame where the variant host is out of reach.
func (c SubCase) tameApart() SubCase {
	c.Tame = TameApart
	return c
}

// unblocks returns the command as one by which calls on its descriptor come to sleep or
// cease to.
func (c SubCase) unblocks() SubCase {
	c.Unblocks = true
	return c
}

// The forms of transfers that do not sleep (preadv2(2)): RWF_NOWAIT.
const rwfNoWait = 8

func instantRead(gathers bool) Instant {
	return Instant{Call: "preadv2", Gathers: gathers, Current: true, Arg: 5, Flag: rwfNoWait}
}

func instantWrite(gathers bool) Instant {
	return Instant{Call: "pwritev2", Gathers: gathers, Current: true, Arg: 5, Flag: rwfNoWait}
}

// Flags of calls with names, on x86-64 (include/uapi/linux/fcntl.h).
const (
	atEmptyPath       = 0x1000
	atSymlinkNofollow = 0x100
	atNoAutomount     = 0x800

	openNonblock  = 0o4000
	openNoCtty    = 0o400
	openLargeFile = 0o100000
	openNofollow  = 0o400000
	openCloexec   = 0o2000000
)

// namesFile says that a call opens a file to read it when argument flags says no more.
func namesFile(flags int) Named {
	return Named{Opens: true, Flags: flags, Only: openNonblock | openNoCtty | openLargeFile | openNofollow | openCloexec}
}

// plain is a command that the leader executes and that does not sleep.
func plain(name string, a ...Arg) SubCase { return SubCase{Name: name, Args: a} }
