package vdso_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/ptracefe/internal/vdso"
)

// What is written to a page is what is read from it.
func TestPage(t *testing.T) {
	known := []frontend.Reading{{Clock: 1, Seconds: 5, Nanoseconds: 999_999_999}, {Clock: 11, Seconds: math.MaxInt64, Nanoseconds: -1}}
	for _, own := range []bool{false, true} {
		b := vdso.Image([]byte("in front"), own, known)[len("in front"):]
		if len(b) != vdso.Size(len(known)) {
			t.Fatalf("%d bytes", len(b))
		}
		if h := vdso.ParseHead(b); h.Own != own || h.Count != 0 {
			t.Errorf("own %v: head %+v", own, h)
		}
		var got []frontend.Reading
		for i := range known {
			got = append(got, vdso.ParseReading(b, i))
		}
		if !slices.Equal(got, known) {
			t.Errorf("read %+v", got)
		}
	}
	full := slices.Repeat(known, frontend.MostReadings/len(known))
	if n := len(vdso.Image(nil, false, full)); n > 4096 {
		t.Errorf("%d readings take %d bytes", len(full), n)
	}
}

// A program may write what it likes to its page.
func FuzzPage(f *testing.F) {
	f.Add(vdso.Image(nil, true, nil))
	f.Add(bytes.Repeat([]byte{0xff}, vdso.Size(3)))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = slices.Concat(b, make([]byte, 4096))[:4096]
		h := vdso.ParseHead(b)
		if h.Count < 0 || h.Count > frontend.MostReadings {
			t.Fatalf("head %+v", h)
		}
		for i := range h.Count {
			at := vdso.Size(i)
			if r := vdso.ParseReading(b, i); uint64(r.Seconds) != binary.LittleEndian.Uint64(b[at+8:]) {
				t.Fatalf("reading %d is %+v", i, r)
			}
		}
	})
}
