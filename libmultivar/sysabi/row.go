package sysabi

import "fmt"

// Exec says who executes a call.
type Exec uint8

// The ways to execute a call.
const (
	// Leader: only the leader runs the call, followers are answered with its
	// result and its output.
	Leader Exec = iota
	// All: the leader runs the call, and when it succeeded each follower runs
	// it too and must get the same (canonical) result. When it failed in the
	// leader, followers are answered with the error. Outputs are those of each
	// variant's own call.
	All
	// Each: every variant runs the call by itself as soon as the comparison
	// allows, and results are not compared because there is none to see
	// (rt_sigreturn).
	Each
	// Answer: nobody runs the call; the handler knows the result.
	Answer
	// Unsupported: a call that the engine refuses by design with Row.Errno,
	// because of Row.Reason.
	Unsupported
)

// Ret is the kind of a call's result.
type Ret uint8

// The kinds of results.
const (
	RetInt Ret = iota
	RetFD
	RetPid
	RetAddr
	RetNone
)

// Alone says what becomes of a call that one variant makes and the others do not, where a
// rule of the user's lets it.
type Alone uint8

// What becomes of such calls.
const (
	// NotAlone: it must not be made. It changes something, or what it answers is true in
	// the leader only.
	NotAlone Alone = iota
	// AloneRuns: the variant runs it. It writes nothing but its answer, and its arguments
	// are no descriptors, ids or addresses other than those of the answer.
	AloneRuns
	// AlonePid and AloneTid: the answer is the id of the process, or thread, as the program
	// sees it, which a follower's kernel does not know.
	AlonePid
	AloneTid
)

// Wait is the set of reasons why a policy may want a call to wait until every
// variant has asked for it.
type Wait uint8

// The reasons; a policy is a set of them. Rows carry those that apply.
const (
	// WaitClone: creates a process or a thread.
	WaitClone Wait = 1 << iota
	// WaitExec: replaces the program.
	WaitExec
	// WaitMapExec: waits only when the protection argument has PROT_EXEC.
	WaitMapExec
	// WaitOutput: gives data to the outside.
	WaitOutput
	// WaitAlways: waits under every policy (process exit).
	WaitAlways
)

// Has reports whether w contains any of the reasons in of.
func (w Wait) Has(of Wait) bool { return w&of != 0 }

// ArgBits are those bits of an argument that are set in Mask.
type ArgBits struct {
	Arg  int
	Mask uint64
}

// Instant is a call with the same first arguments as another one. Kinds of files that do not
// know it answer EOPNOTSUPP.
type Instant struct {
	// Call is its name, empty for none.
	Call string
	// Gathers: it takes a vector in place of the buffer and the length that are the second and
	// third argument of the other call. Current: its fourth argument says that it acts at the
	// file's position.
	Gathers, Current bool
	// Flag is to be set in argument Arg. The call does not do the same where that has bits of
	// Unless.
	Arg          int
	Flag, Unless uint32
}

// Transfer says what a call is that moves bytes through a descriptor and does nothing else.
type Transfer struct {
	// Kind is NoTransfer for all other calls.
	Kind TransferKind
	// Flags is the index of an argument, behind the first, that must have none but bits of Only
	// for that, zero where there is none; Null is the same for one that must be null.
	Flags, Null int
	Only        uint32
}

// TransferKind is the kind of a Transfer.
type TransferKind uint8

// The kinds.
const (
	NoTransfer TransferKind = iota
	// Sends: of all bytes that the arguments point to.
	Sends
	// Receives and ReceivesAt: into the second argument, of as many bytes as the third says; the
	// latter from the place in the file that is the fourth.
	Receives
	ReceivesAt
)

// Named says what a call with a name is when its flags, in argument Flags, have all bits of Has
// and none but those and bits of Only.
type Named struct {
	// Opens: it opens what has the name, to read it, and does nothing else.
	Opens bool
	// Call is the name of the call that does the same with the descriptor that the first
	// argument is, where the name is empty; empty for none. It has no other arguments than
	// that and, behind it, those that Call has in common with this one, in their order.
	Call  string
	Flags int
	Has   uint32
	Only  uint32
}

// Linger says for what kinds of files a call waits that programs do not expect to sleep.
type Linger uint8

// The kinds.
const (
	LingersNever Linger = iota
	// LingersAway: those that somebody else has, as a server of a network file system or the
	// peer of a socket.
	LingersAway
	// LingersAlways: those on disks, too.
	LingersAlways
)

