//go:build linux

package vhost

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/multivar/multivar/internal/mounts"
	"github.com/multivar/multivar/internal/unix"
)

// A name that agents may open is an entry of nameSize bytes: struct known_name in
// src/agent_name.c.
const (
	names    = 1024
	nameSize = 512

	nameFlags   = 0
	nameResolve = 16
	nameHow     = 24
	nameAsked   = 24
	nameLength  = 28
	nameAbsent  = 32
	namePath    = 40
	nameMost    = nameSize - namePath
	// nameBegin is how much of a name is written at once.
	nameBegin = 8
	// nameProbes is in how many entries, from the one that its hash says, a name may be.
	nameProbes = 8
)

// NamesSize is the size of the memory for names in bytes.
const NamesSize = names * nameSize

// NamePath and NameMask are where in an entry the name is, whose address has these low bits.
const (
	NamePath = namePath
	NameMask = nameSize - 1
	// NameHow is the size of what an entry begins with, struct open_how.
	NameHow = nameHow
)

// Looked stands for the flags of a name that the program has only looked at. The kernel opens nothing
// with them, since there are no such flags (openat2(2)).
const Looked = ^uint32(0)

// resolveNoSymlinks is RESOLVE_NO_SYMLINKS of openat2(2), openNonblock O_NONBLOCK.
const (
	resolveNoSymlinks = 4
	openNonblock      = 0x800
)

// localMagics returns the numbers of file systems whose files wait for nothing but a disk, each
// once.
func localMagics() []uint32 {
	var list []uint32
	for _, fs := range mounts.Local() {
		if !slices.Contains(list, fs.Magic) {
			list = append(list, fs.Magic)
		}
	}
	return list
}

// Names are those of files that agents may open to read them, without asking: memory of the
// monitor's that variants can read. None is changed or taken out but by Forget, so that what an
// agent has found stays what it is. It belongs to the session's goroutine.
type Names struct{ shown }

// NewNames returns memory for names. The caller closes it.
func NewNames() (*Names, error) {
	s, err := newShown("names", "names of files", NamesSize)
	if err != nil {
		return nil, err
	}
	return &Names{s}, nil
}

// Mapping is how processes map it.
func (n *Names) Mapping() RingMapping { return RingMapping{FD: n.ro, Size: NamesSize} }

// Add has agents open the file with a name, an absolute one, when the program gives these
// flags. With absent there is no such file: agents find out whether that is so still, also
// where they may open none. It says whether they can: a name may be too long, or not have found
// room.
func (n *Names) Add(name string, flags uint32, absent bool) bool {
	if !strings.HasPrefix(name, "/") || len(name) >= nameMost || strings.IndexByte(name, 0) >= 0 {
		return false
	}
	h := nameHash(name, flags)
	for i := range uint32(nameProbes) {
		e := n.mem[(h+i)%names*nameSize:][:nameSize]
		size := unix.Word(e, nameLength)
		if at := e[namePath:]; *size == uint32(len(name)+1) && binary.LittleEndian.Uint32(e[nameAsked:]) == flags &&
			string(at[:len(name)]) == name {
			return true
		}
		if *size != 0 {
			continue
		}
		// Until the name begins it is empty, and the kernel refuses it whatever the flags. So
		// nobody ever opens it without them, by symbolic links, say.
		binary.LittleEndian.PutUint64(e[nameFlags:], uint64(flags|openNonblock))
		binary.LittleEndian.PutUint64(e[nameResolve:], resolveNoSymlinks)
		binary.LittleEndian.PutUint32(e[nameAsked:], flags)
		if absent {
			binary.LittleEndian.PutUint32(e[nameAbsent:], 1)
		}
		copy(e[namePath+nameBegin:], name[min(nameBegin, len(name)):])
		var begin [nameBegin]byte
		copy(begin[:], name)
		atomic.StoreUint64(unix.Long(e, namePath), binary.LittleEndian.Uint64(begin[:]))
		atomic.StoreUint32(size, uint32(len(name)+1))
		return true
	}
	return false
}

// Forget takes all names out. An agent that has found one opens no file by it any more, and says
// of none that it is not there.
func (n *Names) Forget() {
	for at := 0; at < NamesSize; at += nameSize {
		e := n.mem[at:][:nameSize]
		atomic.StoreUint32(unix.Word(e, nameAbsent), 0)
		atomic.StoreUint32(unix.Word(e, nameLength), 0)
		// The kernel finds no file by an empty name.
		atomic.StoreUint64(unix.Long(e, namePath), 0)
	}
}

// nameHash is FNV-1a over the name and the byte 0 behind it, as agents compute it.
func nameHash(name string, flags uint32) uint32 {
	const offset, prime = 0x811c9dc5, 0x01000193
	h := offset ^ flags
	for _, c := range []byte(name) {
		h = (h ^ uint32(c)) * prime
	}
	return h * prime
}
