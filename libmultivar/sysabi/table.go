package sysabi

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// table is the finished table: rows by number per architecture, by name and in
// order of names.
type table struct {
	byNumber [archCount]map[int]*Row
	byName   map[string]*Row
	sorted   []*Row
}

// calls is the one table. The package refuses to start without it: a number
// without a row or a row without a number is an error of whoever edited them.
var calls = mustTable()

// Lookup returns the row of the call with number nr on arch, with the argument
// descriptions of that architecture. It returns false for numbers that Linux
// 6.18 does not have. The row belongs to the table and must not be changed.
func Lookup(arch Arch, nr int) (*Row, bool) {
	if arch >= archCount {
		return nil, false
	}
	r, ok := calls.byNumber[arch][nr]
	return r, ok
}

// ByName returns the row of a call by its name in the kernel, as AMD64 has it
// where the architectures disagree and as ARM64 has it where AMD64 does not
// have the call. The row belongs to the table and must not be changed.
func ByName(name string) (*Row, bool) {
	r, ok := calls.byName[name]
	return r, ok
}

// Rows returns all rows, sorted by name, as ByName returns them. The rows
// belong to the table and must not be changed.
func Rows() []*Row { return slices.Clone(calls.sorted) }

func mustTable() *table {
	rows := slices.Concat(fileRows(), mountRows(), keyRows(), memRows(), signalRows(), procRows(), netRows(), pollRows(), timeRows(), ipcRows(), sysRows())
	t, err := newTable(rows, numbers)
	if err != nil {
		panic("sysabi: " + err.Error())
	}
	return t
}

// newTable joins rows and numbers. It fails unless each has its counterpart in
// the other.
func newTable(rows []Row, numbers map[string][archCount]int) (*table, error) {
	t := &table{byName: make(map[string]*Row, len(rows))}
	for a := range t.byNumber {
		t.byNumber[a] = make(map[int]*Row, len(rows))
	}
	for i := range rows {
		r := &rows[i]
		nr, ok := numbers[r.Name]
		if !ok {
			return nil, fmt.Errorf("row %s has no number", r.Name)
		}
		if t.byName[r.Name] != nil {
			return nil, fmt.Errorf("two rows for %s", r.Name)
		}
		r.Nr = nr
		arm := r.forARM64()
		r.join()
		arm.join()
		t.byName[r.Name] = r
		t.sorted = append(t.sorted, r)
		for a, row := range [archCount]*Row{AMD64: r, ARM64: arm} {
			if nr[a] == Absent {
				continue
			}
			if other := t.byNumber[a][nr[a]]; other != nil {
				return nil, fmt.Errorf("%s and %s have the number %d on %s", other.Name, r.Name, nr[a], Arch(a))
			}
			t.byNumber[a][nr[a]] = row
		}
	}
	for name := range numbers {
		if t.byName[name] == nil {
			return nil, fmt.Errorf("call %s has no row", name)
		}
	}
	slices.SortFunc(t.sorted, func(a, b *Row) int { return strings.Compare(a.Name, b.Name) })
	for i, r := range t.sorted {
		r.ID = i + 1
	}
	for a := range t.byNumber {
		for _, r := range t.byNumber[a] {
			r.ID = t.byName[r.Name].ID
		}
	}
	return t, nil
}

// join puts the row's own arguments before those of each sub-case.
func (r *Row) join() {
	if r.Sub == nil {
		return
	}
	own := r.Args
	for i, a := range own {
		if a.Kind == Sub {
			own = own[:i]
			break
		}
	}
	t := *r.Sub
	t.Cases = maps.Clone(t.Cases)
	for cmd, c := range t.Cases {
		c.full = slices.Concat(own, c.Args)
		t.Cases[cmd] = c
	}
	t.Default.full = slices.Concat(own, t.Default.Args)
	if t.Encoded != nil {
		e := *t.Encoded
		for _, c := range e.all() {
			c.full = slices.Concat(own, c.Args)
		}
		t.Encoded = &e
	}
	r.Sub = &t
}

// forARM64 returns the row with ARM64's argument order, layouts and names. It
// shares nothing with r that join changes.
func (r *Row) forARM64() *Row {
	arm := *r
	if r.arm64 != nil {
		arm.Args = r.arm64
	}
	arm.Args = argsForARM64(arm.Args)
	if r.Sub == nil {
		return &arm
	}
	t := *r.Sub
	t.Cases = maps.Clone(t.Cases)
	for cmd, c := range t.Cases {
		c.Args = argsForARM64(c.Args)
		t.Cases[cmd] = c
	}
	t.Default.Args = argsForARM64(t.Default.Args)
	arm.Sub = &t
	return &arm
}

// argsForARM64 replaces layouts and names that ARM64 has of its own; lengths
// that count such records follow.
func argsForARM64(in []Arg) []Arg {
	out := slices.Clone(in)
	for i := range out {
		a := &out[i]
		if a.Names != nil && a.Names.arm64 != nil {
			a.Names = a.Names.arm64
		}
		if a.Struct == nil || a.Struct.arm64 == nil {
			continue
		}
		if a.Len.N == a.Struct.Size {
			a.Len.N = a.Struct.arm64.Size
		}
		a.Struct = a.Struct.arm64
	}
	return out
}
