package sites

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/arch/x86/x86asm"
)

// JumpSize is how many bytes a jump takes.
const JumpSize = 5

// Site is a system call instruction.
type Site struct {
	// Call is where in the text it is.
	Call int
	// Prefix and Suffix are how many bytes in front of it and behind it belong to
	// instructions that the jump overwrites. One of them is 0. With a prefix the jump
	// is written at Call-Prefix, and the instruction itself stays.
	Prefix, Suffix int
	// Nr is the call's number, -1 when it is not known.
	Nr int
}

// Start is where the jump is written.
func (s *Site) Start() int { return s.Call - s.Prefix }

// callSize is the size of the system call instruction.
const callSize = 2

// End is the end of what belongs to overwritten instructions. The system call instruction
// is one where there is no prefix.
func (s *Site) End() int {
	if s.Prefix > 0 {
		return s.Call
	}
	return s.Call + callSize + s.Suffix
}

// form is a way in which a system call is written.
type form struct {
	before, after []byte
	// number is true when before ends with the number.
	number bool
}

// forms are tried in order. Each is whole instructions that mean the same at any place.
var forms = []form{
	// mov $nr, %eax and mov $nr, %rax.
	{before: []byte{0xb8}, number: true},
	{before: []byte{0x48, 0xc7, 0xc0}, number: true},
	// mov 8(%rsp), %r9: the last argument of syscall(3).
	{before: []byte{0x4c, 0x8b, 0x4c, 0x24, 0x08}},
	// mov %r11, 8(%rsp): musl's cancellation points.
	{before: []byte{0x4c, 0x89, 0x5c, 0x24, 0x08}},
	// cmp $-4096, %rax; cmp $-4095, %rax, and the same of %eax.
	{after: []byte{0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff}},
	{after: []byte{0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff}},
	{after: []byte{0x3d, 0x00, 0xf0, 0xff, 0xff}},
	{after: []byte{0x3d, 0x01, 0xf0, 0xff, 0xff}},
}

// match says whether the call at text[at:] is written so.
func (f *form) match(text []byte, at int) (Site, bool) {
	s := Site{Call: at, Prefix: len(f.before), Suffix: len(f.after), Nr: -1}
	const immediate = 4
	if f.number {
		s.Prefix += immediate
		if at < s.Prefix {
			return s, false
		}
		s.Nr = int(int32(binary.LittleEndian.Uint32(text[at-immediate:])))
	}
	if at < s.Prefix || s.Nr < -1 || f.number && s.Nr < 0 {
		return s, false
	}
	return s, bytes.HasPrefix(text[at-s.Prefix:], f.before) && bytes.HasPrefix(text[at+callSize:], f.after)
}

// Find returns the calls of text that can be rewritten, in ascending order, of those whose
// number is worth it as wanted says; -1 stands for one that is not known. What they
// overwrite does not overlap.
func Find(text []byte, wanted func(nr int) bool) []Site {
	var list []Site
	end, looked := 0, 0
	for at := 0; ; at++ {
		i := bytes.Index(text[at:], []byte{0x0f, 0x05})
		if i < 0 {
			break
		}
		at += i
		for k := range forms {
			s, ok := forms[k].match(text, at)
			if !ok {
				continue
			}
			if looked++; looked > maxLooked {
				return nil
			}
			if wanted(s.Nr) && s.Start() >= end && begins(text, s.Start()) {
				list = append(list, s)
				end = max(s.End(), s.Start()+JumpSize)
			}
			break
		}
	}
	return unbranched(text, list)
}

// How the beginning of an instruction is recognised: the text is decoded from several
// places in front of it, and what begins at the wrong one falls into step with the others
// after a few instructions.
const (
	tries    = 16
	distance = 48
	// most is how many of them have to agree.
	most = tries / 2
)

// maxLooked is how many places in a text are looked at so. Who has more of them has made them, to
// keep who looks busy: none or no more of them are found.
const maxLooked = 1 << 12

// begins says whether an instruction begins at text[at:].
func begins(text []byte, at int) bool {
	if at-distance-tries+1 < 0 {
		// Near the beginning of the text only that is sure to be one.
		return walk(text, 0, at) == at
	}
	// What falls into step is decoded once: known says whether what was decoded at a place gets to at.
	const window = distance + tries
	text = text[at-window+1:]
	var known [window]reach
	agree := 0
	for start := range tries {
		var steps [window]uint8
		from := start
		for from < window-1 && known[from] == unknown {
			steps[from] = uint8(step(text, from))
			from += int(steps[from])
		}
		end := misses
		switch {
		case from == window-1:
			end = arrives
		case from < window-1:
			end = known[from]
		}
		for i := start; i < window-1 && known[i] == unknown; i += int(steps[i]) {
			known[i] = end
		}
		if end == arrives {
			agree++
		}
	}
	return agree >= most
}

// reach says whether decoding from a place on gets to another.
type reach uint8

const (
	unknown reach = iota
	arrives
	misses
)

// walk decodes from one place on and returns the first beginning of an instruction that is
// not in front of at.
func walk(text []byte, from, at int) int {
	for from < at {
		from += step(text, from)
	}
	return from
}

// step returns the length of the instruction at text[at:]. What is no instruction counts as one of
// a byte.
func step(text []byte, at int) int {
	in, err := x86asm.Decode(text[at:], 64)
	if err != nil || in.Len <= 0 {
		return 1
	}
	return in.Len
}
