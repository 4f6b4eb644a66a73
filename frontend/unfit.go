package frontend

import "fmt"

// UnfitError says that a task executed a program that cannot run as a variant, when
// there was no way back to the old one. A front-end reports it by Monitor.OnFailure.
type UnfitError struct {
	Task Task
	// Path is the program.
	Path string
	// Err says why, and what to do about it, in one line.
	Err error
}

// Error implements error.
func (e *UnfitError) Error() string {
	return fmt.Sprintf("%s cannot run as variants: %v", e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *UnfitError) Unwrap() error { return e.Err }
