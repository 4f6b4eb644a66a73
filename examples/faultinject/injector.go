//go:build linux && amd64

package main

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path"
	"strings"
	"syscall"

	"github.com/multivar/multivar/libmultivar"
)

// defaultSpare are the directories of libraries.
const defaultSpare = "/lib:/lib64:/usr/lib:/usr/lib64:/etc"

// faults says what goes wrong.
type faults struct {
	// shortRead and eintr are probabilities per call.
	shortRead, eintr float64
	// enospcAfter is how many bytes files take in all, negative for no limit.
	enospcAfter int64
	seed        uint64
	// spare are directories with files to which nothing happens.
	spare []string
}

// The arguments that name the descriptors from which calls read and to which they write.
var (
	readsFrom = map[string]string{
		"read": "fd", "pread64": "fd", "readv": "fd", "preadv": "fd", "recvfrom": "sockfd",
		"copy_file_range": "fd_in", "sendfile": "in_fd",
	}
	writesTo = map[string]string{
		"write": "fd", "pwrite64": "fd", "writev": "fd", "pwritev": "fd", "sendto": "sockfd",
		"copy_file_range": "fd_out", "sendfile": "out_fd",
	}
)

// tally counts faults.
type tally struct{ short, interrupted, full int }

// String is the tally in words.
func (t tally) String() string {
	return fmt.Sprintf("%d short reads, %d interrupted calls, %d writes to a full disk", t.short, t.interrupted, t.full)
}

// injector decides what happens to each call. It belongs to one session.
type injector struct {
	faults
	// dice are the random choices of each thread.
	dice map[uint32]*rand.Rand
	// left is how many bytes files take yet, asked for how many calls that are under way
	// have asked.
	left  int64
	asked map[*libmultivar.Call]int64
	done  tally
}

// newInjector verifies f.
func newInjector(f faults) (*injector, error) {
	for _, p := range []float64{f.shortRead, f.eintr} {
		if !(p >= 0 && p <= 1) {
			return nil, fmt.Errorf("%v is no probability: 0 to 1", p)
		}
	}
	if f.eintr == 1 {
		return nil, errors.New("a program whose calls are all interrupted never ends: -eintr is less than 1")
	}
	return &injector{
		faults: f, left: f.enospcAfter,
		dice: make(map[uint32]*rand.Rand), asked: make(map[*libmultivar.Call]int64),
	}, nil
}

// hooks returns the injector as the engine wants it.
func (in *injector) hooks() libmultivar.Hooks {
	h := libmultivar.Hooks{OnCall: in.onCall, OnResult: in.onResult}
	seen := map[string]bool{}
	for _, calls := range []map[string]string{readsFrom, writesTo} {
		for name := range calls {
			if !seen[name] {
				h.Calls = append(h.Calls, name)
			}
			seen[name] = true
		}
	}
	return h
}

// onCall is the verdict on a call. It throws the same dice whatever they are thrown for, so
// that one kind of faults does not change where the others happen.
func (in *injector) onCall(c *libmultivar.Call) libmultivar.Verdict {
	from, reads := in.file(c, readsFrom)
	to, writes := in.file(c, writesTo)
	if reads && in.spared(from) || writes && in.spared(to) {
		return libmultivar.GoOn()
	}
	dice := in.dice[c.Thread]
	if dice == nil {
		dice = rand.New(rand.NewPCG(in.seed, uint64(c.Thread)))
		in.dice[c.Thread] = dice
	}
	interrupted, short, part := dice.Float64() < in.eintr, dice.Float64() < in.shortRead, dice.Float64()
	n, _ := c.Transfers()
	switch {
	case interrupted:
		in.done.interrupted++
		return libmultivar.Fail(int(syscall.EINTR))
	case writes && onDisk(to) && in.enospcAfter >= 0 && n > 0:
		if in.left == 0 {
			in.done.full++
			return libmultivar.Fail(int(syscall.ENOSPC))
		}
		fits := min(n, uint64(in.left))
		in.left -= int64(fits)
		in.asked[c] = int64(fits)
		return libmultivar.Shorten(fits)
	case reads && short && n > 1:
		in.done.short++
		// As likely a tenth of it as a hundredth: programs ask for much more than there is.
		return libmultivar.Shorten(min(uint64(math.Pow(float64(n), part)), n-1))
	}
	return libmultivar.GoOn()
}

// onResult gives back the room that a write has not used.
func (in *injector) onResult(c *libmultivar.Call, r libmultivar.Result) {
	in.left += in.asked[c] - max(min(r.Ret, in.asked[c]), 0)
	delete(in.asked, c)
}

// file returns the kernel's name of the file that a call is about; false when there is none.
func (in *injector) file(c *libmultivar.Call, argument map[string]string) (string, bool) {
	arg, ok := argument[c.Name]
	if !ok {
		return "", false
	}
	name, err := c.Path(arg)
	return name, err == nil
}

// spared reports whether nothing happens to a file.
func (in *injector) spared(name string) bool {
	for _, dir := range in.spare {
		if dir != "" && strings.HasPrefix(name, path.Clean(dir)+"/") {
			return true
		}
	}
	return false
}

// onDisk reports whether what is written to a file needs room on a disk.
func onDisk(name string) bool {
	return strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "/dev/") && !strings.HasPrefix(name, "/proc/") &&
		!strings.HasPrefix(name, "/sys/")
}
