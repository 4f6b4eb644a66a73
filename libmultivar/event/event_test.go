package event

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Builder
		want := Record{Kind: Kind(rapid.IntRange(1, int(kindEnd)-1).Draw(t, "kind")), Nr: rapid.Int32().Draw(t, "nr")}
		b.Reset(want.Kind, want.Nr)
		want.Fields = []Field{}
		for range rapid.IntRange(0, 8).Draw(t, "n") {
			f := Field{
				Arg: rapid.Uint8().Draw(t, "arg"), Part: rapid.Uint8().Draw(t, "part"),
				Kind: sysabi.Kind(rapid.Uint8().Draw(t, "k")), Index: rapid.Uint32().Draw(t, "i"),
				Flags: Flag(rapid.IntRange(0, int(Number)-1).Draw(t, "flags")),
			}
			if rapid.Bool().Draw(t, "number") {
				v := rapid.Uint64().Draw(t, "v")
				b.Number(f.Arg, f.Part, f.Index, f.Kind, f.Flags, v)
				f.Flags |= Number
				f.Data = []byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24), byte(v >> 32), byte(v >> 40), byte(v >> 48), byte(v >> 56)}
			} else {
				f.Data = rapid.SliceOf(rapid.Byte()).Draw(t, "data")
				b.Bytes(f.Arg, f.Part, f.Index, f.Kind, f.Flags, f.Data)
			}
			want.Fields = append(want.Fields, f)
		}
		enc := b.Record()
		got, err := Decode(enc)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got.Fields {
			got.Fields[i].Data = append([]byte{}, got.Fields[i].Data...)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
		if i := Diff(want, got); i != -1 {
			t.Fatalf("Diff of equal records: %d", i)
		}
	})
}

func TestDiff(t *testing.T) {
	rec := func(vals ...uint64) Record {
		var b Builder
		b.Reset(Call, 1)
		for i, v := range vals {
			b.Number(uint8(i), PartValue, 0, sysabi.Long, 0, v)
		}
		r, err := Decode(b.Record())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, c := range []struct {
		a, b Record
		want int
	}{
		{rec(1, 2), rec(1, 2), -1},
		{rec(1, 2), rec(1, 3), 1},
		{rec(1), rec(1, 3), 1},
		{rec(), rec(), -1},
	} {
		if got := Diff(c.a, c.b); got != c.want {
			t.Errorf("Diff(%v, %v) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// TestEqual: a record that a Builder holds is compared as a whole, header included.
func TestEqual(t *testing.T) {
	build := func(nr int32, fields int) *Builder {
		var b Builder
		b.Reset(Call, nr)
		for range fields {
			b.Number(1, PartValue, 0, sysabi.Int, 0, 7)
		}
		return &b
	}
	record := build(3, 2).Record()
	for name, b := range map[string]*Builder{"number": build(4, 2), "fields": build(3, 1)} {
		if b.Equal(record) {
			t.Errorf("a record with another %s is the same", name)
		}
	}
	b := build(3, 2)
	if !b.Equal(record) {
		t.Error("a record is not the same as itself")
	}
	if got := b.Record(); !bytes.Equal(got, record) {
		t.Errorf("after the comparison the record is %x, want %x", got, record)
	}
}

func TestFill(t *testing.T) {
	for _, c := range []struct{ n, got, want int }{{0, 0, 0}, {5, 5, 5}, {5, 3, 3}, {100_000, 99_999, 99_999}, {4, 9, 4}, {4, -1, 0}} {
		var b Builder
		b.Reset(Call, 1)
		b.Fill(1, PartBase, 2, sysabi.Buf, c.n, func(p []byte) (int, Flag) {
			if len(p) != c.n {
				t.Fatalf("%d bytes to fill, want %d", len(p), c.n)
			}
			for i := range p {
				p[i] = byte(i)
			}
			return c.got, Fault
		})
		b.Number(2, PartValue, 0, sysabi.Int, 0, 7)
		first := b.Record()
		b.Reset(Signal, 2)
		_ = b.Record()
		r, err := Decode(first)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Fields) != 2 || len(r.Fields[0].Data) != c.want || r.Fields[0].Flags != Fault || r.Fields[1].Value() != 7 {
			t.Errorf("%+v: %+v", c, r)
		}
		for i, v := range r.Fields[0].Data {
			if v != byte(i) {
				t.Fatalf("byte %d is %d", i, v)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	var b Builder
	b.Reset(Call, 1)
	b.Number(0, PartValue, 0, sysabi.Int, 0, 7)
	b.Bytes(1, PartBase, 2, sysabi.Buf, Fault, []byte("hello"))
	f.Add(b.Record())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, p []byte) {
		r, err := Decode(p)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		// What Decode accepts is exactly what a Builder makes.
		var b Builder
		b.Reset(r.Kind, r.Nr)
		for _, f := range r.Fields {
			b.Bytes(f.Arg, f.Part, f.Index, f.Kind, f.Flags, f.Data)
		}
		if !bytes.Equal(b.Record(), p) {
			t.Fatalf("decoded record encodes differently:\n%x\n%x", p, b.Record())
		}
	})
}
