package cause

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/multivar/multivar/libmultivar/report"
)

// minWord is the length from which on a word is looked for elsewhere.
const minWord = 3

// environment judges whether the variants were started differently: with other
// variables, or as other programs.
func environment(in *incident) finding {
	a, b := in.words()
	if len(a) >= minWord || len(b) >= minWord {
		if v, text := in.ownText(in.leader, in.other, a, b); v != nil {
			return finding{report.CauseEnvironment, strengthEnvironment, []string{
				fmt.Sprintf("%q is in the arguments or the environment of %s and of no other: %q", text.word, name(v), text.whole),
			}}
		}
	}
	x, y := program(in.leader), program(in.other)
	if x != "" && y != "" && x != y {
		if len(a) >= minWord && len(b) >= minWord && strings.Contains(x, string(a)) && strings.Contains(y, string(b)) {
			return finding{report.CauseEnvironment, strengthEnvironment, []string{
				fmt.Sprintf("%q and %q are from the names of the programs that the variants run, %s and %s", a, b, x, y),
			}}
		}
		return finding{report.CauseEnvironment, strengthPrograms, []string{fmt.Sprintf("the variants run different programs, %s and %s", x, y)}}
	}
	return finding{}
}

// words returns the words that differ.
func (in *incident) words() (a, b []byte) {
	class := func(c byte) bool { return c > ' ' && c != '=' && c != ',' && c != ':' && c != '"' && c < 0x7f }
	if !in.differs() {
		return nil, nil
	}
	from, to := token(in.a, in.first, class)
	a = in.a[from:to]
	from, to = token(in.b, in.first, class)
	return a, in.b[from:to]
}

// ownText is a word and the text of the start of a program that it is in.
type ownText struct{ word, whole string }

// ownText returns a variant that was started with its word, when the other one was not.
func (in *incident) ownText(x, y *report.View, a, b []byte) (*report.View, ownText) {
	for _, c := range []struct {
		v, other *report.View
		word     []byte
	}{{x, y, a}, {y, x, b}} {
		if len(c.word) < minWord || len(c.v.Start.Bytes) == 0 || len(c.other.Start.Bytes) == 0 {
			continue
		}
		p, others := texts(c.v), texts(c.other)
		at := bytes.Index(p, c.word)
		if at < 0 || bytes.Contains(others, c.word) {
			continue
		}
		from := bytes.LastIndexByte(p[:at], 0) + 1
		to := at + max(bytes.IndexByte(p[at:], 0), len(c.word))
		return c.v, ownText{string(c.word), string(p[from:to])}
	}
	return nil, ownText{}
}

// texts returns the arguments and the environment, which the kernel puts at the end of
// the stack: text up to the end, behind numbers.
func texts(v *report.View) []byte {
	p := v.Start.Bytes
	at := len(p)
	for at > 0 && (p[at-1] == 0 || p[at-1] >= ' ' || p[at-1] == '\n' || p[at-1] == '\t') && p[at-1] != 0x7f {
		at--
	}
	return p[at:]
}

// program returns the name of the file that a variant executes: the first that is mapped
// executable and is no library.
func program(v *report.View) string {
	for i := range v.Mappings {
		m := &v.Mappings[i]
		if m.Inode != 0 && m.Prot&protExec != 0 && !strings.Contains(m.Path, ".so") {
			return m.Path
		}
	}
	return ""
}

func contains(s, part string) bool { return strings.Contains(s, part) }
