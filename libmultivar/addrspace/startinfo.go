package addrspace

import (
	"bytes"
	"slices"

	"github.com/multivar/multivar/frontend"
)

// Types of auxiliary vector entries (include/uapi/linux/auxvec.h).
const (
	auxNull         = 0
	auxPhdr         = 3
	auxPhent        = 4
	auxPhnum        = 5
	auxBase         = 7
	auxFlags        = 8
	auxEntry        = 9
	auxPlatform     = 15
	auxBasePlatform = 24
	auxRandom       = 25
	auxExecFn       = 31
	auxSysinfo      = 32
	auxSysinfoEhdr  = 33
)

// StartInfo is what a program is told at its start and must be told alike in all
// variants: the leader's. It shares its byte slices with the image that it came
// from; nothing changes them.
type StartInfo struct {
	// Args and Env are the argument and environment strings without their NULs.
	Args, Env [][]byte
	// ExecPath, Platform and BasePlatform are the strings that AT_EXECFN,
	// AT_PLATFORM and AT_BASE_PLATFORM point to.
	ExecPath, Platform, BasePlatform []byte
	// Random is what AT_RANDOM points to.
	Random [16]byte
	// Comm names the task.
	Comm string
	// Aux gives the order of the auxiliary vector's entries, and the values of
	// those that say something else than where the image is.
	Aux []frontend.Aux
	// ProgramAlign is the alignment in bytes that a position-independent program
	// asks for: a power of two up to 1 GiB. Anything else stands for PageSize.
	ProgramAlign uint64
	// KeepVDSO has the kernel's pages moved along, and not removed: a program that is told
	// of them reads clocks without a call.
	KeepVDSO bool
	// Readings has the vDSO moved along without its data, behind a page of the front-end's
	// (Placement.Readings).
	Readings bool
}

// StartInfoFrom returns what the leader's image says.
func StartInfoFrom(img *frontend.Image) StartInfo {
	if img == nil {
		return StartInfo{}
	}
	return StartInfo{
		Args:         slices.Clone(img.Args),
		Env:          slices.Clone(img.Env),
		ExecPath:     img.ExecPath,
		Platform:     img.Platform,
		BasePlatform: img.BasePlatform,
		Random:       img.Random,
		Comm:         img.Comm,
		Aux:          slices.Clone(img.Aux),
		ProgramAlign: img.Align,
	}
}

// AuxValue returns the value of the first entry of type typ.
func AuxValue(aux []frontend.Aux, typ uint64) (value uint64, ok bool) {
	for _, a := range aux {
		if a.Type == auxNull {
			break
		}
		if a.Type == typ {
			return a.Value, true
		}
	}
	return 0, false
}

// maxProgramAlign is the largest alignment that the program's window has room for
// in addition to its random offset.
const maxProgramAlign = 1 * gib

func validAlign(a uint64) bool { return a >= PageSize && a <= maxProgramAlign && a&(a-1) == 0 }

// holdsNul reports whether one of the strings contains a NUL, which would end it
// early on the stack.
func holdsNul(lists ...[][]byte) bool {
	for _, list := range lists {
		for _, s := range list {
			if bytes.IndexByte(s, 0) >= 0 {
				return true
			}
		}
	}
	return false
}
