package frontend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Leader is the index of the variant that does the I/O.
const Leader = 0

// MaxVariants is the largest number of variants of one session.
const MaxVariants = 64

// WorkingDir stands for the working directory where a descriptor is asked for (AT_FDCWD of
// include/uapi/linux/fcntl.h).
const WorkingDir = -100

// Task identifies one thread of one variant. Host is the front-end's own id of
// the thread (under ptrace the thread id in the monitor's pid namespace); it is
// unique among the living tasks of all variants.
type Task struct {
	Variant int
	Host    int
}

// String returns "v<variant>:<host id>".
func (t Task) String() string { return fmt.Sprintf("v%d:%d", t.Variant, t.Host) }

// Call is a system call as it was caught, before the kernel has seen it.
type Call struct {
	Arch sysabi.Arch
	// Nr is the number as the program gave it; it may be any value.
	Nr   int64
	Args [6]uint64
	// IP is the address of the instruction after the call, SP the stack pointer.
	IP, SP uint64
}

// TimeStamp is a read of the processor's time stamp counter, or of a random number.
type TimeStamp struct {
	// Cycles is the counter's value, read by the front-end when it caught the
	// instruction, or the number.
	Cycles uint64
	// Processor is the value that rdtscp puts into its third register.
	Processor uint32
	// WithProcessor is true for rdtscp.
	WithProcessor bool
	// Random is the instruction where it reads a random number. Front-ends do not report those:
	// the monitor does with the signal that an instruction changed by PatchCode raises.
	Random RandomNumber
	// IP is the address of the instruction.
	IP uint64
}

// RandomNumber is RDRAND or RDSEED (Intel SDM, vol. 2), of which there is none where Size is 0.
type RandomNumber struct {
	// Seed is true for RDSEED.
	Seed bool
	// Size is the number's in bytes, 2, 4 or 8, and Register what gets it, as instructions number
	// them: 0 is RAX, 4 RSP, 15 R15. Of one that gets 4 bytes the upper half becomes 0.
	Size, Register uint8
	// Length is the instruction's in bytes.
	Length uint8
}

// Into returns what a register with the value old has when the instruction has got the number.
func (r *RandomNumber) Into(old, number uint64) uint64 {
	switch r.Size {
	case 2:
		return old&^0xffff | number&0xffff
	case 4:
		return number & 0xffff_ffff
	}
	return number
}

// Flags returns RFLAGS behind the instruction, which has got a number: of the arithmetic ones only
// that for carries is set.
func (r *RandomNumber) Flags(old uint64) uint64 {
	const carry, parity, adjust, zero, sign, overflow = 1, 4, 0x10, 0x40, 0x80, 0x800
	return old&^(parity|adjust|zero|sign|overflow) | carry
}

// Signal is a signal that the kernel is about to deliver to a task.
type Signal struct {
	Number int
	// Info is the kernel's siginfo_t, 128 bytes.
	Info [128]byte
	// Synchronous is true when the task's own instruction caused the signal (a
	// fault or a trap raised by the processor).
	Synchronous bool
	// IP is the task's instruction pointer. AfterCall is true when the task has
	// executed no instruction since its last system call returned.
	IP        uint64
	AfterCall bool
}

// Code returns si_code.
func (s *Signal) Code() int32 {
	return int32(uint32(s.Info[8]) | uint32(s.Info[9])<<8 | uint32(s.Info[10])<<16 | uint32(s.Info[11])<<24)
}

// ForkKind says how a new task came into being.
type ForkKind uint8

// The kinds of new tasks.
const (
	// Fork: a new process.
	Fork ForkKind = iota
	// Vfork: a new process whose parent sleeps until it execs or exits.
	Vfork
	// Clone: anything else, including threads.
	Clone
)

// Status is how a task ended.
type Status struct {
	// Code is the exit status (0..255), meaningful when Signal is 0.
	Code int
	// Signal is the number of the signal that killed the task, or 0.
	Signal int
	// Core is true when the kernel wrote a core dump.
	Core bool
}

// File is a descriptor that the front-end duplicated from a variant and holds
// for the monitor until CloseFile. The zero value is no file.
type File int

