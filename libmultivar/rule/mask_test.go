package rule_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/rule"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// one returns the only mask for calls of this name that the lines make.
func one(t testing.TB, call, argument, lines string) *rule.Mask {
	t.Helper()
	s, err := rule.Parse([]byte("[[mask]]\nname = \"x\"\ncall = \"" + call + "\"\nargument = \"" + argument + "\"\n" + lines))
	if err != nil {
		t.Fatal(err)
	}
	return &s.Masks(row(t, call))[0]
}

// writeFields are those of a write(2) of data.
func writeFields(data []byte) []event.Field {
	return []event.Field{
		{Arg: 0, Kind: sysabi.FD, Flags: event.Number, Data: make([]byte, 8)},
		{Arg: 1, Kind: sysabi.Buf},
		{Arg: 1, Part: event.PartBase, Kind: sysabi.Buf, Data: data},
		{Arg: 2, Kind: sysabi.Long, Flags: event.Number, Data: []byte{byte(len(data)), 0, 0, 0, 0, 0, 0, 0}},
	}
}

// vectorFields are those of a writev(2) of the parts.
func vectorFields(parts ...[]byte) []event.Field {
	f := []event.Field{
		{Arg: 0, Kind: sysabi.FD, Flags: event.Number, Data: make([]byte, 8)},
		{Arg: 1, Part: event.PartCount, Kind: sysabi.Iovec, Flags: event.Number, Data: []byte{byte(len(parts)), 0, 0, 0, 0, 0, 0, 0}},
	}
	for i, p := range parts {
		f = append(f,
			event.Field{Arg: 1, Part: event.PartLen, Index: uint32(i), Kind: sysabi.Iovec, Flags: event.Number, Data: []byte{byte(len(p)), 0, 0, 0, 0, 0, 0, 0}},
			event.Field{Arg: 1, Part: event.PartBase, Index: uint32(i), Kind: sysabi.Iovec, Data: p})
	}
	return f
}

// allowed reports whether all fields that differ may.
func allowed(m *rule.Mask, a, b []event.Field) bool {
	for i := range a {
		if !event.Equal(&a[i], &b[i]) && !m.Allows(a, b, i) {
			return false
		}
	}
	return true
}

// A range allows the bytes in it to differ, and no other one, however they are spread.
func TestBytesOfAMask(t *testing.T) {
	whole, ranged := one(t, "writev", "iov", ""), one(t, "writev", "iov", "bytes = [5, 9]\n")
	flat := one(t, "write", "buf", "bytes = [5, 9]\n")
	rapid.Check(t, func(rt *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(rt, "data")
		at := rapid.IntRange(0, len(data)-1).Draw(rt, "at")
		cut := rapid.IntRange(0, len(data)).Draw(rt, "cut")
		other := bytes.Clone(data)
		other[at] ^= rapid.ByteRange(1, 255).Draw(rt, "change")
		want := at >= 5 && at < 9
		if got := allowed(flat, writeFields(data), writeFields(other)); got != want {
			rt.Fatalf("byte %d of write may differ: %v", at, got)
		}
		a, b := vectorFields(data[:cut], data[cut:]), vectorFields(other[:cut], other[cut:])
		if got := allowed(ranged, a, b); got != want {
			rt.Fatalf("byte %d of writev, cut at %d, may differ: %v", at, cut, got)
		}
		if !allowed(whole, a, b) {
			rt.Fatalf("byte %d of writev may not differ", at)
		}
	})
}

// What a mask is not about stays compared.
func TestMaskAllowsNothingElse(t *testing.T) {
	m := one(t, "write", "buf", "")
	base := writeFields([]byte("hello"))
	for name, change := range map[string]func(f []event.Field){
		"descriptor":      func(f []event.Field) { f[0].Data = []byte{9, 0, 0, 0, 0, 0, 0, 0} },
		"count":           func(f []event.Field) { f[3].Data = []byte{4, 0, 0, 0, 0, 0, 0, 0} },
		"null":            func(f []event.Field) { f[1].Flags = event.Null },
		"fault":           func(f []event.Field) { f[2].Flags, f[2].Data = event.Fault, nil },
		"length":          func(f []event.Field) { f[2].Data = []byte("hell") },
		"hash":            func(f []event.Field) { f[2].Flags = event.Hashed },
		"another element": func(f []event.Field) { f[2].Index = 1 },
		"another part":    func(f []event.Field) { f[2].Part = event.PartName },
		"another kind":    func(f []event.Field) { f[2].Kind = sysabi.Iovec },
	} {
		f := writeFields([]byte("world"))
		change(f)
		if allowed(m, base, f) {
			t.Errorf("another %s is allowed", name)
		}
	}
	both := writeFields([]byte("world"))
	both[2].Flags = event.Fault
	faulty := writeFields([]byte("hello"))
	faulty[2].Flags = event.Fault
	if allowed(m, faulty, both) {
		t.Error("memory that cannot be read is allowed to differ")
	}
	if !allowed(m, base, writeFields([]byte("world"))) {
		t.Error("the data may not differ")
	}
	hashed := func(sum byte) []event.Field {
		f := writeFields([]byte{sum})
		f[2].Flags = event.Hashed
		return f
	}
	if allowed(m, hashed(1), hashed(2)) {
		t.Error("data that are too large to be told apart may differ")
	}
}

