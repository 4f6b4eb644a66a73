package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/sysabi"
	"github.com/multivar/multivar/libmultivar/tomlfile"
)

func TestParse(t *testing.T) {
	p, err := policy.Parse("mine.toml", []byte(`
inherits = "exec+leak"

[waits]
unlink = "always"
write = "socket"
readv = "nonsocket"
mmap = "never"
exit = "always"
`))
	if err != nil {
		t.Fatal(err)
	}
	if p.Name() != "mine.toml" {
		t.Errorf("name %q", p.Name())
	}
	from := mustByName(t, policy.ExecLeak)
	own := map[string]policy.Decision{
		"unlink": policy.Always, "write": policy.Sockets, "readv": policy.NonSockets, "mmap": policy.Never,
	}
	for _, r := range sysabi.Rows() {
		want, ok := own[r.Name]
		if !ok {
			want = from.Decision(r)
		}
		if got := p.Decision(r); got != want {
			t.Errorf("%s waits %v, want %v", r.Name, got, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, tc := range []struct{ data, want string }{
		{"", "inherits is missing"},
		{"[waits]\nread = \"never\"\n", "inherits is missing"},
		{"inherits = \"execs\"\n", `line 1: inherits: unknown policy "execs"`},
		{"inherits = \"exec\"\n[waits]\nreed = \"never\"\n", `line 3: unknown call "reed"`},
		{"inherits = \"exec\"\n[waits]\nread = \"later\"\n", "line 3: "},
		{"inherits = \"exec\"\n[waits]\nread = 1\n", "line 3: "},
		{"inherits = \"exec\"\n[waits]\nread = \"\"\n", "line 3: "},
		{"inherits = \"exec\"\n[wait]\nread = \"never\"\n", "line 2: unknown key"},
		{"inherits = \"exec\"\nread = \"never\"\n", "line 2: unknown key"},
		{"inherits = \"exec\"\n[waits]\nread = \"never\"\nread = \"always\"\n", "line 4: "},
		{"inherits = \"exec\"\n[waits]\nexit_group = \"never\"\n", "line 3: exit_group waits always"},
		{"inherits = \"exec\"\n[waits]\nclone = \"never\"\n", "line 3: clone waits always"},
		{"inherits = \"exec\"\n[waits]\npidfd_getfd = \"never\"\n", "line 3: pidfd_getfd waits always"},
		{"inherits = \"exec\"\n[waits]\nread = \"executable\"\n", "line 3: read does not make memory executable"},
		{"inherits = \"exec\"\n[waits]\ngetpid = \"socket\"\n", "line 3: getpid does not act on one descriptor"},
		{"inherits = \"exec\"\n[waits]\nsendfile = \"nonsocket\"\n", "line 3: sendfile does not act on one descriptor"},
	} {
		_, err := policy.Parse("x.toml", []byte(tc.data))
		var e *tomlfile.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error %v, want one with %q", tc.data, err, tc.want)
		}
	}
}

// What policy show prints is the policy.
func TestFormatIsParsed(t *testing.T) {
	for _, name := range policy.Names() {
		p := mustByName(t, name)
		q, err := policy.Parse(name, p.Format())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, r := range append(sysabi.Rows(), &sysabi.Row{}) {
			if r.ID != 0 && p.Decision(r) != q.Decision(r) {
				t.Errorf("%s: %s waits %v, and %v as a file", name, r.Name, p.Decision(r), q.Decision(r))
			}
		}
		if again, err := policy.Parse(name, q.Format()); err != nil || !again.Equal(q) {
			t.Errorf("%s: the file of the file differs: %v", name, err)
		}
	}
}

// Whatever a file says, ends and births of processes wait, and what is not certain waits
// where it matters.
func FuzzParse(f *testing.F) {
	f.Add([]byte("inherits = \"exec\"\n"))
	f.Add([]byte("inherits = \"full\"\n[waits]\nread = \"socket\"\nmmap = \"executable\"\nexit = \"never\"\n"))
	f.Add([]byte("waits = {read = \"never\", write = \"nonsocket\"}\ninherits = 'socket_rw'\n"))
	f.Add(mustFormat(policy.NonSocketRW))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := policy.Parse("fuzz", data)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		for _, r := range sysabi.Rows() {
			call := r.Resolve([6]uint64{})
			late := !p.Waits(&call, [6]uint64{}, policy.Unknown)
			if d := p.Decision(r); late && (d == policy.Sockets || d == policy.NonSockets || r.Wait.Has(sysabi.WaitAlways|sysabi.WaitClone)) {
				t.Errorf("%s does not wait (%v)", r.Name, d)
			}
		}
	})
}

func mustFormat(name string) []byte {
	p, err := policy.ByName(name)
	if err != nil {
		panic(err)
	}
	return p.Format()
}
