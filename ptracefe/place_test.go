//go:build linux && (amd64 || arm64)

package ptracefe_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
)

const (
	slot      = 0x2000_0000_0000
	programAt = slot + 0x1000_0000
	interpAt  = slot + 0x2000_0000
	stackEnd  = slot + 0x10_0000_0000
)

// layout builds a placement of img the way an engine does: program, interpreter
// and stack at addresses of its choice, no vDSO.
func layout(img *frontend.Image, programTo, interpTo, stackTo uint64) *frontend.Placement {
	p := &frontend.Placement{}
	bases := map[frontend.Region]uint64{}
	moved := func(addr uint64) uint64 {
		for _, m := range p.Moves {
			if addr >= m.From && addr-m.From < m.Size {
				return addr - m.From + m.To
			}
		}
		return addr
	}
	for _, m := range img.Mappings {
		size := m.End - m.Start
		var to uint64
		switch m.Region {
		case frontend.RegionProgram:
			if !img.Movable {
				continue
			}
			to = programTo
		case frontend.RegionInterp:
			to = interpTo
		case frontend.RegionStack:
			p.Moves = append(p.Moves, frontend.Move{From: m.Start, To: stackTo - size, Size: size})
			continue
		case frontend.RegionKernel:
			p.Unmap = append(p.Unmap, frontend.Move{From: m.Start, Size: size})
			continue
		default:
			continue
		}
		if _, ok := bases[m.Region]; !ok {
			bases[m.Region] = m.Start
		}
		p.Moves = append(p.Moves, frontend.Move{From: m.Start, To: to + m.Start - bases[m.Region], Size: size})
	}
	p.IP = moved(img.IP)
	p.StackStart = stackTo - 64

	// Strings, growing down from the stack's end.
	var text []byte
	at := func(b []byte) int { text = append(text, b...); text = append(text, 0); return len(text) - len(b) - 1 }
	var args, env []int
	for _, a := range img.Args {
		args = append(args, at(a))
	}
	argEnd := len(text)
	for _, e := range img.Env {
		env = append(env, at(e))
	}
	envEnd := len(text)
	execPath, random := at(img.ExecPath), at(img.Random[:])
	platform := at(img.Platform)
	base := (stackTo - uint64(len(text)) - 64) &^ 15
	words := []uint64{uint64(len(args))}
	for _, a := range args {
		words = append(words, base+uint64(a))
	}
	words = append(words, 0)
	for _, e := range env {
		words = append(words, base+uint64(e))
	}
	words = append(words, 0)
	auxAt := len(words)
	for _, a := range img.Aux {
		switch a.Type {
		case 33, 32: // AT_SYSINFO_EHDR, AT_SYSINFO
			continue
		case 3, 7, 9: // AT_PHDR, AT_BASE, AT_ENTRY
			a.Value = moved(a.Value)
		case 15:
			a.Value = base + uint64(platform)
		case 25:
			a.Value = base + uint64(random)
		case 31:
			a.Value = base + uint64(execPath)
		}
		words = append(words, a.Type, a.Value)
	}
	words = append(words, 0, 0)
	p.SP = (base - uint64(8*len(words))) &^ 15
	for _, w := range words {
		p.Stack = binary.LittleEndian.AppendUint64(p.Stack, w)
	}
	p.Stack = append(p.Stack, make([]byte, base-p.SP-uint64(len(p.Stack)))...)
	p.Stack = append(p.Stack, text...)
	p.ArgStart, p.ArgEnd = base, base+uint64(argEnd)
	p.EnvStart, p.EnvEnd = p.ArgEnd, base+uint64(envEnd)
	p.AuxStart, p.AuxSize = p.SP+uint64(8*auxAt), uint64(8*(len(words)-auxAt))
	return p
}

func placed(edit func(*frontend.Image, *frontend.Placement)) *script {
	return &script{Exec: func(t, _ frontend.Task, img *frontend.Image) []frontend.Action {
		p := layout(img, programAt, interpAt, stackEnd)
		if edit != nil {
			edit(img, p)
		}
		return one(frontend.Action{Op: frontend.OpPlace, Task: t, Place: p})
	}}
}

func TestPlacementOfEveryKindOfProgram(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			for _, tc := range []struct{ args, want string }{
				{"hello a b", "a b\n"},
				{"recurse", "1\n"},
				{"registers", ""},
				{"raised", "10\n"},
				{"forkregisters", "1 40\n"},
				{"exec " + probe(t, kind) + " hello again", "again\n"},
			} {
				r := run(t, placed(nil), 1, append([]string{probe(t, kind)}, strings.Fields(tc.args)...)...)
				if r.Status != (frontend.Status{}) || tc.want != "" && r.stdout != tc.want {
					t.Errorf("%s: %q, %+v; want %q", tc.args, r.stdout, r.Status, tc.want)
				}
			}
		})
	}
}

