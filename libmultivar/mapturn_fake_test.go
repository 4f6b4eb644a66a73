package libmultivar_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
)

// While a call that gives memory back waits for all variants, no other thread of the leader's has its
// turn: one could get that memory, and a follower that is let go with both be there first.
func TestMemoryIsGivenBackInTurn(t *testing.T) {
	const size = 4096
	waits, err := policy.Parse("waits", []byte("inherits = \"performance\"\n[waits]\nmunmap = \"always\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	get := fakefe.Call(nr("mmap"), num(0), num(size), num(3), num(0x22), fakefe.Num(^uint64(0)), num(0))
	yield := fakefe.Call(nr("sched_yield"))
	giver := fakefe.Thread(yield, yield, fakefe.Call(nr("munmap"), fakefe.Var("buf"), num(size)), yield)
	program := &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{
		get.As("buf"), giver, yield, yield, get, yield, get, yield, get, fakefe.Exit(0),
	}}
	behind := 0
	for seed := range uint64(300) {
		var calls []string
		cfg := libmultivar.Config{Variants: 3, Policy: waits, OnCall: func(variant int, line []byte) error {
			if variant == 0 {
				calls = append(calls, string(line))
			}
			return nil
		}}
		// The leader comes to the call first, and goes on as far as it can.
		chooser := leaderFirst
		if seed%2 == 1 {
			chooser = fakefe.Random(seed)
		}
		s := scripted(t, cfg, fakefe.Config{
			Programs: []*fakefe.Program{program}, Choose: chooser, Kernel: newTableKernel(seed),
		}, nil)
		s.ok(t)
		if d := s.engine.Divergence(); d != nil {
			t.Fatalf("seed %d: %v", seed, d)
		}
		at := slices.IndexFunc(calls, func(line string) bool { return strings.Contains(line, "munmap") })
		if at < 0 {
			t.Fatalf("seed %d: %q", seed, calls)
		}
		giver, _, _ := strings.Cut(calls[at], " ")
		if seed%2 == 0 && !strings.HasPrefix(calls[at-1], giver) {
			t.Fatalf("seed %d: the leader's other thread has gone on meanwhile: %q", seed, calls)
		}
		if slices.ContainsFunc(calls[at:], func(line string) bool { return strings.Contains(line, "mmap") }) {
			behind++
		}
	}
	if behind == 0 {
		t.Error("nobody has asked for memory behind who gave it back")
	}
}
