//go:build !amd64

package vdso

import "errors"

// Stub is the code for the vDSO of this machine, which has none.
type Stub struct{}

// New fails.
func New([]byte) (*Stub, error) {
	return nil, errors.New("there is no code for the vDSO of this machine")
}

// Patch returns nothing.
func (*Stub) Patch(uint64) (at uint64, code []byte) { return 0, nil }

// Pointer returns 0.
func (*Stub) Pointer() uint64 { return 0 }

// Restart returns at.
func (*Stub) Restart(at uint64) uint64 { return at }
