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

// page returns a page with content.
func page(content []byte) vdso.Page {
	p := make([]byte, vdso.PageSize)
	copy(p, content)
	return p
}

// What a page is set to is what is read from it, as far as the program says that there is something.
func TestPage(t *testing.T) {
	known := []frontend.Reading{{Clock: 1, Seconds: 5, Nanoseconds: 999_999_999}, {Clock: 11, Seconds: math.MaxInt64, Nanoseconds: -1}}
	full := slices.Repeat(known, frontend.MostReadings/len(known))
	for _, list := range [][]frontend.Reading{nil, known, full} {
		for _, own := range []bool{false, true} {
			p := page(bytes.Repeat([]byte{0xff}, vdso.PageSize))
			p.Set(own, list)
			if mode := binary.LittleEndian.Uint64(p); own != (mode == 1) || p.Count() != 0 {
				t.Errorf("own %v: mode %d, %d readings", own, mode, p.Count())
			}
			var got []frontend.Reading
			for i := range list {
				got = append(got, p.Reading(i))
			}
			if !slices.Equal(got, list) {
				t.Errorf("read %+v", got)
			}
		}
	}
}

// A program may write what it likes to its page.
func FuzzPage(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0xff}, 100))
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x02"))
	f.Fuzz(func(t *testing.T, content []byte) {
		p := page(content)
		n := p.Count()
		if n < 0 || n > frontend.MostReadings {
			t.Fatalf("%d readings", n)
		}
		for i := range n {
			if r := p.Reading(i); uint64(r.Seconds) != binary.LittleEndian.Uint64(p[32+24*i+8:]) {
				t.Fatalf("reading %d is %+v", i, r)
			}
		}
	})
}
