//go:build linux && amd64

package kvmsandbox

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
)

// Stats counts what the virtual processors of a session did, those of all variants
// together.
type Stats struct {
	// Kind is the kind of KVM: "hardware" or "pvm".
	Kind string
	// Calls is how many system calls of the program arrived.
	Calls uint64
	// Faults is how many exceptions did, most of them for pages that the machine did
	// not know yet.
	Faults uint64
	// Exits is how often a virtual processor was left for user space (KVM_RUN
	// returned): for calls, faults and signals.
	Exits uint64
	// AgentCalls is how many calls agents have dealt with, in all variants.
	AgentCalls uint64
	// HostExits is how often one was left at all, by the kernel's count, interrupts
	// of the host and all else that the kernel deals with by itself included; 0 where
	// the kernel does not count.
	HostExits uint64
}

// Since returns what has been counted in s and not in before, which is the count of
// a shorter run.
func (s Stats) Since(before Stats) Stats {
	s.Calls -= before.Calls
	s.Faults -= before.Faults
	s.Exits -= before.Exits
	s.HostExits -= before.HostExits
	return s
}

// PerCall returns how many exits there were for each call: those to user space, and
// all. Both are 0 without calls.
func (s Stats) PerCall() (exits, hostExits float64) {
	if s.Calls == 0 {
		return 0, 0
	}
	return float64(s.Exits) / float64(s.Calls), float64(s.HostExits) / float64(s.Calls)
}

// LogValue implements slog.LogValuer.
func (s Stats) LogValue() slog.Value {
	return slog.GroupValue(slog.String("kind", s.Kind), slog.Uint64("calls", s.Calls), slog.Uint64("faults", s.Faults),
		slog.Uint64("exits", s.Exits), slog.Uint64("host-exits", s.HostExits))
}

// WithStats makes every session tell at its end, before Run returns, what it counted.
// f may be called by several sessions at a time.
func WithStats(f func(Stats)) Option {
	return func(fe *FrontEnd) { fe.stats = f }
}

var _ frontend.Counter = (*session)(nil)

// Counts implements frontend.Counter.
func (s *session) Counts(variant int) (c frontend.Counts) {
	if variant < 0 || variant >= len(s.variants) {
		return c
	}
	v := s.variants[variant]
	c = frontend.Counts{Stops: v.stops, Sleeps: v.slept}
	for _, t := range s.tasks {
		if t.proc.variant == v {
			c.Sleeps += t.blk.Sleeps() + t.blk.Agent().Sleeps()
		}
	}
	for _, d := range v.dying {
		c.Sleeps += d.blk.Sleeps()
	}
	return c
}

// hostCount is the kernel's count of the exits of one virtual processor.
type hostCount struct {
	file   *os.File
	offset int64
}

// countExits makes the kernel's count of c, a new virtual processor of t's process,
// readable, if somebody wants to know. Kernels without one, and processes that cannot
// have one more descriptor, do without.
func (s *session) countExits(t *task, c *vcpu) error {
	if !s.counting {
		return nil
	}
	// The kernel answers only those who share memory with the machine's maker.
	fd, err := s.call1(t, unix.SysIoctl, uint64(c.fd), kvm.GetStats, 0)
	if err != nil || fd < 0 {
		return err
	}
	own, err := s.grabMade(t, int(fd), "kvm-vcpu-stats:")
	if err == nil {
		file := os.NewFile(uintptr(own), "statistics")
		if offset, err := kvm.FindStat(file, "exits"); err == nil {
			c.count = &hostCount{file, offset}
		} else {
			s.log.Debug("exits are not counted", "error", err)
			_ = file.Close()
		}
	}
	if _, e := s.call1(t, unix.SysClose, uint64(fd)); e != nil {
		return e
	}
	return nil
}

// takeCount adds up what the kernel has counted of c. Older kernels free what the
// file reads from with the virtual processor, so that has to be there still: c.mem
// keeps it.
func (s *session) takeCount(c *vcpu) {
	if c.count == nil {
		return
	}
	n, err := kvm.ReadStat(c.count.file, c.count.offset)
	if err != nil {
		s.log.Debug("exits are not counted", "error", err)
	}
	s.stats.HostExits += n
	_ = c.count.file.Close()
	c.count = nil
}

// tellStats tells what has been counted, when everything has ended.
func (s *session) tellStats(f func(Stats)) {
	s.stats.Kind = s.kvm.kind.String()
	s.log.Info("virtual processors", "count", s.stats)
	if f != nil {
		f(s.stats)
	}
}

func (k kind) String() string {
	switch k {
	case kindHardware:
		return "hardware"
	case kindPVM:
		return "pvm"
	case kindNative:
		return "native"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}
