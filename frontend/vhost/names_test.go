//go:build linux && amd64

package vhost

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func newNames(t interface {
	Helper()
	Fatal(...any)
}) *Names {
	t.Helper()
	n, err := NewNames()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNamesRefused(t *testing.T) {
	n := newNames(t)
	defer n.Close()
	for _, name := range []string{"", "relative", "/with\x00end", "/" + strings.Repeat("x", nameMost-1)} {
		if n.Add(name, 0, false) {
			t.Errorf("%q was added", name)
		}
	}
	for range 2 {
		if !n.Add("/"+strings.Repeat("x", nameMost-2), 0, false) {
			t.Error("the longest name was not added")
		}
	}
	if bytes.Count(n.mem, []byte("xxx\x00")) != 1 {
		t.Error("a name that was there was added again")
	}
	// Where entries have no room left others stay as they are.
	before := 0
	for i := range 4 * names {
		if n.Add("/"+strings.Repeat("y", i%400)+string(rune('a'+i%26)), uint32(i), false) {
			before++
		}
	}
	if before < names/2 || before > names {
		t.Errorf("%d names in %d entries", before, names)
	}
}

// What the monitor has added agents find, and nothing else.
func TestNamesInC(tt *testing.T) {
	program := cProgram(tt)
	rapid.Check(tt, func(t *rapid.T) {
		n := newNames(t)
		defer n.Close()
		type key struct {
			name  string
			flags uint32
		}
		// Few letters, so that names are parts of each other; flags that agents deal with.
		name := rapid.StringMatching(`/[ab/]{0,5}`)
		flags := rapid.SampledFrom([]uint32{0, openNonblock, 0o2000000})
		known, absent := map[key]bool{}, map[key]bool{}
		for range rapid.IntRange(0, 40).Draw(t, "names") {
			k := key{name.Draw(t, "name"), flags.Draw(t, "flags")}
			if !known[k] {
				absent[k] = rapid.Bool().Draw(t, "absent")
			}
			known[k] = n.Add(k.name, k.flags, absent[k])
		}
		if rapid.IntRange(0, 3).Draw(t, "forget") == 0 {
			n.Forget()
			clear(known)
			if k := (key{name.Draw(t, "new"), flags.Draw(t, "new flags")}); rapid.Bool().Draw(t, "again") {
				absent[k] = false
				known[k] = n.Add(k.name, k.flags, false)
			}
		}
		in := bytes.NewBuffer(bytes.Clone(n.mem))
		var asked []key
		for range 60 {
			k := key{name.Draw(t, "asked"), flags.Draw(t, "with")}
			asked = append(asked, k)
			q := make([]byte, 8+nameSize)
			binary.LittleEndian.PutUint32(q, k.flags)
			copy(q[8:], k.name)
			in.Write(q)
		}
		cmd := command(tt, program, "names")
		cmd.Stdin = in
		out, err := cmd.Output()
		if err != nil || len(out) != 8*len(asked) {
			t.Fatalf("%d bytes, %v", len(out), err)
		}
		for i, k := range asked {
			at := int64(binary.LittleEndian.Uint64(out[8*i:]))
			if found := at >= 0; found != known[k] {
				t.Fatalf("%q with %#x: found %v, known %v", k.name, k.flags, found, known[k])
			}
			if at < 0 {
				continue
			}
			e := n.mem[at:][:nameSize]
			how := binary.LittleEndian.Uint64(e)
			if at%nameSize != 0 || string(e[namePath:][:len(k.name)+1]) != k.name+"\x00" || how != uint64(k.flags|openNonblock) ||
				binary.LittleEndian.Uint64(e[nameResolve:]) != resolveNoSymlinks || binary.LittleEndian.Uint64(e[8:]) != 0 || (e[nameAbsent] != 0) != absent[k] {
				t.Fatalf("%q with %#x: entry %x", k.name, k.flags, e[:64])
			}
		}
	})
}