// Registers are a task's general registers in the order of Names, for reports.
type Registers struct {
	IP, SP uint64
	Names  []string
	Values []uint64
}

// ErrFault is returned (wrapped) by memory accesses that hit an address that is
// not mapped or not accessible.
var ErrFault = errors.New("bad address in variant memory")

// ErrGone is returned (wrapped) by operations on a task that has died.
var ErrGone = errors.New("task is gone")

// ErrUnreadable is returned (wrapped) for a file of the leader that the monitor cannot read.
var ErrUnreadable = errors.New("the file cannot be read")

// Memory is access to the variants' memory. See Host.
type Memory interface {
	// AllocShared returns zeroed memory of size bytes that the front-end shares
	// with its variants' agents. A front-end without Capabilities.Shared returns
	// memory that only the monitor sees.
	AllocShared(size int) ([]byte, error)

	// ReadVariantMem reads len(p) bytes at addr of t's memory, regardless of page
	// protection: processors read memory for the program's calls that it may only
	// write or execute. Pages that it may not access at all are read, too.
	//
	// Postcondition: n bytes of p are valid; n < len(p) exactly when err wraps
	// ErrFault or ErrGone, and addr+n is then the first address not read.
	ReadVariantMem(t Task, addr uint64, p []byte) (n int, err error)

	// WriteVariantMem writes p at addr of t's memory. Pages that the program
	// itself may not write yield ErrFault. Results as ReadVariantMem.
	WriteVariantMem(t Task, addr uint64, p []byte) (n int, err error)

	// Mappings returns the mappings of t in ascending order, as
	// /proc/PID/maps lists them.
	Mappings(t Task) ([]Mapping, error)
}

// Files is access to the descriptors of the leader. See Host.
type Files interface {
	// DupFile duplicates descriptor fd of task t. The caller owns the result and
	// closes it with CloseFile.
	DupFile(t Task, fd int) (File, error)

	// DupImage duplicates the executable that t runs.
	DupImage(t Task) (File, error)

	// CloseFile releases a file; actions that were already returned with it must
	// have been carried out.
	CloseFile(f File) error

	// FilePath returns the kernel's name for descriptor fd of task t, as
	// /proc/PID/fd shows it ("/etc/passwd", "pipe:[123]"), or for its working directory
	// where fd is WorkingDir.
	FilePath(t Task, fd int) (string, error)
}

// FileInfo says what a file is.
type FileInfo struct {
	// Device and Inode identify it.
	Device, Inode uint64
	// Size is its length in bytes, meaningful when Regular.
	Size    int64
	Regular bool
	// Writable is true when the File can be written to, Readable when it can be read.
	Writable bool
	Readable bool
	// Position is the offset at which reads and writes go on.
	Position int64
}

// Twins is what a Host with Capabilities.Twins offers as well: files of the
// monitor's own with the content of the leader's, so that each follower can have
// memory of its own where the leader shares memory with a file.
type Twins interface {
	// FileInfo describes a file.
	FileInfo(f File) (FileInfo, error)

	// NewFile returns an empty anonymous file of size bytes. The caller owns it.
	NewFile(size int64) (File, error)

	// CopyRange copies n bytes at offset off from src to dst, which grows as
	// needed. Bytes beyond the end of src are zero. ErrUnreadable: what src refers to
	// cannot be read, neither by src nor otherwise.
	CopyRange(dst, src File, off, n int64) error

	// WriteFile writes p at offset off to a file that NewFile has returned.
	WriteFile(dst File, p []byte, off int64) error

	// Truncate gives a file that NewFile has returned another size.
	Truncate(f File, size int64) error

	// Pin returns a File by which FileInfo tells of the file that f refers to, whatever
	// becomes of its name, and which is no opening of it: locks end as if it were not there.
	// The caller owns it.
	Pin(f File) (File, error)
}

// Clocks is what a Host with Capabilities.Clocks offers as well: to read the clocks that
// the variants' kernel has, for calls that the monitor answers itself.
type Clocks interface {
	// Clock reads a clock by its number (clock_gettime(2)).
	Clock(id int) (seconds, nanoseconds int64, err error)
}

