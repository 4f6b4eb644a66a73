//go:build linux

package vhost

import (
	"encoding/binary"
	"strings"
)

// A path that a process opens for the monitor is an entry of pathSize bytes: struct open_how of
// openat2(2), and the path with its end at pathName.
const (
	paths    = 128
	pathSize = 2 * PageSize

	pathFlags   = 0
	pathMode    = 8
	pathResolve = 16
	pathHow     = 24
	pathName    = PageSize
	// maxPathSize is PATH_MAX, with the end.
	maxPathSize = 4096
)

// PathsSize is the size of the memory for paths in bytes.
const PathsSize = paths * pathSize

// PathHow is the size of what an entry begins with.
const PathHow = pathHow

// Paths are what processes are to open and how: memory of the monitor's that variants can read
// and not write. So what is opened is what the monitor has looked at, whatever a program does
// meanwhile. It belongs to the session's goroutine.
type Paths struct {
	shown
	free []int
}

// NewPaths returns memory for paths. The caller closes it.
func NewPaths() (*Paths, error) {
	s, err := newShown("paths", "paths of files", PathsSize)
	if err != nil {
		return nil, err
	}
	p := &Paths{shown: s}
	for i := range paths {
		p.free = append(p.free, i)
	}
	return p, nil
}

// FD is the descriptor by which processes map it at PathsAddr, PathsSize bytes, to read.
func (p *Paths) FD() int { return p.ro }

// OpenPath is a path to open, and how.
type OpenPath struct {
	entry int
	// Name and How are the addresses in the process of the path and of struct open_how.
	Name, How uint64
}

// Put returns a path that is to be opened with these members of struct open_how; false where
// there is no room, or that is no path. The caller gives it back.
func (p *Paths) Put(path string, flags, mode, resolve uint64) (OpenPath, bool) {
	if len(p.free) == 0 || len(path) >= maxPathSize || strings.IndexByte(path, 0) >= 0 {
		return OpenPath{}, false
	}
	last := len(p.free) - 1
	entry := p.free[last]
	p.free = p.free[:last]
	e := p.mem[entry*pathSize:][:pathSize]
	binary.LittleEndian.PutUint64(e[pathFlags:], flags)
	binary.LittleEndian.PutUint64(e[pathMode:], mode)
	binary.LittleEndian.PutUint64(e[pathResolve:], resolve)
	copy(e[pathName:], path)
	e[pathName+len(path)] = 0
	at := PathsAddr + uint64(entry)*pathSize
	return OpenPath{entry: entry, Name: at + pathName, How: at}, true
}

// Release gives a path back when the call with it is over.
func (p *Paths) Release(o OpenPath) { p.free = append(p.free, o.entry) }
