package libmultivar_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
)

// watcher is an observer that keeps to itself what it has been told, and what of that
// cannot be.
type watcher struct {
	// in is the call in which each thread of each variant is.
	in map[watched]string
	// finished counts by variant and name.
	finished []map[string]int
	// lives are the threads of which something has been told, and not the end.
	lives map[watched]bool
	seen  []libmultivar.Observation
	wrong []string
}

type watched struct {
	variant int
	id      uint32
}

func newWatcher(variants int) *watcher {
	w := &watcher{in: make(map[watched]string), lives: make(map[watched]bool)}
	for range variants {
		w.finished = append(w.finished, make(map[string]int))
	}
	return w
}

func (w *watcher) Observe(o *libmultivar.Observation) {
	w.seen = append(w.seen, *o)
	at := watched{o.Variant, o.ID}
	if o.Kind == libmultivar.TaskEnded {
		delete(w.lives, at)
	} else {
		w.lives[at] = true
	}
	say := func(text string) { w.wrong = append(w.wrong, fmt.Sprintf("%s in %q: %+v", text, w.in[at], *o)) }
	switch o.Kind {
	case libmultivar.CallBegan:
		if w.in[at] != "" {
			say("a call began")
		}
		w.in[at] = o.Call
	case libmultivar.CallFinished:
		if w.in[at] != o.Call {
			say("a call finished")
		}
		delete(w.in, at)
		if o.Result > -512 || o.Result < -516 {
			w.finished[o.Variant][o.Call]++
		}
	case libmultivar.CallEntered:
		if w.in[at] == "" {
			say("the kernel runs a call")
		}
	case libmultivar.TurnGiven:
		// A task at its exit takes a turn for it, and one that was preempted at its next
		// call stands at that.
	case libmultivar.TaskEnded:
		if w.in[at] != "" {
			say("a task ended")
		}
	}
}

// Whatever programs do: calls begin and finish in turns in each thread of each variant,
// and as often in all variants.
func TestObserverIsToldOfEachCall(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := genConfig(rt, 1)
		w := newWatcher(cfg.Variants)
		cfg.Observer = w
		s := scripted(t, cfg, fakefe.Config{
			Programs: []*fakefe.Program{program(genActs(2).Draw(rt, "program")), other()}, Choose: genChooser(rt),
		}, newTableKernel(rapid.Uint64Range(0, 1000).Draw(rt, "world")))
		s.agreed(rt)
		for _, text := range w.wrong {
			rt.Fatalf("%s", text)
		}
		if len(w.in) > 0 {
			rt.Fatalf("calls never finished: %v", w.in)
		}
		if len(w.lives) > 0 {
			rt.Fatalf("threads never ended: %v", w.lives)
		}
		for _, st := range s.record.Status[frontend.Leader] {
			if st.Signal != 0 {
				// The last calls of who is killed are known to one side only.
				return
			}
		}
		for v := 1; v < cfg.Variants; v++ {
			if !maps.Equal(w.finished[0], w.finished[v]) {
				rt.Fatalf("the leader finished %v, variant %d %v", w.finished[0], v, w.finished[v])
			}
		}
	})
}

// A call that waits says so, and when all variants have come.
func TestObserverIsToldOfRendezvous(t *testing.T) {
	for _, p := range []string{policy.Performance, policy.Comprehensive} {
		w := newWatcher(2)
		s := scripted(t, libmultivar.Config{Variants: 2, Policy: mustPolicy(t, p), Observer: w}, fakefe.Config{
			Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: []fakefe.Step{fakefe.Call(nr("getppid"))}}},
		}, newTableKernel(1))
		s.agreed(t)
		var kinds []libmultivar.ObservationKind
		for _, o := range w.seen {
			if o.Call != "getppid" || o.Variant != frontend.Leader {
				continue
			}
			kinds = append(kinds, o.Kind)
			if o.Kind == libmultivar.CallFinished && (o.Waits != (p == policy.Comprehensive) || o.Bytes == 0) {
				t.Errorf("%s: finished %+v", p, o)
			}
		}
		want := []libmultivar.ObservationKind{libmultivar.CallBegan, libmultivar.CallFinished}
		if p == policy.Comprehensive {
			want = []libmultivar.ObservationKind{libmultivar.CallBegan, libmultivar.CallAgreed, libmultivar.CallFinished}
		}
		if !slices.Equal(kinds, want) {
			t.Errorf("%s: observations %v, want %v", p, kinds, want)
		}
	}
}

// A divergence is told once, in the variant that differs.
func TestObserverIsToldOfDivergence(t *testing.T) {
	w := newWatcher(2)
	differs := fakefe.Do(func(f *fakefe.Frame) { f.Set("n", uint64(f.Variant())) })
	scripted(t, libmultivar.Config{Variants: 2, Policy: mustPolicy(t, policy.Default), Observer: w}, fakefe.Config{
		Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: []fakefe.Step{differs, fakefe.Call(nr("close"), fakefe.Var("n"))}}},
	}, newTableKernel(1))
	var variants []int
	for _, o := range w.seen {
		if o.Kind == libmultivar.Diverged {
			variants = append(variants, o.Variant)
		}
	}
	if len(variants) != 1 || variants[0] != 1 {
		t.Errorf("divergences in variants %v", variants)
	}
}
