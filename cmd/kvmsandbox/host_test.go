package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multivar/multivar/internal/unix"
)

func TestCPUs(t *testing.T) {
	for value, want := range map[string]string{"0": "0", "3,0-1": "0-1,3", "2-2": "2", "free": ""} {
		o, err := parseOptions([]string{"--cpus", value, "x"}, nil)
		switch {
		case err != nil:
			t.Errorf("%s: %v", value, err)
		case o.free != (want == ""):
			t.Errorf("%s: free is %v", value, o.free)
		case want != "" && unix.FormatCPUs(o.cpus) != want:
			t.Errorf("%s: %s", value, unix.FormatCPUs(o.cpus))
		}
	}
	o, err := parseOptions([]string{"--cpus", "1/0,2", "x"}, nil)
	if err != nil || unix.FormatCPUs(o.cpus) != "1" || unix.FormatCPUs(o.followerCPUs) != "0,2" {
		t.Errorf("1/0,2: %v", err)
	}
	for _, value := range []string{"", "1/", "/1", "0/1/2", "x", "-1", "1-", "2-1", "0,,1", "99999"} {
		if _, err := parseOptions([]string{"--cpus", value, "x"}, nil); err == nil || !strings.Contains(err.Error(), "-cpus") {
			t.Errorf("%q: %v", value, err)
		}
	}
}

// TestLowLatency looks for the file among the process's while it is held, and not after.
func TestLowLatency(t *testing.T) {
	if f, err := os.OpenFile(unix.LatencyFile, os.O_WRONLY, 0); err != nil {
		c := &command{opts: options{lowLatency: true}}
		if _, err := c.prepareHost(); err == nil || !strings.Contains(err.Error(), unix.LatencyFile) {
			t.Errorf("it cannot be opened, but: %v", err)
		}
		return
	} else if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	c := &command{opts: options{lowLatency: true}}
	release, err := c.prepareHost()
	if err != nil {
		t.Fatal(err)
	}
	if !holds(t, unix.LatencyFile) {
		t.Error("the file is not held")
	}
	release()
	if holds(t, unix.LatencyFile) {
		t.Error("the file is held for ever")
	}
}

// holds reports whether this process has a file open.
func holds(t *testing.T, name string) bool {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == name {
			return true
		}
	}
	return false
}
