package fakefe

import (
	"fmt"
	"time"

	"github.com/multivar/multivar/frontend"
)

var (
	_ frontend.Host  = (*session)(nil)
	_ frontend.Twins = (*session)(nil)
)

// AllocShared implements frontend.Host.
func (s *session) AllocShared(size int) ([]byte, error) {
	if size < 0 {
		return nil, fmt.Errorf("allocate %d bytes", size)
	}
	return make([]byte, size), nil
}

// held returns a task that is stopped in front of the monitor.
func (s *session) held(id frontend.Task) (*task, error) {
	t := s.lookup(id)
	if t != nil {
		s.request(t)
	}
	switch {
	case t == nil:
		s.fault("the monitor looks at unknown task %v", id)
	case t.state == dead, t.state == dying:
	case !t.state.stopped():
		s.fault("the monitor looks at %s", t.describe())
	default:
		return t, nil
	}
	return nil, fmt.Errorf("%v: %w", id, frontend.ErrGone)
}

// ReadVariantMem implements frontend.Host.
func (s *session) ReadVariantMem(id frontend.Task, addr uint64, p []byte) (int, error) {
	t, err := s.held(id)
	if err != nil {
		return 0, err
	}
	if n := t.proc.mem.read(addr, p); n < len(p) {
		return n, fmt.Errorf("%w: %v %#x", frontend.ErrFault, id, addr+uint64(n))
	}
	return len(p), nil
}

// WriteVariantMem implements frontend.Host.
func (s *session) WriteVariantMem(id frontend.Task, addr uint64, p []byte) (int, error) {
	t, err := s.held(id)
	if err != nil {
		return 0, err
	}
	if n := t.proc.mem.write(addr, p, false); n < len(p) {
		return n, fmt.Errorf("%w: %v %#x", frontend.ErrFault, id, addr+uint64(n))
	}
	return len(p), nil
}

// Registers implements frontend.Host.
func (s *session) Registers(id frontend.Task) (frontend.Registers, error) {
	t, err := s.held(id)
	if err != nil {
		return frontend.Registers{}, err
	}
	return frontend.Registers{
		IP: t.ip(), SP: t.sp, Names: []string{"a0", "a1", "a2", "a3", "a4", "a5"}, Values: t.call.args[:],
	}, nil
}

// SignalMask implements frontend.Host.
func (s *session) SignalMask(id frontend.Task) (uint64, error) {
	t, err := s.held(id)
	if err != nil {
		return 0, err
	}
	return t.blocked, nil
}

func (s *session) addFile(f *file) frontend.File {
	id := s.nextFile
	s.nextFile++
	s.files[id] = f
	return id
}

// DupFile implements frontend.Host.
func (s *session) DupFile(id frontend.Task, fd int) (frontend.File, error) {
	if _, err := s.held(id); err != nil {
		return 0, err
	}
	if id.Variant != frontend.Leader || s.cfg.Content == nil {
		return 0, fmt.Errorf("descriptor %d of %v: %w", fd, id, errFile)
	}
	content := s.cfg.Content(fd)
	if content == nil {
		return 0, fmt.Errorf("descriptor %d of %v: %w", fd, id, errFile)
	}
	return s.addFile(&file{content: content, inode: uint64(fd) + 1}), nil
}

// FileInfo implements frontend.Twins: each descriptor is a regular file of its own.
func (s *session) FileInfo(f frontend.File) (frontend.FileInfo, error) {
	of := s.files[f]
	if of == nil {
		return frontend.FileInfo{}, errFile
	}
	return frontend.FileInfo{Device: 1, Inode: of.inode, Size: int64(len(of.content)), Regular: true, Readable: true}, nil
}

// NewFile implements frontend.Twins.
func (s *session) NewFile(size int64) (frontend.File, error) {
	return s.addFile(&file{content: make([]byte, size)}), nil
}

