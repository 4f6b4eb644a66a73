//go:build !amd64

package vdso

import "errors"

// Stub is the code for the vDSO of this machine, which has none.
type Stub struct{}

// Patch is memory of the vDSO that is to be changed, by its offset.
type Patch struct {
	At   uint64
	Code []byte
}

// New fails.
func New([]byte) (*Stub, error) {
	return nil, errors.New("there is no code for the vDSO of this machine")
}

// Patches returns nothing.
func (*Stub) Patches(_, _ uint64) []Patch { return nil }

// Restart returns at.
func (*Stub) Restart(at uint64) uint64 { return at }
