//go:build linux && amd64

package loader

import (
	"errors"
	"fmt"
	"syscall"
)

// Error is why a program is not executed. It unwraps to Errno.
type Error struct {
	// Errno is what execve(2) answers. When Fatal it is what Linux would have
	// answered, had it not been too late.
	Errno syscall.Errno
	// Fatal is true when the old program is gone by the time Linux finds the error:
	// execve does not return and the process is killed by SIGSEGV.
	Fatal bool
	// Refused is true when Linux would execute the program.
	Refused bool
	// Reason is a clause about the program, whose subject is "it".
	Reason string
}

// Error implements error.
func (e *Error) Error() string {
	switch {
	case e.Fatal:
		return fmt.Sprintf("%s: %v, too late to be answered", e.Reason, e.Errno)
	case e.Refused:
		return fmt.Sprintf("%s, which is not supported: %v", e.Reason, e.Errno)
	}
	return fmt.Sprintf("%s: %v", e.Reason, e.Errno)
}

// Unwrap returns Errno.
func (e *Error) Unwrap() error { return e.Errno }

func answer(errno syscall.Errno, format string, args ...any) error {
	return &Error{Errno: errno, Reason: fmt.Sprintf(format, args...)}
}

func fatal(errno syscall.Errno, format string, args ...any) error {
	return &Error{Errno: errno, Fatal: true, Reason: fmt.Sprintf(format, args...)}
}

func refuse(errno syscall.Errno, format string, args ...any) error {
	return &Error{Errno: errno, Refused: true, Reason: fmt.Sprintf(format, args...)}
}

// failed describes an error that came from outside. One that has no error number
// is none that a program could be told, and is passed on. One that is a refusal stays
// one.
func failed(err error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	var known *Error
	if errors.As(err, &known) && known.Refused {
		return &Error{Errno: known.Errno, Refused: true, Reason: fmt.Sprintf("%s (%s)", what, known.Reason)}
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return &Error{Errno: errno, Reason: what}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// hasErrno says whether err is the answer to a program rather than the end of
// what Load can do.
func hasErrno(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno)
}