// Truncate implements frontend.Twins.
func (s *session) Truncate(f frontend.File, size int64) error {
	of := s.files[f]
	if of == nil || size < 0 {
		return errFile
	}
	of.content = append(of.content[:min(size, int64(len(of.content)))], make([]byte, max(0, size-int64(len(of.content))))...)
	return nil
}

// Pin implements frontend.Twins.
func (s *session) Pin(f frontend.File) (frontend.File, error) {
	of := s.files[f]
	if of == nil {
		return 0, errFile
	}
	return s.addFile(&file{content: of.content, inode: of.inode}), nil
}

// CopyRange implements frontend.Twins.
func (s *session) CopyRange(dst, src frontend.File, off, n int64) error {
	to, from := s.files[dst], s.files[src]
	if to == nil || from == nil || off < 0 || n < 0 {
		return errFile
	}
	if end := int(off + n); len(to.content) < end {
		to.content = append(to.content, make([]byte, end-len(to.content))...)
	}
	clear(to.content[off : off+n])
	if off < int64(len(from.content)) {
		copy(to.content[off:off+n], from.content[off:])
	}
	return nil
}

// WriteFile implements frontend.Twins.
func (s *session) WriteFile(dst frontend.File, p []byte, off int64) error {
	to := s.files[dst]
	if to == nil || off < 0 {
		return errFile
	}
	if end := int(off) + len(p); len(to.content) < end {
		to.content = append(to.content, make([]byte, end-len(to.content))...)
	}
	copy(to.content[off:], p)
	return nil
}

// DupImage implements frontend.Host.
func (s *session) DupImage(id frontend.Task) (frontend.File, error) {
	t, err := s.held(id)
	if err != nil {
		return 0, err
	}
	return s.addFile(&file{program: t.proc.program}), nil
}

// CloseFile implements frontend.Host.
func (s *session) CloseFile(f frontend.File) error {
	if s.files[f] == nil {
		s.fault("file %d, which is not open, is closed", f)
		return errFile
	}
	delete(s.files, f)
	return nil
}

// FilePath implements frontend.Host.
func (s *session) FilePath(id frontend.Task, fd int) (string, error) {
	if _, err := s.held(id); err != nil {
		return "", err
	}
	if fd == frontend.WorkingDir {
		return "/fake", nil
	}
	if s.cfg.FileName == nil {
		return fmt.Sprintf("/fake/%d", fd), nil
	}
	name := s.cfg.FileName(fd)
	if name == "" {
		return "", errFile
	}
	return name, nil
}

// Stopped implements frontend.Stops.
func (s *session) Stopped(id frontend.Task) bool {
	t := s.lookup(id)
	return t != nil && s.cfg.Stopped != nil && s.cfg.Stopped(t.proc.path)
}

// TimerWithin implements frontend.Host: timers come when the Chooser lets them.
func (s *session) TimerWithin(time.Duration) {}

// Segment implements frontend.Host.
func (s *session) Segment(int) (frontend.Segment, bool) { return frontend.Segment{}, false }

// SemaphoreCount implements frontend.Host.
func (s *session) SemaphoreCount(int) int { return 0 }

// IPCLimits implements frontend.Host.
func (s *session) IPCLimits() frontend.IPCLimits { return frontend.IPCLimits{} }

// Mappings implements frontend.Host.
func (s *session) Mappings(id frontend.Task) ([]frontend.Mapping, error) {
	t, err := s.held(id)
	if err != nil {
		return nil, err
	}
	var out []frontend.Mapping
	for i := range t.proc.mem.areas {
		out = append(out, t.proc.mem.areas[i].Mapping)
	}
	return out, nil
}

// CPUTime implements frontend.Host: a microsecond per step, a second per tick of
// an endless loop.
func (s *session) CPUTime(id frontend.Task) (time.Duration, error) {
	t := s.lookup(id)
	if t == nil || !t.alive() {
		return 0, fmt.Errorf("%v: %w", id, frontend.ErrGone)
	}
	return time.Duration(t.steps)*time.Microsecond + time.Duration(t.spins)*spinTick, nil
}
