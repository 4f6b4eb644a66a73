package kvm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// GetStats is the request that gives a virtual processor's statistics as a file
// (KVM_GET_STATS_FD, since Linux 5.14).
const GetStats = 0xaece

// Sizes in files of statistics (include/uapi/linux/kvm.h): of the header, and of a
// descriptor without its name. A name and the list of descriptors are bounded by more
// than what kernels have.
const (
	statsHeader    = 24
	statDescriptor = 16
	maxStatName    = 256
	maxStats       = 4096
)

// errStats is returned for a file that is no statistics as the manual has them.
var errStats = errors.New("statistics of a form that is not known")

// FindStat returns where in a file of statistics the value called name is, 8 bytes.
func FindStat(f io.ReaderAt, name string) (offset int64, err error) {
	var h [statsHeader]byte
	if _, err := f.ReadAt(h[:], 0); err != nil {
		return 0, fmt.Errorf("statistics: %w", err)
	}
	nameSize, count := le.Uint32(h[4:]), le.Uint32(h[8:])
	descriptors, data := le.Uint32(h[16:]), le.Uint32(h[20:])
	if nameSize == 0 || nameSize > maxStatName || count > maxStats {
		return 0, errStats
	}
	size := int64(statDescriptor + nameSize)
	d := make([]byte, size)
	for i := range int64(count) {
		if _, err := f.ReadAt(d, int64(descriptors)+i*size); err != nil {
			return 0, fmt.Errorf("statistics: %w", err)
		}
		if own, _, _ := bytes.Cut(d[statDescriptor:], []byte{0}); string(own) != name {
			continue
		}
		if values := le.Uint16(d[6:]); values != 1 {
			return 0, errStats
		}
		return int64(data) + int64(le.Uint32(d[8:])), nil
	}
	return 0, fmt.Errorf("no statistics called %s", name)
}

// ReadStat returns the value at an offset that FindStat gave.
func ReadStat(f io.ReaderAt, offset int64) (uint64, error) {
	var b [8]byte
	if _, err := f.ReadAt(b[:], offset); err != nil {
		return 0, fmt.Errorf("statistics: %w", err)
	}
	return le.Uint64(b[:]), nil
}
