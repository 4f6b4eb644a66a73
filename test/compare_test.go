//go:build linux && amd64

package test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// comparator makes texts that mean the same equal. It has a name so that a failure
// can say by what was compared.
type comparator struct {
	name   string
	normal func(string) string
}

// exact compares every byte. It is what counts where a case names nothing else.
var exact = comparator{"exact", func(s string) string { return s }}

// sortedLines compares lines without regard to their order.
var sortedLines = comparator{"sorted lines", func(s string) string {
	lines := strings.SplitAfter(s, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}}

// masked compares what is left when matches of the patterns are replaced.
func masked(patterns ...string) comparator {
	var res []*regexp.Regexp
	for _, p := range patterns {
		res = append(res, regexp.MustCompile(p))
	}
	return comparator{"masked " + strings.Join(patterns, ", "), func(s string) string {
		for _, re := range res {
			s = re.ReplaceAllString(s, "#")
		}
		return s
	}}
}

// digits compares all but decimal numbers.
var digits = masked(`[0-9]+`)

// Case is a program that must not notice that it runs as variants.
type Case struct {
	// Prepare fills the directory of each run; it may be nil.
	Prepare func(t *testing.T, dir string)
	// Args are the program and its arguments; "DIR" stands for the directory.
	Args  []string
	Stdin string
	Env   []string
	// Status is how the program ends natively.
	Status int
	// Stdout, Stderr and the file contents are compared by these; exact when unset.
	Stdout, Stderr, Files comparator
	// Volatile are patterns, as of filepath.Match, of files whose contents may
	// differ, because the program writes times or inode numbers into them.
	Volatile []string
}

// observed is what a run left to compare.
type observed struct {
	end, stdout, stderr, tree string
}

func (c Case) observe(t *testing.T, r Run) observed {
	t.Helper()
	r.Dir = scratch(t)
	if r.As != nil {
		if err := os.Chown(r.Dir, int(r.As.Uid), int(r.As.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	if c.Prepare != nil {
		c.Prepare(t, r.Dir)
	}
	r.Stdin, r.Env = c.Stdin, c.Env
	for _, a := range c.Args {
		r.Args = append(r.Args, strings.ReplaceAll(a, "DIR", r.Dir))
	}
	res := run(t, r)
	anywhere := func(s string) string { return strings.ReplaceAll(s, r.Dir, "$DIR") }
	return observed{
		end:    res.end(),
		stdout: c.Stdout.apply(anywhere(res.Stdout)),
		stderr: c.Stderr.apply(anywhere(res.Stderr)),
		tree:   c.tree(t, r.Dir),
	}
}

func (c comparator) apply(s string) string {
	if c.normal == nil {
		c = exact
	}
	return c.normal(s)
}

// same runs the case natively and as each of these numbers of variants, and
// compares standard output and error, the end, and the files.
func (c Case) same(t *testing.T, r Run, variants ...int) {
	t.Helper()
	r.N = 0
	want := c.natively(t, r)
	for _, n := range variants {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			r := r
			r.N = n
			c.check(t, r, want)
		})
	}
}

// natively runs the case alone, where it must end as it is meant to.
func (c Case) natively(t *testing.T, r Run) observed {
	t.Helper()
	want := c.observe(t, r)
	if want.end != fmt.Sprintf("status %d", c.Status) {
		t.Fatalf("natively: %s instead of status %d\n--- stdout\n%s--- stderr\n%s", want.end, c.Status, clip(want.stdout), clip(want.stderr))
	}
	t.Logf("natively: %s\n--- stdout\n%s--- stderr\n%s", want.end, clip(want.stdout), clip(want.stderr))
	return want
}

// check runs the case and compares what it leaves with what it left natively.
func (c Case) check(t *testing.T, r Run, want observed) {
	t.Helper()
	got := c.observe(t, r)
	if got == want {
		return
	}
	if got.end != want.end {
		t.Errorf("%s, natively %s", got.end, want.end)
	}
	differ(t, "standard output", c.Stdout.name, want.stdout, got.stdout)
	differ(t, "standard error", c.Stderr.name, want.stderr, got.stderr)
	differ(t, "files", c.Files.name, want.tree, got.tree)
}

// differ reports the lines in which two texts differ.
func differ(t *testing.T, what, how, want, got string) {
	t.Helper()
	if want == got {
		return
	}
	if how == "" {
		how = exact.name
	}
	w, g := strings.SplitAfter(want, "\n"), strings.SplitAfter(got, "\n")
	first := 0
	for first < len(w) && first < len(g) && w[first] == g[first] {
		first++
	}
	const context, most = 3, 12
	from := max(first-context, 0)
	cut := func(lines []string) string {
		return clip(strings.Join(lines[min(from, len(lines)):min(from+most, len(lines))], ""))
	}
	t.Errorf("%s (%s): differ from line %d on\n--- natively\n%s--- as variants\n%s---", what, how, first+1, cut(w), cut(g))
}

// tree describes a directory: each entry with its type, mode, and contents.
func (c Case) tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %v", rel, info.Mode())
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " -> %s", strings.ReplaceAll(target, dir, "$DIR"))
		case info.Mode().IsRegular() && !c.volatile(rel):
			p, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text := c.Files.apply(strings.ReplaceAll(string(p), dir, "$DIR"))
			fmt.Fprintf(&b, " %d bytes %x", len(text), sha256.Sum256([]byte(text)))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func (c Case) volatile(rel string) bool {
	for _, pattern := range c.Volatile {
		if ok, err := filepath.Match(pattern, rel); ok && err == nil {
			return true
		}
	}
	return false
}
