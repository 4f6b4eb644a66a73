//go:build linux && amd64

package kvmsandbox

import (
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// What an agent knows of descriptors stays true as long as its task alone has the table and makes calls,
// by the monitor, that leave them as they are.
func TestKeepsDescriptors(t *testing.T) {
	const setFlags, getFlags = syscall.F_SETFL, syscall.F_GETFL
	message := [6]frontend.AgentArg{1: {Kind: frontend.AgentMessage}}
	s := &session{}
	s.agents.setCalls([]frontend.AgentCall{
		{Nr: syscall.SYS_READ}, {Nr: syscall.SYS_CLOSE, Closes: true}, {Nr: syscall.SYS_ACCEPT4, Makes: true},
		{Nr: syscall.SYS_DUP, Duplicates: true}, {Nr: syscall.SYS_DUP3, Replaces: true}, {Nr: syscall.SYS_SENDMSG, Args: message},
		{Nr: syscall.SYS_FCNTL, CommandArg: 1, Commands: []frontend.AgentCall{
			{Nr: syscall.SYS_FCNTL, Command: getFlags}, {Nr: syscall.SYS_FCNTL, Command: setFlags, Forgets: true},
		}},
	})
	const clone, none = syscall.SYS_CLONE, -1
	for _, c := range []struct {
		name  string
		nr    int64
		args  [6]uint64
		keeps bool
	}{
		{"read", syscall.SYS_READ, [6]uint64{}, true},
		{"close", syscall.SYS_CLOSE, [6]uint64{5}, true},
		{"accept4", syscall.SYS_ACCEPT4, [6]uint64{}, true},
		{"dup", syscall.SYS_DUP, [6]uint64{}, false},
		{"dup3", syscall.SYS_DUP3, [6]uint64{}, false},
		{"sendmsg", syscall.SYS_SENDMSG, [6]uint64{}, false},
		{"fcntl(F_GETFL)", syscall.SYS_FCNTL, [6]uint64{1: getFlags}, true},
		{"fcntl(F_SETFL)", syscall.SYS_FCNTL, [6]uint64{1: setFlags}, false},
		{"fcntl(F_DUPFD)", syscall.SYS_FCNTL, [6]uint64{1: syscall.F_DUPFD}, false},
		{"mmap", syscall.SYS_MMAP, [6]uint64{}, true},
		{"clone", clone, [6]uint64{}, false},
		{"socketpair", syscall.SYS_SOCKETPAIR, [6]uint64{}, false},
		{"a call that is none", none, [6]uint64{}, false},
	} {
		for _, ran := range []bool{false, true} {
			own := &task{files: newFiles()}
			own.files.last = own
			own.call = call{number: 1, nr: c.nr, args: c.args, ranNr: syscall.SYS_READ}
			if ran {
				// Another call was made in its place.
				own.call = call{number: 1, nr: syscall.SYS_READ, ranNr: c.nr, ranArgs: c.args}
			}
			if got := s.keepsDescriptors(own); got != c.keeps {
				t.Errorf("%s, in place of another: %v: %v", c.name, ran, got)
			}
			// It was stopped where it computes.
			if !s.keepsDescriptors(own) {
				t.Errorf("%s: a stop changes descriptors", c.name)
			}
			own.call = call{number: 2, nr: syscall.SYS_DUP, ranNr: syscall.SYS_DUP}
			if s.keepsDescriptors(own) {
				t.Errorf("%s, then dup: nothing changes", c.name)
			}
		}
	}
	a, b := &task{files: newFiles()}, &task{}
	b.files = a.files
	for _, c := range []struct {
		who   *task
		keeps bool
	}{{a, false}, {a, true}, {b, false}, {a, false}, {a, true}} {
		c.who.call = call{number: c.who.call.number + 1, nr: syscall.SYS_READ}
		if got := s.keepsDescriptors(c.who); got != c.keeps {
			t.Errorf("%v: %v", c, got)
		}
	}
}
