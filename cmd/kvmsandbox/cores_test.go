package main

import (
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/report"
)

// still is a host whose tasks have a page of memory.
type still struct{ frontend.Host }

func (still) Registers(frontend.Task) (frontend.Registers, error) { return frontend.Registers{}, nil }

func (still) ReadVariantMem(_ frontend.Task, _ uint64, p []byte) (int, error) { return len(p), nil }

func (still) Mappings(frontend.Task) ([]frontend.Mapping, error) {
	return []frontend.Mapping{{Start: 0x1000, End: 0x2000, Prot: 3}}, nil
}

// A dump never takes the place of what is there, and finds another name.
func TestCoresKeepWhatIsThere(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Symlink("elsewhere", "core.7.0"); err != nil {
		t.Fatal(err)
	}
	d := &report.Divergence{Process: report.Process{Pid: 7}}
	c := &cores{host: still{}}
	for range maxSameName {
		c.dump(t.Context(), d, [][]frontend.Task{{{Host: 1}}})
	}
	if len(c.failed) > 0 || len(c.written) != maxSameName || c.written[0] != "core.7.0.1" || c.written[maxSameName-1] != "core.7.0.99" {
		t.Errorf("written %q, failed %q", c.written, c.failed)
	}
	if st, err := os.Stat("core.7.0.1"); err != nil || st.Mode() != fs.FileMode(0o600) {
		t.Errorf("%v, %v", st, err)
	}
	if _, err := os.Stat("elsewhere"); err == nil {
		t.Error("a dump follows a link")
	}
	c.dump(t.Context(), d, [][]frontend.Task{{{Host: 1}}})
	if len(c.failed) != 1 || !strings.Contains(c.failed[0], "exists") {
		t.Errorf("failed %q", c.failed)
	}
}
