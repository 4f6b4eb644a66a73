//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/procmaps"
	"github.com/multivar/multivar/internal/unix"
)

// mapSource answers what is mapped at an address: the kernel's own word, so that
// there is no second account of it to go wrong.
type mapSource struct {
	file    *os.File
	noQuery bool // the kernel is older than the question (Linux 6.11)
}

func (m *mapSource) open(pid int) error {
	m.close()
	var err error
	if m.file, err = os.Open("/proc/" + strconv.Itoa(pid) + "/maps"); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return errDead
		}
		return fmt.Errorf("memory map: %w", err)
	}
	return nil
}

func (m *mapSource) close() {
	if m.file != nil {
		_ = m.file.Close()
		m.file = nil
	}
}

// mapping returns the mapping that holds addr or else the next one above. It is
// empty when there is none. The variant host's own do not count.
func (s *session) mapping(t *task, addr uint64) (frontend.Mapping, error) {
	if inSlot(addr) || addr >= userEnd {
		return frontend.Mapping{}, nil
	}
	m := &t.proc.mm.maps
	if m.file == nil {
		if err := m.open(t.id.Host); err != nil {
			return frontend.Mapping{}, err
		}
	}
	if !m.noQuery {
		v, err := unix.QueryMap(int(m.file.Fd()), addr)
		switch err {
		case nil:
			out := frontend.Mapping{Start: v.Start, End: v.End, Prot: v.Prot, Shared: v.Shared}
			if inSlot(out.Start) {
				return frontend.Mapping{}, nil
			}
			return out, nil
		case syscall.ENOENT:
			return frontend.Mapping{}, nil
		case syscall.ESRCH:
			return frontend.Mapping{}, errDead
		}
		m.noQuery = true
	}
	all, err := procmaps.Read(t.id.Host)
	if err != nil {
		return frontend.Mapping{}, err
	}
	for _, v := range all {
		if addr < v.End && !inSlot(v.Start) {
			return v.Mapping, nil
		}
	}
	return frontend.Mapping{}, nil
}
