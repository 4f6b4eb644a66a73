//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"fmt"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/loader"
)

var _ frontend.Executables = (*session)(nil)

// setProgram says what p runs from now on. It duplicates both files, of which the
// interpreter may be 0; prompt says that both wait for nothing but a disk.
func (s *session) setProgram(p *process, image, interp frontend.File, prompt bool) error {
	s.dropProgram(p)
	p.prompt = prompt
	for _, f := range []struct {
		to   *frontend.File
		from frontend.File
	}{{&p.image, image}, {&p.interp, interp}} {
		if f.from == 0 {
			continue
		}
		fd, err := unix.Duplicate(int(f.from), minFile)
		if err != nil {
			return fmt.Errorf("keep program: %w", err)
		}
		s.closer.vouch(fd, prompt)
		*f.to = frontend.File(fd)
	}
	return nil
}

func (s *session) dropProgram(p *process) {
	for _, f := range []*frontend.File{&p.image, &p.interp} {
		if *f != 0 {
			s.closer.closeFD(int(*f))
			*f = 0
		}
	}
}

// DupImage implements frontend.Host.
func (s *session) DupImage(id frontend.Task) (frontend.File, error) {
	t, err := s.lookup(id)
	if err != nil {
		return 0, err
	}
	if t.proc.image == 0 {
		return 0, fmt.Errorf("%v has no program", id)
	}
	// Who executes the file shall get the same interpreter, whatever is in its place
	// in his file system.
	var own process
	if err := s.setProgram(&own, t.proc.image, t.proc.interp, t.proc.prompt); err != nil {
		s.dropProgram(&own)
		return 0, fmt.Errorf("program of %v: %w", id, err)
	}
	if own.interp != 0 {
		s.interps[own.image] = own.interp
	}
	return own.image, nil
}

// dropInterp closes the interpreter that belongs to a program of the monitor's.
func (s *session) dropInterp(f frontend.File) {
	if i, ok := s.interps[f]; ok {
		s.closer.closeFD(int(i))
		delete(s.interps, f)
	}
}

// planFile plans the execution of a file of the monitor's.
func (s *session) planFile(t *task, a *frontend.Action) (*execution, error) {
	reopen := func(f frontend.File) (*loader.File, error) {
		fd, err := unix.Duplicate(int(f), minFile)
		if err != nil {
			return nil, err
		}
		return s.closer.openProgram(fd)
	}
	f, err := reopen(a.File)
	if err != nil {
		return nil, err
	}
	req := &loader.Request{File: f, Path: f.Name}
	if req.Args, err = s.strings(t, a.Args[1]); err == nil {
		req.Env, err = s.strings(t, a.Args[2])
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return s.plan(req, t.proc.pid, func(path string) (*loader.File, error) {
		if interp, ok := s.interps[a.File]; ok {
			return reopen(interp)
		}
		return s.openIn(t, unix.AtFDCWD, path, 0)
	})
}

// ExecRefusal implements frontend.Executables. What the kernel would refuse is found
// when the program is executed.
func (s *session) ExecRefusal(id frontend.Task, dirfd int, path string, flags int) (errno int, reason string) {
	t, err := s.lookup(id)
	if err != nil {
		return 0, ""
	}
	t.forgetForeseen()
	t.foresees = true
	x, err := s.planAt(t, dirfd, path, flags, nil)
	t.foresees = false
	if err == nil {
		x.close()
		return 0, ""
	}
	t.forgetForeseen()
	var bad *loader.Error
	if !errors.As(err, &bad) || !bad.Refused {
		return 0, ""
	}
	return int(bad.Errno), bad.Reason
}
