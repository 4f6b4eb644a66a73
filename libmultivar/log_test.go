package libmultivar_test

import (
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
)

// The log has each variant's calls, and the end.
func TestLogOfCalls(t *testing.T) {
	lines := make([][]string, 2)
	cfg := libmultivar.Config{
		Variants: 2, Policy: mustPolicy(t, policy.Default), Pids: 1,
		OnCall: func(v int, line []byte) error {
			lines[v] = append(lines[v], string(line))
			return nil
		},
	}
	s := scripted(t, cfg, fakefe.Config{
		Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: []fakefe.Step{
			fakefe.Call(nr("read"), num(99), num(0), num(0)), fakefe.Call(nr("exit_group"), num(3)),
		}}},
		Kernel: failing{},
	}, nil)
	s.ok(t)
	want := []string{
		"1 execve(\"/bin/prog\") = 0\n", "1 read(99, NULL, 0) = -1 EBADF (Bad file descriptor)\n", "1 exit_group(3) = ?\n", "1 +++ exited with 3 +++\n",
	}
	for v := range lines {
		if !slices.Equal(lines[v], want) {
			t.Errorf("variant %d: %q, want %q", v, lines[v], want)
		}
	}
}

// failing is a kernel that knows no descriptor.
type failing struct{}

func (failing) Call(*fakefe.KernelCall) (int64, bool) { return -9, true }
