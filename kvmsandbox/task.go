//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
	"github.com/multivar/multivar/kvmsandbox/internal/signals"
)

// state is where a task stands between two reports to the monitor.
type state uint8

const (
	running     state = iota // in the guest or in a call; the variant host reports
	atEntry                  // a call, before it is made
	atExit                   // a call, done
	atFork                   // inside a clone-like call
	atBirth                  // before the first instruction after the fork
	atExec                   // before the first instruction of a program
	atSignal                 // a signal is about to be delivered
	atTimeStamp              // an instruction that reads the time stamp counter
	atStop                   // where it was asked to stop
	starting                 // the variant host is being executed
	unborn                   // the variant host has not reported its start
	leaving                  // the last call has been posted
	ended
)

func (st state) String() string {
	return [...]string{"running", "call entry", "call exit", "fork", "birth", "exec", "signal",
		"time stamp", "stop", "starting", "unborn", "leaving", "ended"}[st]
}

// place is how the guest came to stand still, which decides how it goes on.
type place uint8

const (
	inUser  place = iota // in ring 3
	inGate               // in the stub of system calls
	inFrame              // in a vector's stub, with a frame on the ring 0 stack
)

// process is what the tasks of one process share.
type process struct {
	variant *variant
	pid     int
	pidfd   int
	tasks   []*task
	mm      *memory
	// actions are what the process does on signals; processes may share them.
	actions *signals.Dispositions
	image   frontend.File // the program's file, 0 when there is none
	interp  frontend.File // its interpreter's, likewise
	// prompt is true when both wait for nothing but a disk.
	prompt  bool
	trapTSC bool // reads of the time stamp counter are reported
	killed  bool
	// kickable is true when a follower's process handles the signal of halt.
	kickable bool
	// gone is true when the process has ended and that is about to be reported.
	gone     bool
	watchKey int32
	// status is how the process ends, when that is known before it has.
	status    frontend.Status
	hasStatus bool
	// alarm is the monitor's end of the socket whose other end kills the process
	// when the monitor dies, -1 before there is one.
	alarm int
	// siren is the other end of alarm in the process, inherited that of the parent;
	// sirenName is the kernel's name of it.
	siren, inherited int
	sirenName        string
	// limits are the program's hard limits where they are not the kernel's; the map
	// does not change.
	limits hardLimits
	// lifted is true while limits of the process are lifted; saved are those that it
	// gets back.
	lifted bool
	saved  []unix.Limit
	// exe is the descriptor of the program's file in the process where the kernel
	// does not know it, 0 where it does.
	exe int
}

// task is one thread of one variant.
type task struct {
	id    frontend.Task
	proc  *process
	state state
	blk   *vhost.Block
	vcpu  *vcpu
	files *files

	// regs are the program's registers while the task stands still; raw is what
	// the guest's were.
	regs, raw kvm.Registers
	place     place
	dirty     bool

	// lane is what its agent shares with those of other variants, nil before it has got a
	// lease; interval is the number of the present one. It is outlived when it goes on behind
	// all that the leader's has told before it died: it gets no leases any more, which other
	// followers may have yet to use.
	lane     *lane
	interval uint64
	outlived bool

	call call
	sig  signals.Thread
	// pause is what restart_syscall(2) goes on with, nil for nothing.
	pause *pause
	// queue holds signals taken from the kernel and not yet told to the monitor.
	queue [][128]byte
	// cut is the signal that has interrupted the call at which t stands, which its agent
	// has made.
	cut *[128]byte
	// mask is what the virtual processor was told to block.
	mask      uint64
	maskKnown bool
	signal    *frontend.Signal
	// fault is what the program meets when it goes on.
	fault *signals.Fault
	// born is the fork that the task was made by, bearing the one that it makes,
	// until both have gone on.
	born, bearing *birth
	// posted is true from when a batch is posted until its report is handled: a parent
	// is at its fork stop meanwhile. then continues when it is.
	posted bool
	then   func()
	// grasping is how many calls of the batch have to be made until none is left that
	// may get at descriptors by their numbers.
	grasping int
	// carrier lets the task come to the end of its batch while its process is stopped, nil for none.
	carrier *carrier
	// inGuest is true when the batch enters the guest. kicked is true from when the
	// guest was asked to stop until it has; deaf when it cannot be asked.
	inGuest, kicked, deaf bool
	// faults is true when the program may have stopped between a fault and what comes of it: the
	// machine sets RF with that.
	faults bool
	// loops counts faults in a row that changed nothing.
	loops    int
	lastPage uint64
	// asking is true while the guest gets one page at a time, to find the one that
	// the process does not have.
	asking  bool
	tscSize uint64
	// loan is not nil while the program has a stack pointer that is lent; refused is
	// where an instruction was invalid all the same, 0 for nowhere.
	loan    *loan
	refused uint64
	// apart is the call under way that opens a file in a helper, nil for none.
	apart *apart
	// straight is the path that the task opens by itself, if it has an entry.
	straight vhost.OpenPath
	// litter are descriptors in the process that are to be closed before the program
	// goes on; closing are those that it is closing.
	litter, closing []int
	// changes is the memory that the task's call may change, while it does.
	changes *memory
	// heeded is the number of the last call of which t's agent has been told, or not, that it leaves
	// descriptors as they are.
	heeded uint64
	// foreseen are files that were opened to find out whether the call at hand can execute them;
	// foresees says that those which are opened now are kept.
	foreseen foreseen
	foresees bool
	exec     *execution
	code     int // the exit status of a thread that leaves
}

// call is the system call at which a task stands, or which it makes.
type call struct {
	// number tells it from the program's other calls; 0 where there is none.
	number uint64
	nr     int64
	args   [6]uint64
	exit   bool // report the result
	// stoppable: halt ends the call, if it sleeps.
	stoppable bool
	foreign   bool
	// finish, if it is not nil, takes the result and returns the program's.
	finish func(ret int64) int64
	// ranNr is the number of the call that was made in its place.
	ranNr   int64
	ranArgs [6]uint64
	// landed is true when the call is done: the program goes on at ip with result
	// ret, which only the variant host knows when unseen.
	landed, unseen bool
	ip, ret        uint64
}

// afterCall says whether the program stands where its last call has left it.
func (t *task) afterCall() bool {
	c := &t.call
	return c.landed && t.regs.RIP == c.ip && (t.regs.RAX == c.ret || c.unseen && t.regs.RCX == c.ip)
}

func (t *task) leads() bool { return t.id.Variant == frontend.Leader }

// errDead is returned by operations on a task whose process has ended.
var errDead = fmt.Errorf("variant host: %w", frontend.ErrGone)

func isGone(err error) bool { return errors.Is(err, frontend.ErrGone) }

// errnoResult returns the error of a raw result.
func errnoResult(what string, ret int64) error {
	if ret < 0 && ret >= -4095 {
		return fmt.Errorf("%s: %w", what, syscall.Errno(-ret))
	}
	return nil
}