// A signal that comes while a program is arranged is put aside and sent again more than
// once. The program gets it once all the same.
func TestSignalDuringPlacement(t *testing.T) {
	m := placed(nil)
	place := m.Exec
	m.Exec = func(id, old frontend.Task, img *frontend.Image) []frontend.Action {
		for _, sig := range []syscall.Signal{syscall.SIGWINCH, syscall.SIGURG} {
			if err := syscall.Kill(id.Host, sig); err != nil {
				t.Error(err)
			}
		}
		return place(id, old, img)
	}
	var came []int
	m.Signal = func(_ frontend.Task, s *frontend.Signal) []frontend.Action {
		if s.Code() != 0 {
			t.Errorf("signal %d has code %d", s.Number, s.Code())
		}
		came = append(came, s.Number)
		return nil
	}
	r := run(t, m, 1, probe(t, kinds[0]), "hello", "a")
	slices.Sort(came)
	if want := []int{int(syscall.SIGURG), int(syscall.SIGWINCH)}; r.stdout != "a\n" || !slices.Equal(came, want) {
		t.Errorf("%q, signals %v, want %v", r.stdout, came, want)
	}
}

func TestPlacedShell(t *testing.T) {
	r := run(t, placed(nil), 1, "/bin/sh", "-c", "for i in 1 2 3; do /bin/echo $i | cat; done; ls / | wc -l")
	if !strings.HasPrefix(r.stdout, "1\n2\n3\n") || r.Status.Code != 0 {
		t.Errorf("got %q, %+v", r.stdout, r.Status)
	}
}

// A program must not find anything of where the kernel had put it.
func TestPlacementIsComplete(t *testing.T) {
	var maps []frontend.Mapping
	m := placed(func(_ *frontend.Image, p *frontend.Placement) {
		p.Comm = "placed"
		p.Brk = slot + 0x40_0000_0000
	})
	m.Call = func(id frontend.Task, _ frontend.Call, _ string) []frontend.Action {
		if maps == nil {
			var err error
			if maps, err = m.Host.Mappings(id); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	r := run(t, m, 1, "/bin/sh", "-c", `cat /proc/$$/comm; tr '\0' ' ' </proc/$$/cmdline; grep -c heap /proc/$$/maps`, "zero", "one")
	if !strings.HasPrefix(r.stdout, "placed\n/bin/sh -c cat ") || !strings.Contains(r.stdout, "zero one ") {
		t.Errorf("/proc shows %q", r.stdout)
	}
	for _, m := range maps {
		if m.Region != frontend.RegionVsyscall && (m.Start < slot || m.End > stackEnd) {
			t.Errorf("%x-%x %s is outside", m.Start, m.End, m.Path)
		}
		if m.Region == frontend.RegionKernel {
			t.Errorf("%s is still there", m.Path)
		}
	}
	if len(maps) == 0 {
		t.Error("no mappings were seen")
	}
}

// Targets may be where the kernel has put other parts of the program.
func TestPlacementOverlaps(t *testing.T) {
	m := &script{}
	m.Exec = func(id, _ frontend.Task, img *frontend.Image) []frontend.Action {
		first := func(r frontend.Region) uint64 {
			i := slices.IndexFunc(img.Mappings, func(m frontend.Mapping) bool { return m.Region == r })
			if i < 0 {
				t.Fatalf("no region %d", r)
			}
			return img.Mappings[i].Start
		}
		// The two change places, and the program moves by a page over itself when
		// its turn comes.
		p := layout(img, first(frontend.RegionInterp)+0x1000, first(frontend.RegionProgram)+0x1000, stackEnd)
		return one(frontend.Action{Op: frontend.OpPlace, Task: id, Place: p})
	}
	r := run(t, m, 1, probe(t, "pie"), "hello", "moved")
	if r.stdout != "moved\n" {
		t.Errorf("got %q, %+v", r.stdout, r.Status)
	}
}

func TestPlacementOverOccupiedFails(t *testing.T) {
	m := &script{}
	m.Exec = func(id, _ frontend.Task, img *frontend.Image) []frontend.Action {
		p := layout(img, programAt, interpAt, stackEnd)
		p.Moves = p.Moves[:1]
		for _, s := range img.Mappings {
			if s.Region == frontend.RegionStack {
				p.Moves[0].To = s.Start
			}
		}
		return one(frontend.Action{Op: frontend.OpPlace, Task: id, Place: p})
	}
	r := runWith(t, m, frontend.Spec{Programs: []string{probe(t, "pie")}, Variants: 1})
	if len(m.Failures) != 1 || !strings.Contains(m.Failures[0].Error(), "occupied") || r.Ended {
		t.Errorf("failures %v, outcome %+v", m.Failures, r.Outcome)
	}
}

func TestTimeStamps(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			m := placed(func(_ *frontend.Image, p *frontend.Placement) { p.TrapTSC = true })
			var seen []frontend.TimeStamp
			m.Rdtsc = func(id frontend.Task, ts frontend.TimeStamp) []frontend.Action {
				seen = append(seen, ts)
				if ts.WithProcessor {
					ts.Cycles, ts.Processor = 1<<40+2, 77
				} else {
					ts.Cycles = 1<<33 + 1
				}
				return one(frontend.Action{Op: frontend.OpTimeStamp, Task: id, TimeStamp: ts})
			}
			r := run(t, m, 1, probe(t, kind), "tsc")
			want := fmt.Sprintf("%d %d 77\n", uint64(1<<33+1), uint64(1<<40+2))
			if r.stdout != want {
				t.Errorf("got %q, %+v, want %q", r.stdout, r.Status, want)
			}
			last := seen[len(seen)-1]
			if len(seen) < 2 || !last.WithProcessor || last.Cycles <= seen[0].Cycles || seen[0].Cycles == 0 {
				t.Errorf("reported %+v", seen)
			}
		})
	}
}
