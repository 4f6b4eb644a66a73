package frontend

import (
	"errors"
	"fmt"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// ErrTampered is wrapped by what a front-end reports by Monitor.OnFailure when memory that
// it shares with variants says what it would never say unless a variant had written there.
var ErrTampered = errors.New("a variant has written over the variant host's memory")

// BreachError says that a task was about to make a call past the front-end, which no
// program does that has not been taken over. The call is not made. A front-end reports it
// by Monitor.OnFailure; the task may be one that the monitor has not been told of.
type BreachError struct {
	Task Task
	// Call is what the kernel was asked for. Its Nr is -1 where that is not known, because
	// the kernel has killed the process for it.
	Call Call
}

// Name is the name of the call.
func (e *BreachError) Name() string {
	if row, ok := sysabi.Lookup(e.Call.Arch, int(e.Call.Nr)); ok {
		return row.Name
	}
	if e.Call.Nr < 0 {
		return "the kernel"
	}
	return fmt.Sprintf("system call %d", e.Call.Nr)
}

// Error implements error.
func (e *BreachError) Error() string {
	return fmt.Sprintf("%v calls %s past the monitor", e.Task, e.Name())
}
