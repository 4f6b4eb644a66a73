package main

import (
	"os"
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// A monitor knows its socket by what its foreground has said; nobody else can say it.
func TestInheritedLink(t *testing.T) {
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	rest := []string{"A=1"}
	for _, c := range []struct {
		first   string
		files   []*os.File
		keeps   int
		session *frontend.Session
		monitor bool
		bad     bool
	}{
		{first: "B=2", files: []*os.File{os.Stdin, nil, os.Stderr}, keeps: 3},
		{first: monitorVariable + "=3:same", files: []*os.File{os.Stdin, nil, os.Stderr, theirs}, keeps: 3, monitor: true},
		{first: monitorVariable + "=3:none", files: []*os.File{os.Stdin, nil, nil, theirs}, keeps: 1, monitor: true, session: &frontend.Session{Terminal: -1}},
		{first: monitorVariable + "=4:0", files: []*os.File{nil, nil, nil, os.Stdin, theirs}, keeps: 4, monitor: true, session: &frontend.Session{}},
		{first: monitorVariable + "=3:same", files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, bad: true},
		{first: monitorVariable + "=2:same", files: []*os.File{os.Stdin, os.Stdout, theirs}, bad: true},
		{first: monitorVariable + "=3:same", files: []*os.File{nil, nil, nil, os.Stdin}, bad: true},
		{first: monitorVariable + "=3:", files: []*os.File{nil, nil, nil, theirs}, bad: true},
		{first: monitorVariable + "=yes", files: []*os.File{os.Stdin}, bad: true},
		{first: monitorVariable + "=", bad: true},
	} {
		l, files, env, err := inheritedLink(c.files, append([]string{c.first}, rest...))
		if (err != nil) != c.bad {
			t.Errorf("%s: %v", c.first, err)
			continue
		}
		if c.bad {
			continue
		}
		want := rest
		if !c.monitor {
			want = append([]string{c.first}, rest...)
		}
		if (l != nil) != c.monitor || len(files) != c.keeps || !slices.Equal(env, want) {
			t.Errorf("%s: link %v, %d files, environment %q", c.first, l, len(files), env)
		}
		if l != nil && ((l.session == nil) != (c.session == nil) || l.session != nil && *l.session != *c.session) {
			t.Errorf("%s: session %+v, want %+v", c.first, l.session, c.session)
		}
	}
}

func TestDontDetach(t *testing.T) {
	for _, c := range []struct {
		env  []string
		want bool
	}{{nil, true}, {[]string{"MV_DONT_DETACH="}, false}, {[]string{"MV_DONT_DETACH=1"}, false}} {
		o, err := parseOptions([]string{"--detach", "true"}, c.env)
		if err != nil || o.detach != c.want {
			t.Errorf("%q: %v, %v", c.env, o.detach, err)
		}
	}
}
