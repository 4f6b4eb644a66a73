package cause

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/bits"

	"github.com/multivar/multivar/libmultivar/report"
)

// minRandom is how many bytes there must be to tell random ones from others.
const minRandom = 6

// random judges whether what differs are random numbers: as long in both, and with nothing
// in common.
func random(in *incident) finding {
	yes := func(format string, args ...any) finding {
		return finding{report.CauseRandomness, strengthRandom, []string{fmt.Sprintf(format, args...)}}
	}
	if !in.differs() {
		for _, p := range in.pairs() {
			if n := bits.OnesCount64(p.a ^ p.b); p.at < 0 && n >= 20 && n <= 44 && p.a>>48 != 0 && p.b>>48 != 0 {
				return yes("%#x and %#x have nothing in common: %d of 64 bits differ", p.a, p.b, n)
			}
		}
		return finding{}
	}
	if textual(in.a) && textual(in.b) {
		return in.randomText(yes)
	}
	from, to := in.first, min(in.last+1, len(in.a), len(in.b))
	a, b := in.a[from:to], in.b[from:to]
	if len(in.a) == len(in.b) && len(a) >= minRandom && unlike(a, b) {
		return yes("%d bytes from %d on have nothing in common: %d of %d bits differ", len(a), in.start+from, differentBits(a, b), 8*len(a))
	}
	return finding{}
}

// unlike reports whether two strings differ as random ones do: in half of their bits,
// in nearly all of their bytes, and with many different ones.
func unlike(a, b []byte) bool {
	n, same := differentBits(a, b), 0
	seen := map[byte]bool{}
	for i := range a {
		seen[a[i]], seen[b[i]] = true, true
		if a[i] == b[i] {
			same++
		}
	}
	total := 8 * len(a)
	return n*100 >= total*28 && n*100 <= total*72 && same*6 <= len(a) && len(seen) >= min(len(a), 24)
}

// randomText looks at the word that differs.
func (in *incident) randomText(yes func(string, ...any) finding) finding {
	class := func(c byte) bool { return alphanumeric(c) || c == '+' || c == '/' || c == '=' || c == '-' || c == '_' }
	for _, class := range []func(byte) bool{class, alphanumeric} {
		from, to := token(in.a, in.first, class)
		from2, to2 := token(in.b, in.first, class)
		if from != from2 || to != to2 || to-from < minRandom {
			continue
		}
		a, b := in.a[from:to], in.b[from:to]
		if x, y, how := decoded(a), decoded(b), ""; x != nil && len(x) == len(y) && len(x) >= minRandom && unlike(x, y) {
			return yes("%q and %q have nothing in common%s", a, b, how)
		}
		if same := common(a, b); len(a) >= minRandom && letters(a) >= 5 && same*4 <= len(a) && mixed(a) && mixed(b) {
			return yes("%q and %q have nothing in common", a, b)
		}
	}
	class = func(c byte) bool { return c >= '0' && c <= '9' }
	from, to := token(in.a, in.first, class)
	from2, to2 := token(in.b, in.first, class)
	if from == from2 && min(to-from, to2-from2) >= minRandom {
		a, b := in.a[from:to], in.b[from:to2]
		if in.first-from <= len(a)/4 && common(a, b)*3 <= len(a) {
			return yes("%s and %s have nothing in common", a, b)
		}
	}
	return finding{}
}

// decoded returns the bytes that a word stands for in hexadecimal digits or in base 64.
func decoded(word []byte) []byte {
	plain := make([]byte, 0, len(word))
	for _, c := range word {
		if c != '-' {
			plain = append(plain, c)
		}
	}
	if p, err := hex.DecodeString(string(plain)); err == nil {
		return p
	}
	if len(word) < 12 {
		return nil
	}
	if p, err := base64.StdEncoding.DecodeString(string(word)); err == nil {
		return p
	}
	if p, err := base64.RawURLEncoding.DecodeString(string(word)); err == nil {
		return p
	}
	return nil
}

// common returns at how many places two strings are the same.
func common(a, b []byte) int {
	n := 0
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			n++
		}
	}
	return n
}

// letters returns how many different bytes there are.
func letters(p []byte) int {
	seen := map[byte]bool{}
	for _, c := range p {
		seen[c] = true
	}
	return len(seen)
}

// mixed reports whether a word mixes what words of a language do not: digits with letters,
// or small letters with capitals behind the first.
func mixed(p []byte) bool {
	digits, lower, upper := 0, 0, 0
	for i, c := range p {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'z':
			lower++
		case c >= 'A' && c <= 'Z' && i > 0:
			upper++
		}
	}
	return digits > 0 && lower+upper > 0 || lower > 0 && upper > 0
}
