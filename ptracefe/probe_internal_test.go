//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// The tests of this package trace programs, so Probe must find that they can.
func TestProbeHere(t *testing.T) {
	for range 3 {
		fs, err := Probe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if f, missing := fs.Obstacle(); missing {
			t.Errorf("%+v", f)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// Nothing is started then, whose descriptors the next test would count.
	if _, err := Probe(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestFeatures(t *testing.T) {
	forbidden := fmt.Errorf("start x: %w (%w)", ErrForbidden, syscall.EPERM)
	for _, c := range []struct {
		name string
		host hostFacts
		// missing are the features that are, in order; says is in the fix of the first.
		missing string
		says    string
	}{
		{"all", hostFacts{release: "6.1.0-25-amd64"}, "", ""},
		{"yama lets children be traced", hostFacts{release: "6.1.0", yama: "1"}, "", ""},
		{"root under yama", hostFacts{release: "6.1.0", yama: "2", privileged: true}, "", ""},
		{"a debugger that does not hinder", hostFacts{release: "6.1.0", tracer: 7, tracerName: "gdb"}, "", ""},
		{"a filter that does not hinder", hostFacts{release: "6.1.0", filtered: true}, "", ""},
		{"release unknown", hostFacts{release: "?"}, "", ""},
		{"old", hostFacts{release: "5.10.0-1"}, "kernel", "Linux 6.1"},
		{"no time stamps", hostFacts{release: "6.1.0", timeStamps: syscall.EINVAL}, "time stamps", "PR_SET_TSC"},
		{"container without a capability", hostFacts{release: "6.1.0", filtered: true, descriptors: syscall.EPERM}, "descriptors", "--cap-add SYS_PTRACE"},
		{"traced", hostFacts{release: "6.1.0", tracing: forbidden, tracer: 7, tracerName: "strace"}, "tracer tracing", "without strace"},
		{"yama 2", hostFacts{release: "6.1.0", tracing: forbidden, yama: "2"}, "yama tracing", "sudo sysctl kernel.yama.ptrace_scope=1"},
		{"yama 3", hostFacts{release: "6.1.0", tracing: forbidden, yama: "3", privileged: true}, "yama tracing", "reboot"},
		{"container", hostFacts{release: "6.1.0", tracing: forbidden, filtered: true}, "seccomp tracing", "--cap-add SYS_PTRACE"},
		{"yama in a container", hostFacts{release: "6.1.0", tracing: forbidden, yama: "2", filtered: true}, "yama tracing", "sysctl"},
		{"no known cause", hostFacts{release: "6.1.0", tracing: forbidden}, "tracing", "SELinux"},
		{"large pages", hostFacts{release: "6.1.0", pageSize: 16384}, "memory", "pages of 4096 bytes"},
		{"small address space", hostFacts{release: "6.1.0", addressBits: 39}, "memory", "addresses of 47 bits"},
		{"another cause", hostFacts{release: "6.1.0", tracing: errors.New("no memory"), yama: "2", filtered: true}, "tracing", "allow"},
	} {
		if c.host.pageSize == 0 {
			c.host.pageSize = 4096
		}
		if c.host.addressBits == 0 {
			c.host.addressBits = 47
		}
		fs := c.host.features()
		var missing []string
		var fix string
		for _, f := range fs {
			if f.State == frontend.FeatureMissing {
				missing = append(missing, f.Name)
				if fix == "" {
					fix = f.Fix
				}
			}
			if (f.Fix != "") != (f.State == frontend.FeatureMissing) {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
		if got := strings.Join(missing, " "); got != c.missing || !strings.Contains(fix, c.says) {
			t.Errorf("%s: missing %q, fix %q; want %q with %q", c.name, got, fix, c.missing, c.says)
		}
		if fs.Usable() != (c.host.tracing == nil && c.missing != "memory") {
			t.Errorf("%s: usable is %t", c.name, fs.Usable())
		}
	}
}

func TestReadStatus(t *testing.T) {
	var h hostFacts
	h.readStatus([]byte("Name:\tx\nTracerPid:\t12\nCapEff:\t0000000000080000\nSeccomp:\t2\nSeccomp_filters:\t1\n"))
	if h.tracer != 12 || !h.privileged || !h.filtered {
		t.Errorf("%+v", h)
	}
	h = hostFacts{}
	h.readStatus([]byte("TracerPid:\t0\nCapEff:\t0000000000000000\nSeccomp:\t0\nbad"))
	if h != (hostFacts{}) {
		t.Errorf("%+v", h)
	}
}