// Tame says whether a call gives whoever makes it nothing that it did not have before.
type Tame uint8

// How tame a call is.
const (
	// NotTame: it may give memory that can be executed, a descriptor, a task, an identity, a
	// right, a limit or a handler of signals, reach what has a name, another process or the
	// host, or stop the caller from being watched.
	NotTame Tame = iota
	// TameHere: it moves data through descriptors that are open, waits, tells the time, or
	// asks who the caller is, or what of its own is like, or takes the next peer of a socket
	// that listens, or makes a descriptor of what nobody else has: a pipe, a counter. With the
	// address of a socket (Sockaddr, In) it is not tame.
	TameHere
	// TameRange: it changes what is mapped from the first argument on, as many bytes as the
	// second says. That is tame where the range is nobody else's and, in calls with a reason
	// WaitMapExec, the third argument does not have PROT_EXEC.
	TameRange
	// TameLook: it says what there is by some name (Path), and changes nothing: who makes it
	// learns what a file is like, and not what is in it.
	TameLook
	// TameApart: it makes a duplicate of a descriptor that is open. That is tame where the
	// variant host is out of the program's reach only: elsewhere a program could keep, or
	// exchange, what the variant host has open for a moment.
	TameApart
)

// Handler names the piece of engine code that a call needs beyond its row.
type Handler uint8

// The handlers.
const (
	HandlerNone Handler = iota
	HandlerBrk
	HandlerMmap
	HandlerMunmap
	HandlerMremap
	HandlerMprotect
	HandlerMsync
	HandlerMadvise
	HandlerClone
	HandlerClone3
	HandlerFork
	HandlerVfork
	HandlerExecve
	HandlerExecveat
	HandlerExit
	HandlerExitGroup
	HandlerWait4
	HandlerWaitid
	HandlerKill
	HandlerTgkill
	HandlerSigqueue
	HandlerSigaction
	HandlerSigprocmask
	HandlerSigaltstack
	HandlerSigreturn
	HandlerSigsuspend
	HandlerTidAddress
	HandlerPrctl
	HandlerArchPrctl
	HandlerOpen
	HandlerClose
	HandlerDup
	HandlerEpollCtl
	HandlerEpollWait
	HandlerRestart
	HandlerFutex
	HandlerRlimit
	HandlerRobustList
	HandlerMemfd
	HandlerPersonality
	HandlerShmget
	HandlerShmat
	HandlerShmdt
	HandlerShmctl
	HandlerPoll
	HandlerFutex2
	HandlerSemctl
	HandlerSemop
	HandlerMsgctl
	HandlerMsgsnd
	HandlerMqSend
	HandlerMqNotify
	HandlerFileHandle
	HandlerProcessVM
	// HandlerPending is a call that asks or waits for signals, which front-ends may keep.
	HandlerPending
	HandlerUnmount
	// HandlerClock is a call that tells the time and nothing else.
	HandlerClock
)