// Transfers is what a Host with Capabilities.Transfers offers as well: to move data through
// a descriptor of the leader's in its place. What its methods do is what the call does that
// they are named after, to the last bit that anybody can see, or nothing at all.
//
// Done is false when nothing has been done: the task has to make the call itself. That is the
// answer wherever the call might sleep or raise a signal, or tells its caller from others, and
// where another process has the same descriptors.
type Transfers interface {
	// Send is write(2) of data. The result is the call's.
	Send(t Task, fd int, data []byte) (ret int64, done bool)

	// Receive is read(2) into p.
	Receive(t Task, fd int, p []byte) (ret int64, done bool)

	// ReceiveAt is pread(2) into p.
	ReceiveAt(t Task, fd int, p []byte, off int64) (ret int64, done bool)
}

// Stops is what a Host with Capabilities.Stops offers as well: to tell of processes that a signal has
// stopped (signal(7)).
type Stops interface {
	// Stopped reports whether the process of t, a task of the leader's, is stopped until another
	// signal continues it. A signal that has been sent to a task that stands is no longer on its way then. OpStop,
	// for a task that is in a call of such a process's, brings that to an end, which is reported as ever.
	Stopped(t Task) bool
}

// Executables is what a Host with Capabilities.Executables offers as well: to say
// beforehand which programs its variants cannot execute although the kernel could.
type Executables interface {
	// ExecRefusal looks at the program that t is about to execute by execveat(dirfd,
	// path, ..., flags). The errno is 0 when nothing speaks against asking the
	// kernel, which is also the answer for whatever the kernel refuses itself.
	// Reason says in a few words why a program is refused.
	ExecRefusal(t Task, dirfd int, path string, flags int) (errno int, reason string)
}

// Onlooker is what a Host with Capabilities.Onlooker offers as well: to look at tasks
// that run, for reports. What comes of it is of no one moment, and nothing may be
// decided by it.
type Onlooker interface {
	// PeekVariantMem is Memory's ReadVariantMem for a task that may be running. It does
	// not wait for it.
	PeekVariantMem(t Task, addr uint64, p []byte) (n int, err error)

	// PeekMappings is Memory's Mappings for a task that may be running.
	PeekMappings(t Task) ([]Mapping, error)
}

// Patcher is what a Host with Capabilities.Patches offers as well: to change a program's code.
type Patcher interface {
	// PatchCode writes p at addr of t's memory, whether the program itself may write there or
	// not; only t's process sees it. An error that is not ErrGone says that nothing was written.
	PatchCode(t Task, addr uint64, p []byte) error
	// LocalFile says whether content of a file waits for nothing but a disk, as far as can be told
	// without asking who has it: of that which descriptor fd of t's stands for or, where fd is
	// negative, of that which t's mappings have as path.
	LocalFile(t Task, fd int, path string) bool
}

// Identifier is what a Host with Capabilities.Identifies offers as well: to answer CPUID in place of
// the processor, of which each says something else.
type Identifier interface {
	// TrapCPUID changes the code of t's process as PatchCode does: each instruction CPUID of those
	// at addrs raises an exception from then on, in t's process and in those that are forked from
	// it, of which nobody is told. The program goes on behind it with what CPUID answers in all
	// variants of the session. What is no such instruction stays as it is. It is over where the
	// program maps something else or may write.
	TrapCPUID(t Task, addrs []uint64) error
}

// Releaser is what a Host with Capabilities.Releases offers as well: to leave tasks to
// debuggers.
type Releaser interface {
	// Release lets go of a stopped task, which stands still from then on, in front of the
	// call that it was about to make or where it was otherwise; the call is not made. It
	// ends with the session. Nothing else may be asked of it, and no action given to it.
	Release(t Task) error
	// EndOthers kills all processes of variants of which none of these tasks is. It is
	// called before tasks are released, so that nobody lets those go on.
	EndOthers(than []Task)
}