func TestMaskedNumbersAndNames(t *testing.T) {
	number := func(arg, part uint8, kind sysabi.Kind, v byte) event.Field {
		return event.Field{Arg: arg, Part: part, Kind: kind, Flags: event.Number, Data: []byte{v, 0, 0, 0, 0, 0, 0, 0}}
	}
	mkdir := func(name string, mode byte) []event.Field {
		return []event.Field{{Arg: 0, Kind: sysabi.Path, Data: []byte(name)}, number(1, 0, sysabi.Mode, mode)}
	}
	mode, path, part := one(t, "mkdir", "mode", ""), one(t, "mkdir", "pathname", ""), one(t, "mkdir", "pathname", "bytes = [1, 2]\n")
	for _, tc := range []struct {
		m    *rule.Mask
		b    []event.Field
		want bool
	}{
		{mode, mkdir("/a", 2), true},
		{mode, mkdir("/b", 1), false},
		{path, mkdir("/b", 1), true},
		{path, mkdir("/long", 1), true},
		{path, mkdir("/a", 2), false},
		{part, mkdir("/b", 1), true},
		{part, mkdir("x/", 1), false},
		{part, mkdir("/bc", 1), false},
	} {
		if got := allowed(tc.m, mkdir("/a", 1), tc.b); got != tc.want {
			t.Errorf("%v: allowed %v, want %v", tc.b, got, tc.want)
		}
	}
	sec := one(t, "utimensat", "times", "member = \"tv_sec\"\n")
	times := func(s, ns byte) []event.Field {
		return []event.Field{number(2, 0, sysabi.Long, s), number(2, 1, sysabi.Long, ns)}
	}
	if !allowed(sec, times(1, 1), times(2, 1)) || allowed(sec, times(1, 1), times(1, 2)) {
		t.Error("the mask of tv_sec is not about tv_sec")
	}
}

func TestWhereAMaskHolds(t *testing.T) {
	fields := []event.Field{
		{Arg: 0, Kind: sysabi.DirFD, Flags: event.Number, Data: make([]byte, 8)}, {Arg: 1, Kind: sysabi.Path, Data: []byte("/x")},
	}
	faulty := []event.Field{{Arg: 1, Kind: sysabi.Path, Flags: event.Fault, Data: []byte("/x")}}
	file := rule.Descriptor{Class: policy.NonSocket, Name: "/x"}
	for _, tc := range []struct {
		m      *rule.Mask
		v      int
		fields []event.Field
		d      rule.Descriptor
		want   bool
	}{
		{one(t, "write", "buf", ""), 3, fields, rule.Descriptor{}, true},
		{one(t, "write", "buf", "variants = [0, 2]\n"), 2, fields, file, true},
		{one(t, "write", "buf", "variants = [0, 2]\n"), 1, fields, file, false},
		{one(t, "write", "buf", "class = \"nonsocket\"\n"), 1, fields, file, true},
		{one(t, "write", "buf", "class = \"nonsocket\"\n"), 1, fields, rule.Descriptor{}, false},
		{one(t, "write", "buf", "class = \"socket\"\n"), 1, fields, file, false},
		{one(t, "write", "buf", "class = \"socket\"\n"), 1, fields, rule.Descriptor{Class: policy.Socket, Name: "socket:[1]"}, true},
		{one(t, "write", "buf", "path = \"/x\"\n"), 1, fields, file, true},
		{one(t, "write", "buf", "path = \"/y\"\n"), 1, fields, file, false},
		{one(t, "write", "buf", "path = \"/x\"\n"), 1, fields, rule.Descriptor{Name: "/x"}, false},
		{one(t, "mkdirat", "mode", "path = \"/x\"\n"), 1, fields, rule.Descriptor{}, true},
		{one(t, "mkdirat", "mode", "path = \"/y\"\n"), 1, fields, file, false},
		{one(t, "mkdirat", "mode", "paths = \"/[x-z]\"\n"), 1, fields, rule.Descriptor{}, true},
		{one(t, "mkdirat", "mode", "paths = \"[x-z]\"\n"), 1, fields, rule.Descriptor{}, false},
		{one(t, "write", "buf", "paths = \"/*\"\n"), 1, fields, file, true},
		{one(t, "write", "buf", "paths = \"/*\"\n"), 1, fields, rule.Descriptor{Name: "/x"}, false},
		{one(t, "write", "buf", "paths = \"/*\"\n"), 1, fields, rule.Descriptor{Class: policy.NonSocket, Name: "/a/b"}, false},
		{one(t, "write", "buf", "paths = \"/*/b.[0-9]*\"\n"), 1, fields, rule.Descriptor{Class: policy.NonSocket, Name: "/a/b.17"}, true},
		{one(t, "write", "buf", "path = \"/*\"\n"), 1, fields, file, false},
		{one(t, "mkdirat", "mode", "path = \"/x\"\n"), 1, faulty, file, false},
		{one(t, "mkdirat", "mode", "path = \"/x\"\n"), 1, nil, file, false},
	} {
		if got := tc.m.Holds(tc.v, tc.fields, tc.d); got != tc.want {
			t.Errorf("%+v for variant %d, %+v: holds %v, want %v", tc.m, tc.v, tc.d, got, tc.want)
		}
	}
}