// Row describes one system call.
type Row struct {
	Name string
	// ID is the row's place in Rows counted from 1, the same on all architectures; 0 for
	// rows that are not of the table. Tables with one entry per call are indexed by it.
	ID int
	// Nr is the call's number per architecture, Absent where there is none.
	Nr   [archCount]int
	Args []Arg
	Ret  Ret
	Exec Exec
	// Blocks is true when the call may sleep for long in the kernel.
	Blocks bool
	// Lingers says whether the call waits until what has been written is where it belongs, or
	// until whoever has a file tells of it.
	Lingers Linger
	// AwaitsEvents is true when the call sleeps until something happens of which a
	// signal may be the notice: EINTR is an answer that programs expect of it.
	AwaitsEvents bool
	// Signals is true when the call may raise a signal for its own caller
	// before it returns (kill, a mask change, a write to a closed pipe), or tells of
	// something that a signal told of before (wait4).
	Signals bool
	// Silent are parts of arguments: where one of them is zero no signal comes with the call all the
	// same.
	Silent []ArgBits
	// Syncs is true when by the call threads of the program wait for each other, wake each
	// other or let each other run, and nothing else comes of it. How often they have to
	// depends on how they meet.
	Syncs bool
	Wait  Wait
	// Moves is the index of the argument that counts the bytes which the call transfers, in
	// calls that may transfer fewer and say how many they have; zero for none. The call never
	// has its count first.
	Moves int
	// Single is the name of the call that transfers one buffer where this one transfers
	// several and may transfer fewer. Its second and third arguments are the buffer and its
	// length, the others are the same.
	Single string
	// Bare is the name of the call that sends one buffer where this one sends a message that has
	// neither a name nor control data. Its second and third arguments are the buffer and its
	// length, its fourth one is this one's third, and what it has behind that is 0. Of a call that
	// receives such a message from a socket with nothing but data it is the one that gets a vector,
	// which it has in place of the message, and of how many parts. With an array of messages the call
	// is made for each, and flags are one argument further.
	Bare string
	// Instant is the form of the call that does at once what can be done at once, and fails
	// with EAGAIN where this one would sleep; its zero value where there is none.
	Instant Instant
	// Transfer says as what the call can be made by somebody else with the same descriptor, its
	// first argument, in whose buffer the data are.
	Transfer Transfer
	// Named says which calls of the row name a file and do nothing but open it, or name none; its
	// zero value where there are none.
	Named   Named
	Alone   Alone
	Tame    Tame
	Handler Handler
	// Sub refines the arguments by a command argument (ioctl, fcntl, prctl).
	Sub *SubTable
	// Errno is what an Unsupported call answers; Reason says why in a few
	// words.
	Errno  uint16
	Reason string
	// arm64 replaces Args in rows for ARM64 where the architectures disagree.
	arm64 []Arg
}

// SubTable selects argument descriptions by the value of a command argument.
type SubTable struct {
	// Arg is the index of the command argument and Mask the bits of it that
	// count (all when zero).
	Arg  int
	Mask uint64
	// Upper is the index of a second argument whose low 32 bits become the
	// upper half of the command (the level of a socket option), zero for none.
	Upper int
	// Cases maps a command to its description.
	Cases map[uint64]SubCase
	// Encoded describes commands without a case that say themselves what they do with their
	// argument, nil where none do.
	Encoded *Encoded
	// Default describes all other commands.
	Default SubCase
	// NamesUnknown has the notice of a refusal name the command where there is no case for
	// it.
	NamesUnknown bool
}

// Encoded describes commands by their Encoding: those about at most Most bytes, too few for a
// pointer to be among them. What a driver does with larger blocks an encoding does not say:
// there are drivers that read by commands that say that they write, and that follow what they
// read (USBDEVFS_SUBMITURB).
type Encoded struct {
	Writes, Reads, Both SubCase
	Most                uint64
}

// Encoding is what a command of ioctl(2) says of itself: _IOC of
// include/uapi/asm-generic/ioctl.h, the same on both architectures. Older commands than that
// say nothing; they look like some with neither direction nor size.
type Encoding struct {
	// Dir is In for what the kernel reads, Out for what it writes; 0 for commands with no
	// argument, a number, or one of which nothing is known.
	Dir          Dir
	Type, Number uint8
	// Size is that of what the argument points to, in bytes.
	Size uint64
}

// EncodingOf returns what a command of ioctl(2) says of itself.
func EncodingOf(cmd uint64) Encoding {
	return Encoding{Dir: Dir(cmd >> 30 & 3), Type: uint8(cmd >> 8), Number: uint8(cmd), Size: cmd >> 16 & 0x3fff}
}

// String writes the encoding as headers do.
func (e Encoding) String() string {
	var typ string
	if e.Type >= ' ' && e.Type < 0x7f {
		typ = fmt.Sprintf("%q", rune(e.Type))
	} else {
		typ = fmt.Sprintf("%#x", e.Type)
	}
	if e.Dir == 0 && e.Size == 0 {
		return fmt.Sprintf("_IO(%s, %d)", typ, e.Number)
	}
	macro := [...]string{0: "_IOC(_IOC_NONE, ", In: "_IOW(", Out: "_IOR(", InOut: "_IOWR("}[e.Dir]
	return fmt.Sprintf("%s%s, %d, %d bytes)", macro, typ, e.Number, e.Size)
}

// of returns the description of a command by its encoding.
func (e *Encoded) of(cmd uint64) (SubCase, bool) {
	enc := EncodingOf(cmd)
	if enc.Size == 0 || enc.Size > e.Most {
		return SubCase{}, false
	}
	switch enc.Dir {
	case Out:
		return e.Writes, true
	case In:
		return e.Reads, true
	case InOut:
		return e.Both, true
	}
	return SubCase{}, false
}

// all returns the descriptions, to be changed in place.
func (e *Encoded) all() []*SubCase {
	if e == nil {
		return nil
	}
	return []*SubCase{&e.Writes, &e.Reads, &e.Both}
}

// SubCase is the description of one command: it replaces the arguments of the
// row from the first Sub argument on.
type SubCase struct {
	Name string
	Args []Arg
	Exec Exec
	Ret  Ret
	// Blocks, Tame, Errno and Reason as in Row. A row that is tame is with all commands.
	Blocks bool
	// Unblocks: by the command calls on the descriptor come to sleep or cease to.
	Unblocks bool
	Tame     Tame
	Errno    uint16
	Reason   string
	// full is Args behind the row's own arguments, built with the table.
	full []Arg
}

// Descriptor returns the argument that is the descriptor on which the call acts. It is
// false for calls with none and for those with several.
func (r *Row) Descriptor() (arg int, ok bool) {
	arg = -1
	for i := range r.Args {
		if r.Args[i].Kind != FD {
			continue
		}
		if arg >= 0 {
			return 0, false
		}
		arg = i
	}
	return max(arg, 0), arg >= 0
}

// ReplacesDescriptors reports whether the call may make the number of an open descriptor
// stand for something else, now or for the next that is opened.
func (r *Row) ReplacesDescriptors() bool {
	return r.Handler == HandlerClose || r.Handler == HandlerDup
}

// Call is a row with the description that the command argument selects.
type Call struct {
	*Row
	Args   []Arg
	Exec   Exec
	Ret    Ret
	Blocks bool
	// Signals is what the row says but for what is Silent.
	Signals bool
	Errno   uint16
	Reason  string
	// Command is the name of the sub-command, empty when there is none.
	Command string
}

// Resolve returns the description of a call of row r with these arguments.
// Commands of a SubTable are looked up; the arguments of the returned Call are
// at most six and belong to the table. It never fails and does not allocate: an
// unknown command gets SubTable.Default.
func (r *Row) Resolve(args [6]uint64) Call {
	c := Call{Row: r, Args: r.Args, Exec: r.Exec, Ret: r.Ret, Blocks: r.Blocks, Signals: r.signals(args), Errno: r.Errno, Reason: r.Reason}
	if r.Sub == nil {
		return c
	}
	sub := r.Sub.find(args)
	c.Command = sub.Name
	c.Args = sub.full
	c.Exec = sub.Exec
	c.Ret = sub.Ret
	c.Blocks = r.Blocks || sub.Blocks
	c.Errno = sub.Errno
	c.Reason = sub.Reason
	return c
}

// signals reports whether a signal may come with the call that has these arguments.
func (r *Row) signals(args [6]uint64) bool {
	for _, b := range r.Silent {
		if args[b.Arg]&b.Mask == 0 {
			return false
		}
	}
	return r.Signals
}

// find returns the case that the arguments select.
func (t *SubTable) find(args [6]uint64) SubCase {
	if sub, ok := t.Cases[t.command(args)]; ok {
		return sub
	}
	if t.Encoded != nil {
		if sub, ok := t.Encoded.of(t.command(args)); ok {
			return sub
		}
	}
	return t.Default
}

// CommandName returns the name of the command that the arguments hold: empty where there is no
// case with a name for it, or where the command is only a part of its argument.
func (t *SubTable) CommandName(args [6]uint64) string {
	if t.Mask != 0xffffffff {
		return ""
	}
	return t.Cases[t.command(args)].Name
}

// Case returns the command that the arguments hold, and whether there is a case for it.
func (t *SubTable) Case(args [6]uint64) (cmd uint64, ok bool) {
	cmd = t.command(args)
	_, ok = t.Cases[cmd]
	return cmd, ok
}

// command returns the command that the arguments hold.
func (t *SubTable) command(args [6]uint64) uint64 {
	cmd := args[t.Arg]
	if t.Mask != 0 {
		cmd &= t.Mask
	}
	if t.Upper != 0 {
		cmd = cmd&0xffffffff | args[t.Upper]<<32
	}
	return cmd
}

// Same reports whether the arguments of two calls hold the same command.
func (t *SubTable) Same(a, b [6]uint64) bool { return t.command(a) == t.command(b) }
