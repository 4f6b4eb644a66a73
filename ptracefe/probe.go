//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/procmaps"
	"github.com/multivar/multivar/internal/unix"
)

// Probe tests what this front-end needs of the host. It starts two variants of the
// calling process's own program, which are killed before their first instruction.
// What is missing is in the features; the error is that of ctx when it is done
// before the end. It takes some milliseconds.
func Probe(ctx context.Context) (frontend.Features, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("test of ptrace: %w", context.Cause(ctx))
	}
	done := make(chan error, 1)
	go func() {
		var err error
		onFreshThread(func() { err = tryToTrace(ctx) })
		done <- err
	}()
	select {
	case err := <-done:
		h := thisHost(err)
		return h.features(), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("test of ptrace: %w", context.Cause(ctx))
	}
}

// tryToTrace starts two variants as a session does, filter included, and kills
// them.
func tryToTrace(ctx context.Context) error {
	f := &FrontEnd{log: slog.New(slog.DiscardHandler)}
	s := newSession(ctx, f, frontend.Spec{Programs: []string{"/proc/self/exe"}, Variants: 2})
	defer s.closeSockets()
	defer s.reap()
	_, err := s.startAll()
	return err
}

// hostFacts is what the features are made of.
type hostFacts struct {
	// tracing is why variants could not be started, nil if they were.
	tracing error
	// release is the kernel's, such as 6.1.0-25-amd64.
	release string
	// tracer is who traces this process, 0 if nobody.
	tracer     int
	tracerName string
	// yama is the scope that the Yama module allows, empty without it.
	yama string
	// privileged is true with CAP_SYS_PTRACE.
	privileged bool
	// filtered is true when this process is under a seccomp filter.
	filtered bool
	// descriptors is why descriptors of others cannot be duplicated, nil if they can.
	descriptors error
	// timeStamps is why reads of the counter cannot be trapped, nil if they can.
	timeStamps error
	// pageSize is in bytes; addressBits is how many the addresses of programs have.
	pageSize, addressBits int
}

func thisHost(tracing error) hostFacts {
	h := hostFacts{tracing: tracing, release: unix.KernelRelease(), timeStamps: unix.CanTrapTSC(), descriptors: unix.CanDuplicate(), pageSize: os.Getpagesize(), addressBits: addressBits()}
	if p, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil {
		h.yama = strings.TrimSpace(string(p))
	}
	status, _ := os.ReadFile("/proc/self/status")
	h.readStatus(status)
	if h.tracer != 0 {
		name, _ := os.ReadFile(procPath(h.tracer, "comm"))
		h.tracerName = strings.TrimSpace(string(name))
	}
	return h
}

// readStatus reads a /proc/PID/status.
func (h *hostFacts) readStatus(status []byte) {
	const capSysPtrace = 19 // linux/capability.h
	for line := range bytes.Lines(status) {
		key, rest, _ := strings.Cut(string(line), ":")
		value := strings.TrimSpace(rest)
		switch key {
		case "TracerPid":
			h.tracer, _ = strconv.Atoi(value)
		case "Seccomp":
			h.filtered = value != "0"
		case "CapEff":
			set, _ := strconv.ParseUint(value, 16, 64)
			h.privileged = set>>capSysPtrace&1 != 0
		}
	}
}

// features tells causes before the result: if tracing fails, what may forbid it is
// missing too.
func (h *hostFacts) features() frontend.Features {
	explained := h.tracing == nil
	row := func(name string, required, ok bool, found, fix string) frontend.Feature {
		f := frontend.Feature{Name: name, Required: required, State: frontend.FeaturePresent, Found: found}
		if !ok {
			f.State, f.Fix = frontend.FeatureMissing, fix
			explained = explained || required
		}
		return f
	}
	var fs frontend.Features
	fs = append(fs, row("kernel", false, newEnough(h.release), "Linux "+h.release, "update to Linux 6.1 or newer; nobody tests older ones"))

	denied := errors.Is(h.tracing, ErrForbidden) || errors.Is(h.tracing, syscall.EPERM)
	found, fix := "nobody traces this process", ""
	if h.tracer != 0 {
		found = fmt.Sprintf("process %d (%s) traces this one", h.tracer, h.tracerName)
		fix = "run kvmsandbox without " + h.tracerName
	}
	fs = append(fs, row("tracer", true, !denied || h.tracer == 0, found, fix))

	found, fix = "no Yama", ""
	if h.yama != "" {
		found = "kernel.yama.ptrace_scope is " + h.yama
		fix = "sudo sysctl kernel.yama.ptrace_scope=1"
		if h.yama == "3" {
			fix = "set kernel.yama.ptrace_scope=1 in /etc/sysctl.d and reboot: 3 stays until then"
		}
	}
	allowed := h.yama != "3" && (h.yama != "2" || h.privileged)
	fs = append(fs, row("yama", true, !denied || allowed, found, fix))

	found, fix = "no filter on this process", ""
	if h.filtered {
		found = "this process is under a seccomp filter"
		fix = "start the container with: --cap-add SYS_PTRACE --security-opt seccomp=unconfined"
	}
	fs = append(fs, row("seccomp", true, !denied || !h.filtered || explained, found, fix))

	found, fix = "a program was traced and its calls were filtered", ""
	if h.tracing != nil {
		found = h.tracing.Error()
		if errors.Is(h.tracing, ErrForbidden) {
			found = "the kernel refuses it"
		}
		if fix = "see what is missing above"; !explained {
			fix = "allow this user to trace its own children: no security module (SELinux: setsebool deny_ptrace off) or container may forbid ptrace and seccomp"
		}
	}
	fs = append(fs, row("tracing", true, h.tracing == nil, found, fix))

	found = "pidfd_getfd duplicates descriptors"
	if h.descriptors != nil {
		found = "pidfd_getfd: " + h.descriptors.Error()
	}
	fs = append(fs, row("descriptors", false, h.descriptors == nil, found,
		"start the container with --cap-add SYS_PTRACE; until then files that are mapped are opened anew, which fails for programs that may not open them any more"))

	found = fmt.Sprintf("pages of %d bytes, addresses of %d bits", h.pageSize, h.addressBits)
	fs = append(fs, row("memory", true, h.pageSize == pageSize && h.addressBits >= minAddressBits, found,
		fmt.Sprintf("boot a kernel with pages of %d bytes and user addresses of %d bits", pageSize, minAddressBits)))

	found, fix = "PR_SET_TSC traps reads of the counter", "update to a kernel with PR_SET_TSC; until then programs that read the counter diverge"
	switch {
	case !trapsTimeStamps:
		found, fix = "reads of the counter are not trapped on "+arch.String(), "nothing to repair: programs whose calls depend on the counter diverge"
	case h.timeStamps != nil:
		found = "PR_SET_TSC: " + h.timeStamps.Error()
	}
	return append(fs, row("time stamps", false, trapsTimeStamps && h.timeStamps == nil, found, fix))
}

// minAddressBits is how many bits of user addresses the layouts of variants take.
const minAddressBits = 47

// addressBits returns how many bits the addresses of this process have, by its stack, which
// the kernel puts to their end.
func addressBits() int {
	vmas, err := procmaps.Read(os.Getpid())
	if err != nil {
		return 0
	}
	for _, v := range vmas {
		if v.Path == "[stack]" {
			return bits.Len64(v.Start)
		}
	}
	return 0
}

// newEnough reports whether a kernel release is Linux 6.1 or newer. One that cannot
// be read passes: tests find out what it can do.
func newEnough(release string) bool {
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n < 2 {
		return true
	}
	return major > 6 || major == 6 && minor >= 1
}
