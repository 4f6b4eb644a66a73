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
func (*Stub) Patch(_, _ uint64) (at uint64, code []byte) { return 0, nil }

// Restart returns at.
func (*Stub) Restart(at uint64) uint64 { return at }
