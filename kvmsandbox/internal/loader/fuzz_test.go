//go:build linux && amd64

package loader

import (
	"debug/elf"
	"errors"
	"io"
	"os"
	"reflect"
	"testing"

	"github.com/multivar/multivar/libmultivar/addrspace"
)

// counting counts the bytes that are asked for.
type counting struct {
	io.ReaderAt
	asked *int
}

func (c counting) ReadAt(p []byte, off int64) (int, error) {
	*c.asked += len(p)
	return c.ReaderAt.ReadAt(p, off)
}

// maxAsked is what Load may read: the beginning of each script, and of both ELF
// files the header, the table and a path.
const maxAsked = (maxScripts+2)*scriptLine + 2*(headerSize+maxTableSize) + maxInterp

// maxSegments is what a plan may have: each header maps at most two ranges, each
// of which may cut one in two, and the stack.
const maxSegments = 2*2*2*maxTableSize/segmentSize + 1

// fuzzLoad loads a program whose interpreters are one file, and verifies
// what holds whatever both say.
func fuzzLoad(t *testing.T, program, interp []byte, low uint64) (*Plan, error) {
	asked := 0
	fs := newFiles(t, map[string][]byte{"program": program, "ld": interp})
	open := func(string) (*File, error) {
		f, err := fs.opener("ld")
		f.ReaderAt = counting{f.ReaderAt, &asked}
		return f, err
	}
	req := fs.request("program", "one", "two")
	req.File.ReaderAt = counting{req.File.ReaderAt, &asked}
	req.MinAddr = low
	p, err := Load(req, open)
	if asked > maxAsked {
		t.Errorf("%d bytes were read, more than %d", asked, maxAsked)
	}
	if err != nil {
		var e *Error
		if !errors.As(err, &e) || e.Errno == 0 || e.Fatal && e.Refused {
			t.Errorf("error %#v", err)
		}
		if len(fs.open) != 0 {
			t.Errorf("open files %v", fs.open)
		}
		return nil, err
	}
	for _, f := range p.Files {
		delete(fs.open, f)
	}
	if len(fs.open) != 0 || len(p.Segments) > maxSegments {
		t.Errorf("open files %v, %d segments", fs.open, len(p.Segments))
	}
	checkPlan(t, p, low)
	return p, nil
}

func FuzzLoad(f *testing.F) {
	for _, c := range append(append(append(headerCases(), segmentCases()...), interpreterCases()...), scriptCases()...) {
		f.Add([]byte(c.program), []byte(c.others["ld"]), uint64(1), false)
		f.Add([]byte(c.program), []byte(c.others["ld"]), uint64(2), true)
	}
	f.Add(pie().interpreted("ld").bytes(), simple(elf.ET_DYN, 1<<63).bytes(), uint64(3), true)
	for _, path := range []string{"/bin/true", "/sbin/ldconfig"} {
		if b, err := os.ReadFile(path); err == nil {
			// The segments reach beyond the end then.
			f.Add(b[:min(len(b), 4096)], pie().bytes(), uint64(4), false)
		}
	}
	f.Fuzz(func(t *testing.T, program, interp []byte, seed uint64, anyAddr bool) {
		low := uint64(0x10000)
		if anyAddr {
			low = 0
		}
		p, err := fuzzLoad(t, program, interp, low)
		again, errAgain := fuzzLoad(t, program, interp, low)
		if (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() {
			t.Errorf("%v at first, then %v", err, errAgain)
		}
		if err != nil {
			return
		}
		if !reflect.DeepEqual(p.Segments, again.Segments) || !reflect.DeepEqual(p.Image, again.Image) || p.Limits != again.Limits {
			t.Errorf("%+v at first, then %+v", p, again)
		}
		all, err := placements(t, p, seed)
		switch {
		case errors.Is(err, addrspace.ErrBand), errors.Is(err, addrspace.ErrTooLarge):
			return
		case err != nil:
			t.Fatalf("%v: %+v", err, p.Segments)
		}
		for _, pl := range all {
			placed, err := p.Place(pl)
			if err != nil {
				t.Fatal(err)
			}
			checkSegments(t, p, placed.Segments)
			checkPlaced(t, p, placed, pl)
		}
	})
}
