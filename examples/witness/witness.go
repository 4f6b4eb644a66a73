//go:build linux && amd64

package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
)

// Witness counts the system calls of a process and of all processes that descend
// from it, as long as it is open. Its methods are safe for concurrent use.
type Witness struct {
	collection *ebpf.Collection
	links      []link.Link
	root       int
}

// Calls counts system calls by number; -1 stands for calls that were called off
// before they were made.
type Calls map[int64]uint64

// Process is what one process asked of the kernel.
type Process struct {
	// ID is the process's id and Parent that of the process that made it.
	ID, Parent int
	// Stages are its calls. Each call of execve or execveat, whatever comes of it,
	// is the last of a stage.
	Stages []Calls
}

// Total returns the calls from stage first on.
func (p *Process) Total(first int) Calls {
	total := Calls{}
	for i := first; i < len(p.Stages); i++ {
		for nr, n := range p.Stages[i] {
			total[nr] += n
		}
	}
	return total
}

// Open begins to watch process root. What it does before is not counted. The caller
// closes the witness.
func Open(root int) (*Witness, error) {
	enter, task, err := readFormats()
	if err != nil {
		return nil, err
	}
	// Kernels before 5.11 account the maps as locked memory.
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("locked memory: %w", err)
	}
	c, err := ebpf.NewCollection(collection(enter, task))
	if err != nil {
		return nil, fmt.Errorf("load programs: %w", err)
	}
	w := &Witness{collection: c, root: root}
	if err := c.Maps["processes"].Put(uint32(root), birth{}); err != nil {
		return nil, errors.Join(fmt.Errorf("process %d: %w", root, err), w.Close())
	}
	for _, p := range []struct{ group, event, program string }{
		// A process must be known before its first call.
		{"task", "task_newtask", "task"},
		{"raw_syscalls", "sys_enter", "enter"},
	} {
		l, err := link.Tracepoint(p.group, p.event, c.Programs[p.program], nil)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s:%s: %w", p.group, p.event, err), w.Close())
		}
		w.links = append(w.links, l)
	}
	return w, nil
}

// Close ends the watch.
func (w *Witness) Close() error {
	var err error
	for _, l := range w.links {
		err = errors.Join(err, l.Close())
	}
	w.collection.Close()
	return err
}

// Processes returns what was seen up to now, in the order of the ids: the root is
// not part of it. The error says if something was seen and could not be counted.
func (w *Witness) Processes() ([]*Process, error) {
	byID := map[int]*Process{}
	var id uint32
	var b birth
	it := w.collection.Maps["processes"].Iterate()
	for it.Next(&id, &b) {
		byID[int(id)] = &Process{ID: int(id), Parent: int(b.Parent), Stages: make([]Calls, b.Stage+1)}
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read processes: %w", err)
	}
	delete(byID, w.root)
	var key counted
	var n uint64
	it = w.collection.Maps["counts"].Iterate()
	for it.Next(&key, &n) {
		p := byID[int(key.Process)]
		if p == nil {
			continue
		}
		for int(key.Stage) >= len(p.Stages) {
			p.Stages = append(p.Stages, nil)
		}
		if p.Stages[key.Stage] == nil {
			p.Stages[key.Stage] = Calls{}
		}
		p.Stages[key.Stage][key.Nr] = n
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read counts: %w", err)
	}
	var lost uint64
	if err := w.collection.Maps["lost"].Lookup(uint32(0), &lost); err != nil {
		return nil, fmt.Errorf("read losses: %w", err)
	}
	missed, err := w.missed()
	if err != nil {
		return nil, err
	}
	if lost+missed > 0 {
		return nil, fmt.Errorf("%d events were too many to count", lost+missed)
	}
	return slices.SortedFunc(maps.Values(byID), func(a, b *Process) int { return cmp.Compare(a.ID, b.ID) }), nil
}

// missed returns how often the kernel left out one of the programs because it was
// busy with it.
func (w *Witness) missed() (uint64, error) {
	var total uint64
	for _, p := range w.collection.Programs {
		stats, err := p.Stats()
		if err != nil {
			return 0, fmt.Errorf("read statistics: %w", err)
		}
		total += stats.RecursionMisses
	}
	return total, nil
}