// IPC is what the kernel knows about System V objects, which the leader has in common
// with whoever starts kvmsandbox. See Host.
type IPC interface {
	// SemaphoreCount returns how many semaphores the set with this id has, 0 when there
	// is no such set.
	SemaphoreCount(id int) int

	// Segment returns the System V segment of shared memory with this id; false when
	// there is none.
	Segment(id int) (Segment, bool)

	// IPCLimits returns the limits that hold now.
	IPCLimits() IPCLimits
}

// Segment is a System V segment of shared memory.
type Segment struct {
	// Size is its size in bytes as it was asked for.
	Size uint64
	// Creator is the process id of who made it.
	Creator int
}

// IPCLimits are limits of System V objects, 0 where there are none.
type IPCLimits struct {
	// Message is the most bytes of a message, Operations the most that semop(2) does.
	Message, Operations uint64
}

// Host is what a front-end does for the monitor at once. All methods are called
// on the session's goroutine only, and only for tasks that are stopped in front
// of the monitor.
type Host interface {
	Memory
	Files
	IPC

	// TimerWithin has OnTimer called when d has passed, or sooner. What is asked for
	// later replaces nothing that comes before it.
	TimerWithin(d time.Duration)

	// Registers returns the registers of a stopped task.
	Registers(t Task) (Registers, error)

	// SignalMask returns the signals that a stopped task blocks: bit n-1 stands
	// for signal n.
	SignalMask(t Task) (uint64, error)

	// CPUTime returns the processor time that t has used since it started, or that
	// of its whole process where the host does not tell them apart. t may be
	// running.
	CPUTime(t Task) (time.Duration, error)
}

// Monitor decides. A front-end calls exactly one method per stop of a task, in
// the order in which stops happen in each task, and carries out the returned
// actions in order before it reports the next stop. A returned action may
// address any stopped task.
type Monitor interface {
	// OnThreadStart reports a first task of a variant.
	// Precondition: called once per variant, before anything else of it.
	OnThreadStart(t Task) []Action

	// OnFork reports that parent, inside a clone-like call, created child.
	// Precondition: both are stopped; child has not run yet.
	OnFork(parent, child Task, kind ForkKind) []Action

	// OnExec reports that t runs a new program (or its first). All other threads
	// of its process are gone, t may have taken the id of its thread group's
	// leader: old is its id before.
	OnExec(t Task, old Task, img *Image) []Action

	// OnSyscall reports a call before the kernel sees it.
	OnSyscall(t Task, c Call) []Action

	// OnSyscallExit reports the result of a call that OpRun let into the kernel
	// with Exit set. ret is the raw result register, which may hold the kernel's
	// internal restart codes (-512..-516).
	OnSyscallExit(t Task, ret int64) []Action

	// OnRdtsc reports a read of the time stamp counter.
	OnRdtsc(t Task, ts TimeStamp) []Action

	// OnSignal reports a signal that is about to be delivered.
	OnSignal(t Task, s *Signal) []Action

	// OnStop reports that t stands still in the middle of its program, because OpStop
	// asked for it.
	OnStop(t Task) []Action

	// OnExit reports the end of a task; Host ids may be reused afterwards.
	OnExit(t Task, st Status) []Action

	// OnTimer is called several times a second, and when TimerWithin asks for it; now is a
	// monotonic reading. It detects variants that do not arrive.
	OnTimer(now time.Duration) []Action

	// OnFailure reports that the front-end could not carry out an action, or that a task
	// has got past it (BreachError); the monitor ends the session.
	OnFailure(t Task, err error) []Action
}

// Capabilities says what a front-end can do. What is false is not attempted.
type Capabilities struct {
	// Arch is the instruction set of the variants.
	Arch sysabi.Arch
	// Contains is true when variants can reach neither the monitor's memory nor what
	// catches their calls.
	Contains bool
	// Shared is true when AllocShared's memory is seen by the variants' agents.
	Shared bool
	// Rdtsc, CPUID say which instructions are caught, wherever they are.
	Rdtsc bool
	CPUID bool
	// Twins is true when the Host implements Twins.
	Twins bool
	// Clocks is true when the Host implements Clocks.
	Clocks bool
	// Transfers is true when the Host implements Transfers.
	Transfers bool
	// Readings is true when programs can read clocks by themselves.
	Readings bool
	// Executables is true when the Host implements Executables.
	Executables bool
	// Stops is true when the Host implements Stops.
	Stops bool
	// Onlooker is true when the Host implements Onlooker.
	Onlooker bool
	// Patches is true when the Host implements Patcher.
	Patches bool
	// Identifies is true when the Host implements Identifier.
	Identifies bool
	// Releases is true when the Host implements Releaser.
	Releases bool
	// Areas is true when OpRun can make memory (Action.Area).
	Areas bool
	// Agents is true when the Host implements Agents.
	Agents bool
	// Stubs is how many bytes the front-end wants beside a program's code for code of its
	// own (Placement.Stubs) where agents are used, 0 for none.
	Stubs uint64
	// Threads is true when processes with several threads are supported.
	Threads bool
	// ReservedStart up to ReservedEnd is what programs cannot map, where the
	// front-end itself is in their processes; both are 0 when there is no such range.
	ReservedStart, ReservedEnd uint64
}

// Spec is what a session runs.
type Spec struct {
	// Programs holds the executable of each variant: Programs[0] is the leader's,
	// a missing or empty entry means the leader's.
	Programs []string
	Args     []string
	Env      []string
	// Dir is the working directory, empty for the caller's.
	Dir string
	// Files are the leader's descriptors: Files[i] becomes descriptor i, nil
	// leaves it closed.
	Files []*os.File
	// Variants is their number, 1..MaxVariants.
	Variants int
	// Session, when set, makes the leader's first process the first of a session of its
	// own.
	Session *Session
	// Stopped, when set, is called as often as Monitor.OnTimer while a signal has stopped
	// the leader's first process. It returns at once.
	Stopped func()
	// Started, when set, is told of the first process of a variant before that has
	// executed an instruction of its program, from whatever goroutine starts it. An error
	// ends the session.
	Started func(variant, pid int) error
	// Ended, when set, is told once how the leader's first process ended, on the session's
	// goroutine. It returns at once.
	Ended func(Status)
}

// FirstStarted tells of the first process of a variant to who wants to know.
func (s *Spec) FirstStarted(variant, pid int) error {
	if s.Started == nil {
		return nil
	}
	return s.Started(variant, pid)
}

// FirstEnded makes st the outcome of a session, and tells who wants to know.
func (s *Spec) FirstEnded(st Status) Outcome {
	if s.Ended != nil {
		s.Ended(st)
	}
	return Outcome{Status: st, Ended: true}
}

// Session is one that a process begins.
type Session struct {
	// Terminal is the descriptor of the process that becomes its controlling terminal,
	// -1 for none.
	Terminal int
}

// Attributes returns what a new process of variant v, 0 for the leader, needs to be told
// of sessions: followers are always in ones of their own, where no terminal finds them.
func (s *Spec) Attributes(v int) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: v != Leader || s.Session != nil}
	if v == Leader && s.Session != nil && s.Session.Terminal >= 0 {
		attr.Setctty, attr.Ctty = true, s.Session.Terminal
	}
	return attr
}

// Outcome is how a session ended.
type Outcome struct {
	// Status is how the leader's first process ended.
	Status Status
	// Ended is true when Status is known (the session was not stopped before).
	Ended bool
}

// FrontEnd starts sessions.
type FrontEnd interface {
	// Name is the name by which users choose it.
	Name() string
	// Capabilities says what sessions of this front-end can do on this host.
	Capabilities() Capabilities
	// Run starts the variants of spec, reports everything they do to the monitor
	// that newMonitor returns for the session's Host, and returns when all tasks
	// have ended or the monitor asked to end. When ctx is done all variants are
	// killed. No process of the session is left when Run returns.
	Run(ctx context.Context, spec Spec, newMonitor func(Host, Capabilities) (Monitor, error)) (Outcome, error)
}

// StartError says that a variant's program could not be started. Err unwraps to
// the errno of the failed exec.
type StartError struct {
	Variant int
	Path    string
	Err     error
}

// Error implements error.
func (e *StartError) Error() string { return fmt.Sprintf("%s: %v", e.Path, e.Err) }

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }
